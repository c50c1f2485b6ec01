"""Large images are warped tile by tile: the numbers of small ones, for any number of threads."""

import ctypes
import time
import warnings

import numpy as np
import pytest
import torch

from stn_course import geometry
from stn_course.sampling import fused, reference
from stn_course.sampling.fused import compiler, cpu, operator
from tests.sampling.cases import answers, draw, near
from tests.sampling.test_fused import COMPILER, fresh, run, same

__all__ = ["fresh"]  # a fixture
pytestmark = COMPILER
SHAPES = [  # input, output: some tiles and a rest, thin ones, one pixel, much shrunk
    ((37, 150), (61, 130)),
    ((70, 3), (1, 200)),
    ((1, 1), (65, 66)),
    ((300, 400), (9, 11)),
    ((129, 128), (128, 129)),
]
MIB = 2**20


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback
        yield


def transform_of(kind, batch, g):
    theta = geometry.identity(batch) + 0.9 * (torch.rand(batch, 2, 3, generator=g) - 0.5)
    if kind == "affine":
        return theta
    if kind == "homography":
        last = 0.6 * (torch.rand(batch, 1, 3, generator=g) - 0.5)
        last[..., 2] = 1
        return torch.cat([theta, last], 1)
    return 0.6 * (torch.rand(batch, 9, 2, generator=g) - 0.5)


def everything(images, transform, size, padding, align_corners, fill=None):
    """Output and all gradients."""
    leaves = [images, transform] + ([] if fill is None else [fill])
    leaves = [t.clone().requires_grad_(t.is_floating_point()) for t in leaves]
    out = fused.warp(*leaves[:2], size, padding, (*leaves, None)[2], align_corners)
    grad = torch.rand(out.shape, generator=torch.Generator().manual_seed(1)) - 0.3
    wanted = [t for t in leaves if t.requires_grad]
    return [out.detach(), *torch.autograd.grad(out, wanted, grad.to(out.dtype))]


def far_apart(found, wanted) -> float:
    """The largest difference, relative to the largest number (or 1)."""
    pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if b.numel()]
    return max(
        (((a - b).abs().max() / b.abs().max().clamp(min=1)).item() for a, b in pairs), default=0
    )


@pytest.mark.parametrize("part", range(4))
def test_random_cases(part, monkeypatch):
    monkeypatch.setattr(cpu, "WHOLE", 0)
    for seed in range(part * 25, part * 25 + 25):
        case = draw(seed)
        near(run(case), answers(case))


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
@pytest.mark.parametrize("padding", [*reference.PADDINGS, "fill"])
def test_tiles_and_whole_images_agree(shapes, kind, padding, monkeypatch):
    g = torch.Generator().manual_seed(3)
    monkeypatch.setattr(cpu, "ENOUGH", 1)
    before = torch.get_num_threads()
    for batch, align_corners in ((2, False), (1, True), (0, False)):
        images = torch.rand(batch, 2, *shapes[0], generator=g)
        fill = torch.rand(batch, 2, generator=g) if padding == "fill" else None
        how = ("background" if fill is not None else padding, align_corners, fill)
        args = (images, transform_of(kind, batch, g), shapes[1], *how)
        monkeypatch.setattr(cpu, "WHOLE", 10**6)
        wanted = everything(*args)
        monkeypatch.setattr(cpu, "WHOLE", 0)
        found = everything(*args)
        assert torch.equal(found[0], wanted[0])  # the same coordinates, read in the same way
        assert far_apart(found, wanted) < 1e-5
        try:
            for threads in (2, 3, 4):
                torch.set_num_threads(threads)
                same(everything(*args), found)
        finally:
            torch.set_num_threads(before)


def test_a_much_shrunk_image_is_read_where_it_is_needed_alone():
    """It was fetched whole: 2 ms for the 256 pixels of 16 x 16, half the time of 1000 x 1000."""
    images, theta = torch.zeros(1, 1, 3000, 3000), geometry.identity(1) * 0.99

    def fastest(side):  # in time of this processor alone, so that others do not matter
        times = []
        for _ in range(9):
            start = time.thread_time()
            fused.warp(images, theta, (side, side))
            times.append(time.thread_time() - start)
        return min(times)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert 5 * fastest(16) < fastest(1000)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_types(dtype, padding, monkeypatch):
    g = torch.Generator().manual_seed(4)
    images = (255 * torch.rand(2, 3, 90, 133, generator=g)).to(dtype)
    args = (images, transform_of("affine", 2, g), (77, 140), padding, False)
    wanted = everything(*args)
    monkeypatch.setattr(cpu, "WHOLE", 0)
    found = everything(*args)
    assert [t.dtype for t in found] == [t.dtype for t in wanted]
    assert torch.equal(found[0], wanted[0])
    eps = torch.finfo(found[0].dtype).eps
    assert far_apart([t.float() for t in found], [t.float() for t in wanted]) < 1e-5 + eps


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_where_it_is(bad, monkeypatch):
    g = torch.Generator().manual_seed(5)
    images = torch.rand(1, 2, 90, 133, generator=g)
    images[0, 0, 40, 70] = images[0, 1, 0, 0] = bad
    theta = transform_of("affine", 1, g)
    wanted = fused.warp(images, theta, (80, 140), "zeros")
    monkeypatch.setattr(cpu, "WHOLE", 0)
    found = fused.warp(images, theta, (80, 140), "zeros")
    assert torch.equal(found.nan_to_num(7, 8, 9), wanted.nan_to_num(7, 8, 9))
    assert 0 < (~found.isfinite()).sum() < 100


