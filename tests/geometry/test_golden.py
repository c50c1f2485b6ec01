"""Points, boxes, splines and fits are those of the golden file, with their slopes.

`test_remaking_gives_the_file` also runs the script that made it, so neither can drift alone.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stn_course import geometry, sampling

PATH = Path(__file__).parent / "golden" / "geometry.json"
CASES = json.loads(PATH.read_text())["cases"]
NAMES = [f"{number}-{case['kind']}" for number, case in enumerate(CASES)]


def places(points, transform):
    return geometry.transform_points(transform[None], points)[0]


def back(points, transform):
    return geometry.transform_points_back(transform[None], points)[0]


def landmarks(points, src, dst, smoothing):
    return places(points, geometry.spline_from_landmarks(src, dst, smoothing)[0])


def homography(src, dst, weights):
    return geometry.homography_from_points(src, dst, weights[None])[0]


def boxes(boxes, transform, along):
    return geometry.transform_boxes(transform[None], boxes, along=along)[0]


def rotation(angle, size):
    return geometry.Rotation(size=tuple(size))(angle.view(1, 1))[0]


def flow(flow, size):
    return sampling.flow_grid(flow[None], tuple(size))[0]


DONE = {f.__name__: f for f in (places, back, landmarks, homography, boxes, rotation, flow)}
SETTINGS = ("smoothing", "along", "size")


def differences(case, dtype=torch.float64):
    """The largest differences from the file: of what comes out, and of each slope."""
    given = {k: v for k, v in case.items() if k not in ("kind", "out", "upstream", "slopes")}
    arrays = {k: torch.tensor(v, dtype=dtype) for k, v in given.items() if k not in SETTINGS}
    settings = {k: v for k, v in given.items() if k in SETTINGS}
    for name in case["slopes"]:
        arrays[name].requires_grad_()
    out = DONE[case["kind"]](**arrays, **settings)
    assert out.dtype == dtype
    found = {"out": np.abs(out.detach().numpy() - np.array(case["out"])).max()}
    if case["slopes"]:
        (out * torch.tensor(case["upstream"], dtype=dtype)).sum().backward()
    for name, slope in case["slopes"].items():
        size = max(1, np.abs(slope).max())
        found[name] = np.abs(arrays[name].grad.numpy() - np.array(slope)).max() / size
    return found


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_case(case):
    for quantity, gap in differences(case).items():
        assert gap <= 1e-9, (quantity, gap)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_case_in_float32(case):
    for quantity, gap in differences(case, torch.float32).items():
        assert gap <= 1e-3, (quantity, gap)


def test_largest_differences_are_told(tell):
    gaps = [max(differences(case).values()) for case in CASES]
    tell(f"golden geometry, {len(gaps)} cases, largest difference: {max(gaps):.1e}")


def test_every_kind_is_there_and_has_slopes():
    assert {case["kind"] for case in CASES} == set(DONE)
    without = {case["kind"] for case in CASES if not case["slopes"]}
    assert without == {"boxes"}  # the smallest and the largest of many: nobody asks for its slope


def test_remaking_gives_the_file():
    """To rounding, since NumPy's linear algebra may differ in the last bits between machines."""
    script = PATH.with_name("make_geometry.py")
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = json.loads(json.dumps(list(module.cases())))
    assert json.loads(PATH.read_text())["about"] == module.ABOUT
    for new, old in zip(made, CASES, strict=True):
        assert new.keys() == old.keys() and new["slopes"].keys() == old["slopes"].keys()
        for name in ("out", "upstream"):
            np.testing.assert_allclose(new[name], old[name], rtol=0, atol=1e-10)
        for name, slope in old["slopes"].items():
            np.testing.assert_allclose(new["slopes"][name], slope, rtol=1e-8, atol=1e-8)
