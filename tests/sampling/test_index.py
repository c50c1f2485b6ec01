"""One picture read by many transforms, without copying it: the bits that copies would give."""

import warnings

import pytest
import torch

from stn_course import geometry, warp
from stn_course.sampling import fused, reference
from stn_course.sampling.fused import cpu, operator
from tests.sampling.test_fused import COMPILER

D = torch.float64
INDEX = torch.tensor([2, 0, 0, 2, 2, 3])  # not in order, one twice, one never
PADDINGS = pytest.mark.parametrize("padding", [*reference.PADDINGS, "fill"])
KINDS = pytest.mark.parametrize("kind", ["affine", "homography", "spline", "landmarks", "grid"])


def rand(*shape, seed=0, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=g, dtype=D).to(dtype)


def places(kind: str, n: int, size=(9, 11), dtype=torch.float32) -> dict:
    """What tells `warp` where to read, reaching outside, as its arguments."""
    theta = geometry.identity(n, dtype=dtype) + 1.2 * (rand(n, 2, 3, seed=1, dtype=dtype) - 0.5)
    if kind == "grid":
        return {"grid": 3 * rand(n, *size, 2, seed=2, dtype=dtype) - 1.5}
    if kind == "homography":
        row = 0.4 * (rand(n, 1, 2, seed=3, dtype=dtype) - 0.5)
        theta = torch.cat([theta, torch.cat([row, torch.ones_like(row[..., :1])], 2)], 1)
    if kind == "spline":
        theta = 0.8 * (rand(n, 2, 3, 2, seed=4, dtype=dtype) - 0.5)
    if kind == "landmarks":
        src = 2 * rand(n, 5, 2, seed=5, dtype=dtype) - 1
        theta = geometry.spline_from_landmarks(src, src + 0.3 * rand(n, 5, 2, dtype=dtype), 0.1)
    return {"transform": theta, "size": size}


def with_gradients(call, images, where, fill, index, grad):
    """Output, gradients to images, places and fill."""
    name = "grid" if "grid" in where else "transform"
    inputs = [images, where[name]] + ([] if fill is None else [fill])
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    options = where | {name: inputs[1], "fill": (*inputs, None)[2], "index": index}
    out = call(inputs[0], **options)
    return [out.detach(), *torch.autograd.grad(out, inputs, grad.to(out.dtype))]


def copied(call, images, where, fill, index, grad):
    """The same by copies, whose gradients are added up in the order of the transforms."""
    spread = None if fill is None else fill[index]
    out, to_images, to_places, *to_fill = with_gradients(
        call, images[index], where, spread, None, grad
    )
    sums = [torch.zeros_like(images), *(torch.zeros_like(fill) for _ in to_fill)]
    for total, each in zip(sums, (to_images, *to_fill), strict=True):
        for n, picture in enumerate(index.tolist()):
            total[picture] += each[n]
    return [out, sums[0], to_places, *sums[1:]]


def arguments(padding, channels=2, size=(13, 17), kind="affine", n=6, dtype=torch.float32):
    images = rand(4, channels, *size, seed=7, dtype=dtype)
    fill = rand(4, channels, seed=8, dtype=dtype) if padding == "fill" else None
    where = places(kind, n, dtype=dtype) | {
        "padding": "background" if fill is not None else padding
    }
    return images, where, fill


@COMPILER
@PADDINGS
@KINDS
@pytest.mark.parametrize("whole", [60_000, 0], ids=["whole", "tiles"])
def test_the_bits_are_those_of_copies(padding, kind, whole, monkeypatch):
    monkeypatch.setattr(cpu, "WHOLE", whole)
    images, where, fill = arguments(padding, kind=kind)
    grad = rand(6, 2, 9, 11, seed=9) - 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback
        for flag in (False, True):
            given = where | {"align_corners": flag}
            found = with_gradients(warp, images, given, fill, INDEX, grad)
            wanted = copied(warp, images, given, fill, INDEX, grad)
            assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@COMPILER
@pytest.mark.parametrize("whole", [60_000, 0], ids=["whole", "tiles"])
def test_any_number_of_threads_gives_the_same_bits(whole, monkeypatch):
    monkeypatch.setattr(cpu, "WHOLE", whole)
    monkeypatch.setattr(cpu, "ENOUGH", 1)
    images, where, fill = arguments("fill", size=(70, 90))
    grad, before = rand(6, 2, 9, 11, seed=9), torch.get_num_threads()
    first = with_gradients(warp, images, where, fill, INDEX, grad)
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            again = with_gradients(warp, images, where, fill, INDEX, grad)
            assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    finally:
        torch.set_num_threads(before)


@PADDINGS
@KINDS
def test_the_taught_path_reads_and_flows_back_as_with_copies(padding, kind):
    images, where, fill = arguments(padding, kind=kind, dtype=D)
    grad = rand(6, 2, 9, 11, seed=9, dtype=D)
    found = with_gradients(reference.warp, images, where, fill, INDEX, grad)
    wanted = copied(reference.warp, images, where, fill, INDEX, grad)
    assert torch.equal(found[0], wanted[0])
    for a, b in zip(found[1:], wanted[1:], strict=True):
        assert (a - b).abs().max() < 1e-11


@COMPILER
@KINDS
def test_both_paths_agree(kind):
    images, where, fill = arguments("fill", kind=kind)
    exact = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in where.items()}
    grad = rand(6, 2, 9, 11, seed=9)
    found = with_gradients(warp, images, where, fill, INDEX, grad)
    wanted = with_gradients(reference.warp, images.double(), exact, fill.double(), INDEX, grad)
    for a, b in zip(found, wanted, strict=True):
        assert (a - b).abs().max() < 1e-5 * max(1, b.abs().max().item())