@pytest.mark.parametrize("size", [(240, 241), (242, 243), (241, 300)], ids=str)
def test_around_the_size_where_tiles_begin(size):
    """A float64 reference: there the sampler's own rounding in float32 is no smaller."""
    g = torch.Generator().manual_seed(6)
    images, theta = torch.rand(1, 2, *size, generator=g), transform_of("affine", 1, g)
    for padding in reference.PADDINGS:
        wanted = reference.warp(images.double(), theta.double(), None, padding)
        assert far_apart([fused.warp(images, theta, None, padding)], [wanted]) < 2e-4
    whole = (size[0] + 3) * (size[1] + 3) <= cpu.WHOLE
    assert whole == (size == (240, 241))


@pytest.mark.parametrize("variant", [("-O1",), ("-O3", "-mavx2", "-mfma")], ids=str)
@pytest.mark.parametrize("whole", [0, 60_000])
def test_other_processors_loops(variant, whole, fresh, tmp_path):
    if "-mavx2" in variant and "avx2" not in compiler._processor():
        pytest.skip("NO AVX2: its loops were not tested")
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setattr(compiler, "VARIANTS", (variant,))
    fresh.setattr(cpu, "WHOLE", whole)
    for seed in range(25):
        case = draw(seed)
        near(run(case), answers(case))
    assert len(list(tmp_path.glob("fused/*.so"))) == 1


# ---------------------------------------------------------------- sizes
@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("channels", [3, 64])
def test_scratch_is_at_most_4_mib_a_thread(threads, backward, channels):
    sides = (1, 28, 125, 224, 241, 242, 1080, 4000, 59_997, 2**24 - 2)
    for h in sides:
        for w in sides:
            call = cpu.Warp(batch=2, channels=channels, h=h, w=w, H=w, W=h, kind=3)
            call.whole, call.threads = cpu.WHOLE, threads
            call.grad = 1 if backward else None
            assert 0 < 4 * cpu.library().scratch_floats(ctypes.byref(call)) <= threads * 4 * MIB


def test_threads_share_one_large_image():
    before = torch.get_num_threads()
    options = {"channels": 1, "kind": 2, "whole": cpu.WHOLE}
    try:
        torch.set_num_threads(3)
        large = cpu.Warp(batch=1, h=1080, w=1920, H=1080, W=1920, **options)
        small = cpu.Warp(batch=2, h=200, w=200, H=200, W=200, **options)
        tiny = cpu.Warp(batch=9, h=28, w=28, H=28, W=28, **options)
        assert [cpu._threads(call) for call in (large, small, tiny)] == [3, 2, 1]
    finally:
        torch.set_num_threads(before)


def test_positions_beyond_32_bits():
    """2.5 GB of zeros, of which the corner alone is ever touched."""
    side = 50_000
    image = torch.from_numpy(np.zeros((1, 1, side, side), np.uint8))
    image[0, 0, -8:, -8:] = torch.arange(64, dtype=torch.uint8).view(8, 8)
    theta = torch.tensor([[[8 / side, 0, 1 - 8 / side], [0, 8 / side, 1 - 8 / side]]])
    out = fused.warp(image, theta, (8, 8), "border")
    assert (255 * out - torch.arange(64).view(8, 8)).abs().max() < 0.3


def test_what_one_tile_reads_lies_more_than_2_to_31_pixels_apart(tmp_path):
    """Positions in what a tile reads have 32 bits: it is halved until they fit.

    10 GB of a file that is nearly all hole, of which 128 pixels are ever touched.
    """
    h, w, n = 42_000, 60_000, 8
    image = torch.from_numpy(np.memmap(tmp_path / "hole", np.float32, "w+", shape=(1, 1, h, w)))
    wanted = torch.rand(n, n)
    rows = ((torch.arange(n) + 0.5) * h / n - 0.5).long()[:, None]  # read half a pixel below it
    columns = torch.arange(n) + (w - n) // 2
    for below in (0, 1):
        image[0, 0, rows + below, columns] = wanted
    theta = torch.tensor([[[n / w, 0, 0], [0, 1, 0]]])
    for transform in (theta, geometry.to_homogeneous(theta)):
        out = fused.warp(image, transform, (n, n), "zeros")
        assert (out[0, 0] - wanted).abs().max() < 1e-2


