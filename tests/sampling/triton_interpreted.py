"""The Triton kernels as Triton's interpreter runs them: `test_triton.py` starts this file
in a process of its own, because Triton reads TRITON_INTERPRET only when it is first imported.
"""

import os
from functools import partial

import pytest
import torch

from stn_course import sampling
from stn_course.sampling import reference
from stn_course.sampling.fused import cuda, operator
from tests.sampling import cases
from tests.sampling.cases import KERNELS, KINDS, answers, near, run_kernels

assert os.environ.get("TRITON_INTERPRET") == "1", "wanted: TRITON_INTERPRET=1 pytest THIS_FILE"
CHANNELS = (1, 2, 3)
draw = partial(cases.draw, paddings=KERNELS)


def crossed() -> dict[tuple, int]:
    """The first seed of each kind with each padding and either meaning of the corners.

    All that the kernels are compiled for is met once: a case takes half a second here.
    """
    found = {}
    for seed in range(150):
        case, kind = draw(seed, largest=12, channels=CHANNELS), KINDS[seed % len(KINDS)]
        if kind != "attention":  # an affine transform with two zeros
            key = kind.removeprefix("wide "), case.padding, case.align_corners
            found.setdefault(key, seed)
    return found


CASES = crossed()


def test_every_combination_is_among_the_cases():
    assert len(CASES) == 3 * len(KERNELS) * 2
    drawn = [draw(seed, largest=12, channels=CHANNELS) for seed in CASES.values()]
    assert {case.fill is None for case in drawn} == {False, True}
    assert {1, 2, 3} == {len(case.images) for case in drawn}  # of several, one must not see another
    assert {1, 2, 3} == {case.images.shape[1] for case in drawn}


@pytest.mark.parametrize("seed", CASES.values(), ids=map(str, CASES))
def test_random_cases_in_the_interpreter(seed):
    case = draw(seed, largest=12, channels=CHANNELS)
    near(run_kernels(case), answers(case))


def test_many_blocks_and_splits_are_summed(monkeypatch):
    """More pixels than one block holds, by one program and by several for an image."""
    for seed, size in ((0, (23, 25)), (2, (19, 31)), (3, (20, 29))):
        case = draw(seed, channels=(2,), largest=8)
        case.size = size
        case.grad = torch.rand(*case.images.shape[:2], *size, dtype=torch.float64)
        wanted = answers(case)
        for programs in (2, 512):  # of three blocks: two and one, or each its own
            monkeypatch.setattr(cuda, "PROGRAMS", programs)
            found = run_kernels(case)
            near(found[:2] + found[3:], wanted[:2] + wanted[3:])
            # Many pixels: some lie on the lattice, or nearly, where the slope jumps.
            near([found[2]], [wanted[2]], 1e-3)
    again = run_kernels(case)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_types(dtype):
    case = draw(5)
    images = (255 * case.images).to(dtype) if dtype == torch.uint8 else case.images.to(dtype)
    shown = images.double() / 255 if dtype == torch.uint8 else images.double()
    wanted = reference.warp(shown, case.transform, case.size, "border")
    out = cuda.forward(images, case.transform.float(), None, case.size, "border", False)
    assert out.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    near([out], [wanted], 2 * torch.finfo(out.dtype).eps + 1e-6)


def test_background():
    for shape in ((2, 3, 5, 6), (1, 2, 2, 7), (2, 1, 1, 1), (0, 2, 4, 4)):
        images = torch.rand(shape)
        assert torch.equal(cuda.background(images), sampling.background_of(images))
        dark = (images * 255).to(torch.uint8)
        assert torch.equal(cuda.background(dark), sampling.background_of(dark.float() / 255))


def test_what_cannot_be_read_is_nan_and_the_rest_is_not():
    """Values are not checked on a GPU; a wrong image must not look like a right one."""
    images, args = torch.rand(3, 1, 4, 5), (None, (4, 5), "zeros", False)
    theta = torch.eye(3).repeat(3, 1, 1)
    theta[1, 2, 0] = 3  # a horizon
    theta[2, 0, 1] = float("inf")
    out = cuda.forward(images, theta, *args)
    assert out[0].isfinite().all() and out[1:].isnan().all()
    out = cuda.forward(images, theta[:, :2].contiguous(), *args)
    assert out[:2].isfinite().all() and out[2].isnan().all()
    grads = cuda.backward(
        torch.ones(3, 1, 4, 5), images, theta, None, "zeros", False, (False, True, False)
    )
    assert grads[0] is None and grads[2] is None
    assert grads[1][0].isfinite().all() and grads[1][1:].isnan().all()


def test_a_gradient_that_is_not_finite_shows():
    images, theta = torch.rand(2, 2, 4, 5), torch.eye(2, 3).repeat(2, 1, 1)
    grad = torch.ones(2, 2, 4, 5)
    grad[0, 1, 2, 2] = float("inf")
    to_images, _, _ = cuda.backward(grad, images, theta, None, "zeros", False, (True, False, False))
    assert to_images[0, 1].isnan().all()
    assert to_images[0, 0].isfinite().all() and to_images[1].isfinite().all()