@pytest.mark.parametrize("call", [warp, reference.warp])
def test_one_picture_needs_no_index(call):
    images, theta = rand(1, 3, 8, 9), places("affine", 5)["transform"]
    wanted = call(images.expand(5, -1, -1, -1), theta, (4, 6))
    assert torch.equal(call(images, theta, (4, 6)), wanted)
    index = torch.zeros(5, dtype=torch.int32)
    assert torch.equal(call(images, theta, (4, 6), index=index), wanted)
    assert call(images, theta[:0], (4, 6)).shape == (0, 3, 4, 6)
    assert call(images[:0], theta[:0], (4, 6), index=index[:0]).shape == (0, 3, 4, 6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_types(dtype):
    images = (255 * rand(4, 2, 7, 9)).to(dtype)
    where = places("affine", 6)
    assert torch.equal(warp(images, **where, index=INDEX), warp(images[INDEX], **where))


@pytest.mark.parametrize("kind", ["affine", "homography", "spline", "grid"])
def test_gradcheck(kind):
    images = rand(3, 1, 5, 6, dtype=D).requires_grad_()
    where = places(kind, 4, (3, 4), D)
    name = "grid" if kind == "grid" else "transform"
    index = torch.tensor([1, 1, 0, 1])
    places_in = where.pop(name).requires_grad_()

    def read(images, values):
        return reference.warp(images, **where, **{name: values}, index=index, padding="zeros")

    assert torch.autograd.gradcheck(read, (images, places_in), atol=1e-6)


@COMPILER
def test_as_an_operator_compiled_and_differentiated_twice():
    images, theta = rand(3, 2, 6, 7), places("affine", 4)["transform"]
    index, level = torch.tensor([2, 0, 0, 1]), rand(3, 2)
    for where in (theta, places("grid", 4, (5, 4))["grid"][:, None]):
        inputs = (images.requires_grad_(), where.requires_grad_(), level)
        how = (5, 4, "background", False, index)
        tests = ("test_schema", "test_faketensor", "test_autograd_registration")
        torch.library.opcheck(operator.warp_op, (*inputs, *how), test_utils=tests)
    torch.compiler.reset()
    compiled = torch.compile(fused.warp, backend="aot_eager", fullgraph=True)
    found = compiled(images, theta, (5, 4), index=index)
    assert torch.equal(found, fused.warp(images, theta, (5, 4), index=index))
    with pytest.raises(ValueError, match="index must be"):
        compiled(images, theta, (5, 4), index=index + 1)
    results = []
    for call, dtype in ((fused.warp, torch.float32), (reference.warp, D)):
        leaves = [t.detach().to(dtype).requires_grad_() for t in (images, theta)]
        out = call(*leaves, (5, 4), index=index)
        first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        results.append(torch.autograd.grad(sum(g.square().sum() for g in first), leaves))
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() < 1e-4 * b.abs().max()


@COMPILER
def test_many_thetas_of_one_large_picture_take_no_memory_for_copies():
    """4000 copies of it would be 64 GB."""
    image = rand(1, 1, 2000, 2000)
    theta = geometry.affine(scale=70.0, batch=4000)
    assert warp(image, theta, (3, 3)).shape == (4000, 1, 3, 3)
    assert reference.warp(image, theta, (3, 3)).shape == (4000, 1, 3, 3)


def test_out_has_a_place_for_each_transform():
    images, where = rand(4, 2, 7, 9), places("affine", 6)
    out = torch.empty(6, 2, 9, 11)
    assert warp(images, **where, index=INDEX, out=out) is out
    assert torch.equal(out, warp(images, **where, index=INDEX))
    with pytest.raises(ValueError, match=r"of shape \[6, 2, 9, 11\]"):
        warp(images, **where, index=INDEX, out=torch.empty(4, 2, 9, 11))


@pytest.mark.parametrize("call", [warp, reference.warp])
@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        (INDEX + 1, ValueError, r"index must be at least 0 and below the 4 images .*entries 5\)"),
        (INDEX - 1, ValueError, "index must be at least 0"),
        (INDEX[:5], ValueError, r"index must have shape \[6\]"),
        (INDEX[None], ValueError, r"index must have shape \[6\]"),
        (INDEX.float(), TypeError, "index must be a tensor of whole numbers, got torch.float32"),
        (INDEX > 1, TypeError, "index must be a tensor of whole numbers, got torch.bool"),
        (INDEX.tolist(), TypeError, "index must be a tensor of whole numbers, got list"),
        (None, ValueError, "images and transform must have one batch size, got 4 and 6; index"),
    ],
)
def test_a_bad_index_is_refused_by_name(call, index, error, words):
    with pytest.raises(error, match=words), warnings.catch_warnings():
        warnings.simplefilter("error")
        call(rand(4, 1, 5, 5), places("affine", 6)["transform"], index=index)


def test_the_operator_looks_at_an_index_too():
    images, theta = rand(2, 1, 4, 4), places("affine", 3)["transform"]
    for wrong in ([0, 1, 2], [0, -1, 1], [0, 1]):
        with pytest.raises(ValueError, match="index must|transform must"):
            index = torch.tensor(wrong)
            torch.ops.stn_course.warp(images, theta, None, 4, 4, "zeros", False, index)