def test_sides_too_long_for_float32_are_the_samplers():
    images, theta = torch.zeros(1, 1, 1, 1), geometry.identity(1)
    long = images.expand(1, 1, 1, cpu.LARGEST + 1)
    fits = ((images, (1, cpu.LARGEST)), (images.expand(1, 1, 1, cpu.LARGEST), None))
    for x, size in ((long, None), (long, (2, 2)), (images, (cpu.LARGEST + 1, 1))):
        assert "shapes" in fused._unfit(x, theta, size, "zeros", None, "bilinear")
    for x, size in fits:
        assert fused._unfit(x, theta, size, "zeros", None, "bilinear") == ""


# ---------------------------------------------------------------- into memory of the caller
@pytest.mark.parametrize("whole", [0, 60_000])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_out_is_filled_and_returned(whole, dtype, monkeypatch):
    monkeypatch.setattr(cpu, "WHOLE", whole)
    images = (255 * torch.rand(2, 3, 40, 70)).to(dtype)
    theta = geometry.affine(20, 0.8).repeat(2, 1, 1)
    wanted = fused.warp(images, theta, (30, 90))
    out = torch.full(wanted.shape, 7.0, dtype=wanted.dtype)
    assert fused.warp(images, theta, (30, 90), out=out) is out and torch.equal(out, wanted)
    if dtype == torch.uint8:
        dark = torch.full(wanted.shape, 7, dtype=torch.uint8)
        assert fused.warp(images, theta, (30, 90), out=dark) is dark
        assert (dark - 255 * wanted).abs().max() <= 0.5 + 1e-4
        fused.warp(images, torch.eye(2, 3).repeat(2, 1, 1), out=(same_size := images.clone()))
        assert torch.equal(same_size, images)


def test_bytes_end_at_0_and_255():
    images, theta = torch.full((1, 1, 4, 4), 200, dtype=torch.uint8), 3 * torch.eye(2, 3)[None]
    out = torch.empty_like(images)
    for fill, edge in ((7.0, 255), (-7.0, 0)):
        assert fused.warp(images, theta, fill=fill, out=out)[0, 0, 0, 0] == edge


def test_out_is_filled_by_the_sampler_too():
    warnings.simplefilter("ignore")  # it says so; `strict` ends this
    images = (255 * torch.rand(1, 1, 5, 6)).to(torch.uint8)
    theta, out = geometry.affine(20, 0.8), torch.empty(1, 1, 5, 6, dtype=torch.uint8)
    wanted = fused.warp(images, theta, mode="nearest")
    assert fused.warp(images, theta, mode="nearest", out=out) is out
    assert torch.equal(out, (255 * wanted).round().to(torch.uint8))
    edge = torch.eye(3).repeat(1, 1, 1)  # what the C program refuses and the sampler does not
    edge[0, 2] = torch.tensor([0.45812299847602844, -0.5889766812324524, 1.009703278541565])
    images, out = torch.rand(1, 1, 28, 28), torch.empty(1, 1, 28, 28)
    assert torch.equal(fused.warp(images, edge, out=out), reference.warp(images, edge))
    assert operator.put(torch.empty(1), torch.ones(1)) == 1


X, THETA = torch.rand(2, 1, 4, 5), geometry.affine(20, 0.7).repeat(2, 1, 1)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "tensor or None, got list", lambda: {"out": [1.0]}),
        (ValueError, r"4, 5\], got \[2, 1, 4, 6\]", lambda: {"out": torch.ones(2, 1, 4, 6)}),
        (ValueError, r"shape \[2, 1, 3, 3\]", lambda: {"out": torch.empty_like(X), "size": (3, 3)}),
        (ValueError, "contiguous", lambda: {"out": torch.empty(2, 1, 5, 4).mT}),
        (ValueError, "float32 on cpu, got torch.uint8", lambda: {"out": X.to(torch.uint8)}),
        (ValueError, "on cpu, got torch.float32 on meta", lambda: {"out": X.to("meta")}),
        (ValueError, "without gradients", lambda: {"out": X.clone().requires_grad_()}),
        (
            ValueError,
            "without gradients",
            lambda: {"out": X.clone(), "transform": THETA.clone().requires_grad_()},
        ),
        (
            ValueError,
            "without gradients",
            lambda: {"out": X.clone(), "fill": torch.zeros(2, 1, requires_grad=True)},
        ),
        (ValueError, "memory of its own", lambda: {"out": X}),
    ],
)  # fmt: skip
def test_out_is_refused(error, words, call):
    before = X.clone()
    with pytest.raises(error, match=f"^out .*{words}"):
        fused.warp(**{"images": X, "transform": THETA, **call()})
    assert torch.equal(X, before)


def test_out_is_refused_in_other_peoples_code():
    def warp(images, theta):
        return fused.warp(images, theta, out=torch.empty_like(images))

    with pytest.raises(ValueError, match="compiled, traced or transformed"):
        torch.func.vmap(warp)(X[None], THETA[None])
    torch.compiler.reset()
    with pytest.raises(ValueError, match="compiled, traced or transformed"):
        torch.compile(warp, backend="eager")(X, THETA)


def test_out_is_welcome_without_gradients():
    theta, out = THETA.clone().requires_grad_(), torch.empty_like(X)
    with torch.no_grad():
        same([fused.warp(X, theta, out=out)], [fused.warp(X, THETA)])
    assert not out.requires_grad
