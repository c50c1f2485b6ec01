"""Random warps for the tests of the fast ones, and the float64 sampler's answers to them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stn_course import geometry, sampling
from stn_course.sampling import reference

KINDS = ("affine", "attention", "homography", "spline", "wide spline")


@dataclass
class Case:
    images: Tensor  # all float64, with values that float32 can hold
    transform: Tensor
    size: tuple[int, int]
    padding: str
    fill: Tensor | None
    align_corners: bool
    grad: Tensor

    def options(self) -> dict:
        return {"size": self.size, "padding": self.padding, "align_corners": self.align_corners}


def single(tensor: Tensor) -> Tensor:
    """Values rounded to float32."""
    return tensor.float().double()


KERNELS = [padding for padding in reference.PADDINGS if padding != "reflection"]  # on a GPU


def draw(seed: int, channels=(1, 3, 32), largest: int = 17, paddings=reference.PADDINGS) -> Case:
    """Case `seed`: any kind, padding and shape; drawn again until no place is on the lattice."""
    g = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, dtype=torch.float64, generator=g)

    def pick(options):
        return options[int(torch.randint(len(options), (1,), generator=g))]

    while True:
        batch, size = pick((1, 1, 2, 3)), (pick(range(1, largest)), pick(range(1, largest)))
        h, w, c = pick(range(1, largest)), pick(range(1, largest)), pick(channels)
        padding, align_corners = pick(paddings), pick((False, True))
        transform = single(_transform(KINDS[seed % len(KINDS)], batch, rand))
        if _off_lattice(transform, size, (h, w), align_corners):
            break
    fill = single(rand(batch, c)) if padding == "background" and pick((0, 1)) else None
    images, grad = single(rand(batch, c, h, w)), single(rand(batch, c, *size) - 0.3)
    return Case(images, transform, size, padding, fill, align_corners, grad)


def _transform(kind: str, batch: int, rand) -> Tensor:
    """Reaching well outside the image."""
    theta = geometry.identity(batch, dtype=torch.float64) + 1.2 * (rand(batch, 2, 3) - 0.5)
    if kind == "affine":
        return theta
    if kind == "attention":
        theta[:, 0, 1] = theta[:, 1, 0] = 0
        return theta
    if kind == "homography":
        row = torch.cat([0.8 * (rand(batch, 1, 2) - 0.5), torch.ones(batch, 1, 1)], 2)
        return torch.cat([theta, row], 1) * (3 * rand(batch, 1, 1) + 0.2)
    shape = (9, 2) if kind == "spline" else (2, 3, 2)
    return 0.8 * (rand(batch, *shape) - 0.5)


def _off_lattice(transform, size, image_size, align_corners) -> bool:
    make = {(2, 3): sampling.affine_grid, (3, 3): sampling.homography_grid}
    make = make.get(tuple(transform.shape[1:]), sampling.tps_grid)
    places = make(transform, size, align_corners)
    places = geometry.to_pixels(places, image_size, align_corners=align_corners)
    return bool(((places - places.round()).abs() > 3e-5).all())


def answers(case: Case) -> list[Tensor]:
    """The sampler's output, and gradients to images, transform and fill, if there is one."""
    inputs = [case.images, case.transform] + ([case.fill] if case.fill is not None else [])
    inputs = [t.clone().requires_grad_() for t in inputs]
    out = reference.warp(*inputs[:2], fill=(*inputs, None)[2], **case.options())
    return [out.detach(), *torch.autograd.grad(out, inputs, case.grad, materialize_grads=True)]


def near(found: list[Tensor], wanted: list[Tensor], tolerance: float = 1e-5) -> None:
    """All within the tolerance, relative to the largest number (or 1, where all are small)."""
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        scale = max(1.0, b.abs().max().item() if b.numel() else 0.0)
        name = ("output", "images", "transform", "fill")[i]
        torch.testing.assert_close(
            a.double(), b.double(), rtol=0, atol=tolerance * scale, msg=lambda m, n=name: n + m
        )


def run_kernels(case: Case, device="cpu") -> list[Tensor]:
    """What `answers` gives, by the kernels."""
    from stn_course.sampling.fused import cuda

    images, transform, grad = (
        t.float().to(device) for t in (case.images, case.transform, case.grad)
    )
    fill = None if case.fill is None else case.fill.float().to(device)
    level = fill
    if case.padding == "background" and fill is None:
        level = cuda.background(images)
    args = (case.padding, case.align_corners)
    out = cuda.forward(images, transform, level, case.size, *args)
    asked = (True, True, fill is not None)
    grads = cuda.backward(grad, images, transform, level, *args, asked)
    return [out.cpu(), *(g.cpu() for g in grads if g is not None)]