def test_gradients_of_any_size_keep_their_digits():
    """The integers' scale follows the plane's largest gradient."""
    case = draw(1, channels=(1,), largest=9)
    wanted = answers(case)[1]
    args = (case.images.float(), case.transform.float(), torch.zeros(case.images.shape[:2]))
    for factor in (2.0**-100, 2.0**-30, 1.0, 2.0**60, 2.0**100):
        grad = (case.grad * factor).float()
        flags = (case.padding, case.align_corners, (True, False, False))
        near([cuda.backward(grad, *args, *flags)[0].double() / factor], [wanted])


def test_a_large_output_has_larger_blocks(monkeypatch):
    """CUDA's grid has a shortest axis; the blocks grow until they fit, and nothing else changes."""
    images, theta = torch.rand(2, 1, 9, 9), 0.8 * torch.eye(2, 3).repeat(2, 1, 1)
    grad, args = torch.rand(2, 1, 40, 50), (None, "zeros", False)
    wanted = cuda.forward(images, theta, None, (40, 50), "zeros", False)
    sums = cuda.backward(grad, images, theta, *args, (True, True, False))
    monkeypatch.setattr(cuda, "MOST_BLOCKS", 3)
    assert cuda._Call(images, theta, None, (40, 50), "zeros", False).blocks <= 3
    assert torch.equal(cuda.forward(images, theta, None, (40, 50), "zeros", False), wanted)
    again = cuda.backward(grad, images, theta, *args, (True, True, False))
    near(again[:2], sums[:2])


@pytest.mark.parametrize("seed", [0, 2, 3])
@pytest.mark.parametrize("padding", KERNELS)
def test_one_picture_read_by_many_transforms(seed, padding):
    """Output and the gradient to the transform to the bit as with copies; the others summed."""
    g = torch.Generator().manual_seed(seed)
    images, fill = torch.rand(3, 2, 6, 7, generator=g), torch.rand(3, 2, generator=g)
    kind = draw(seed).transform[:1].float()
    theta = kind + 0.05 * torch.rand(5, *kind.shape[1:], generator=g)
    index, grad = torch.tensor([2, 0, 0, 2, 2]), torch.rand(5, 2, 5, 4, generator=g) - 0.3
    level = fill if padding == "background" else None
    copies = None if level is None else level[index]
    found = cuda.forward(images, theta, level, (5, 4), padding, False, index)
    assert torch.equal(found, cuda.forward(images[index], theta, copies, (5, 4), padding, False))
    asked = (True, True, level is not None)
    to_images, to_theta, to_fill = cuda.backward(
        grad, images, theta, level, padding, False, asked, index
    )
    each = cuda.backward(grad, images[index], theta, copies, padding, False, asked)
    assert torch.equal(to_theta, each[1])
    wanted = torch.zeros(3, 2, 6, 7).index_add_(0, index, each[0].float())
    assert (to_images - wanted).abs().max() < 1e-5 and not to_images[1].any()
    if level is not None:
        sums = torch.zeros(3, 2).index_add_(0, index, each[2].float())
        assert (to_fill - sums).abs().max() < 1e-5
    far = grad.clone()
    far[0] = torch.inf  # of picture 2
    broken = cuda.backward(far, images, theta, level, padding, False, (True, False, False), index)
    assert broken[0][2].isnan().all() and broken[0][:2].isfinite().all()


def test_an_index_of_nothing_reads_no_memory_of_others():
    images, theta = torch.rand(2, 1, 4, 4), torch.eye(2, 3).repeat(2, 1, 1)
    index = torch.tensor([-7, 9])
    out = cuda.forward(images, theta, None, (4, 4), "zeros", False, index)
    assert torch.equal(out, images)


def test_what_has_no_kernel_is_the_samplers(monkeypatch):
    monkeypatch.setattr(operator, "_backend", lambda tensor: cuda)
    images = torch.rand(2, 1, 5, 6)
    grid = (2 * torch.rand(2, 3, 4, 2) - 1).requires_grad_()
    for places, padding in (
        (grid[:, None], "zeros"),
        (torch.eye(2, 3).repeat(2, 1, 1), "reflection"),
    ):
        assert cuda.forward(images, places, None, (3, 4), padding, False) is None
        out = operator.warp(images, places, None, 3, 4, padding, False, None)
        given = {"grid": grid} if places.ndim == 5 else {"transform": places, "size": (3, 4)}
        wanted = reference.warp(images, **given, padding=padding)
        assert torch.equal(out, wanted)
    (found,) = torch.autograd.grad(
        operator.warp(images, grid[:, None], None, 3, 4, "zeros", False, None).square().sum(), grid
    )
    wanted = reference.warp(images, grid=grid, padding="zeros").square().sum()
    assert torch.equal(found, torch.autograd.grad(wanted, grid)[0])
