"""Both warps in programs for elsewhere: exported with sizes left open, traced, for ONNX."""

import io
import os
import re
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.export import Dim

from stn_course.sampling import fused, reference
from tests.support import ROOT

BATCH = Dim("batch", min=2, max=64)
SIDES = {2: Dim("height", min=4, max=200), 3: Dim("width", min=4, max=200)}
WARPS = {"reference": reference.warp, "fused": fused.warp}


class Warp(nn.Module):
    def __init__(self, warp, **options):
        super().__init__()
        self.warp, self.options = warp, options

    def forward(self, images, transform):
        return self.warp(images, transform, **self.options)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def given(kind, n, size=(12, 14), seed=0):
    images = torch.rand(n, 2, *size, generator=dice(seed))
    theta = torch.eye(3).repeat(n, 1, 1) + 0.1 * torch.randn(n, 3, 3, generator=dice(seed))
    offsets = 0.1 * torch.randn(n, 16, 2, generator=dice(seed))
    return images, {"affine": theta[:, :2], "homography": theta, "spline": offsets}[kind]


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
@pytest.mark.parametrize(
    "options", [{}, {"padding": "border", "size": (9, 11)}], ids=["own size", "a size"]
)
def test_an_exported_warp_takes_any_batch_and_size(warp, kind, options):
    net = Warp(WARPS[warp], **options)
    shapes = ({0: BATCH, **SIDES}, {0: BATCH})
    program = torch.export.export(net, given(kind, 3), dynamic_shapes=shapes).module()
    for n, size in ((2, (12, 14)), (4, (20, 9))):
        inputs = given(kind, n, size, seed=n)
        assert program(*inputs).shape == net(*inputs).shape
        assert (program(*inputs) - net(*inputs)).abs().max() < 1e-5


@pytest.mark.parametrize("warp", WARPS)
@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
def test_a_traced_warp_is_saved_and_takes_any_batch(warp, kind):
    net, file = Warp(WARPS[warp]), io.BytesIO()
    with pytest.warns(torch.jit.TracerWarning):  # torch says that a size becomes a constant
        traced = torch.jit.trace(net, given(kind, 3), check_trace=False)
    torch.jit.save(traced, file)
    file.seek(0)
    back = torch.jit.load(file)
    for n in (3, 5):
        inputs = given(kind, n, seed=n)
        assert (back(*inputs) - net(*inputs)).abs().max() < 1e-5
    larger = given(kind, 3, (20, 9))  # the output keeps the size that was traced
    assert (back(*larger) - WARPS[warp](*larger, size=(12, 14))).abs().max() < 1e-5


def test_what_is_exported_to_onnx_has_no_operator_of_our_own(monkeypatch):
    """onnx itself is not needed: the exporter sets this flag, then calls torch.export."""
    import torch.onnx

    def operators():
        program = torch.export.export(Warp(fused.warp), given("affine", 3))
        return {str(node.target) for node in program.graph.nodes}

    assert "stn_course.warp.default" in operators()
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert not any("stn_course" in name for name in operators())


def test_a_program_is_loaded_after_the_import_that_the_page_names():
    """In another process: `import stn_course` alone loads nothing, and knows no operator."""
    page = (ROOT / "book" / "package.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"needs `(import [\w.]+)` before it is loaded", page)
    code = f"{line}; import torch; torch.ops.stn_course.background.default"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
