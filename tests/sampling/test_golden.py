"""The golden file is reproduced by the NumPy loops (values) and by torch (values and gradients).

`test_remaking_gives_the_file` also runs the script that made it, so neither can drift alone.
"""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from stn_course.sampling import affine_grid, bilinear_sample_loops, homography_grid, tps_grid
from stn_course.sampling.reference import PADDINGS, warp

PATH = Path(__file__).parent / "golden" / "sampler.json"
GOLDEN = json.loads(PATH.read_text())
MIRRORED = json.loads(PATH.with_name("mirrored.json").read_text())
CASES = GOLDEN["cases"] + MIRRORED["cases"]
SHAPES = GOLDEN["shapes"]
SIZE = tuple(SHAPES["output"][2:])
GRIDS = {"affine": affine_grid, "homography": homography_grid, "tps": tps_grid}
TOLERANCE = 1e-12


def tensor(values, shape):
    return torch.tensor(values, dtype=torch.float64).view(shape)


def shared(name):
    return tensor(GOLDEN[name], SHAPES[name])


def differences(case):
    """Largest absolute differences from the file, by quantity."""
    images = shared("images").requires_grad_()
    params = tensor(case["params"], SHAPES["params"][case["kind"]]).requires_grad_()
    fill = shared("fill") if case["padding"] == "background" else None
    flags = {"padding": case["padding"], "fill": fill, "align_corners": case["align_corners"]}
    grid = GRIDS[case["kind"]](params, SIZE, case["align_corners"])
    output = warp(images, params, SIZE, **flags)
    (output * shared("upstream")).sum().backward()
    golden_grid = tensor(case["grid"], SHAPES["grid"])
    loops = bilinear_sample_loops(images.detach(), golden_grid, **flags)

    def gap(got, name):
        return float(np.abs(np.asarray(got).ravel() - np.array(case[name])).max())

    return {
        "NumPy loops": gap(loops, "output"),
        "torch grid": gap(grid.detach(), "grid"),
        "torch output": gap(output.detach(), "output"),
        "torch grad_images": gap(images.grad, "grad_images"),
        "torch grad_params": gap(params.grad, "grad_params"),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_case(case):
    for quantity, gap in differences(case).items():
        assert gap <= TOLERANCE, (quantity, gap)


def test_largest_differences_are_told(tell):
    gaps = [differences(case) for case in CASES]
    worst = {quantity: max(gap[quantity] for gap in gaps) for quantity in gaps[0]}
    shown = ", ".join(f"{quantity} {gap:.1e}" for quantity, gap in worst.items())
    tell(f"golden file, {len(gaps)} cases, largest differences: {shown}")
    assert max(worst.values()) <= TOLERANCE


def test_file_covers_what_it_promises():
    cases = CASES
    wanted = {(k, p, a) for k in GRIDS for p in PADDINGS for a in (0, 1)}
    assert {(c["kind"], c["padding"], c["align_corners"]) for c in cases} == wanted
    assert all(path.stat().st_size < 200_000 for path in PATH.parent.glob("*.json"))
    for case in cases:
        for name in ("grid", "output", "grad_images"):
            assert len(case[name]) == math.prod(SHAPES[name])
        assert len(case["grad_params"]) == len(case["params"])
        grid = np.array(case["grid"])
        assert (np.abs(grid) > 1).any() and (np.abs(grid) < 1).any()  # inside and outside


def test_remaking_gives_the_file(tmp_path, monkeypatch):
    """To rounding, since NumPy's linear algebra may differ in the last bit between machines."""
    spec = importlib.util.spec_from_file_location("make_sampler", PATH.with_name("make_sampler.py"))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "__file__", str(tmp_path / "make_sampler.py"))
    script.main()
    remade = []
    for kept, name in ((GOLDEN, "sampler.json"), (MIRRORED, "mirrored.json")):
        made = json.loads((tmp_path / name).read_text())
        remade += made["cases"]
        for part in ("about", "shapes", "images", "upstream", "fill"):
            assert made[part] == kept[part] == GOLDEN[part]
    for new, old in zip(remade, CASES, strict=True):
        assert new["name"] == old["name"]
        for name in ("params", "grid", "output", "grad_images", "grad_params"):
            np.testing.assert_allclose(new[name], old[name], rtol=0, atol=1e-12)
