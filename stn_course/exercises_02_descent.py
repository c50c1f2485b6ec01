"""Exercise 2.6, recover theta: the reference, the inputs it is tried on, known bugs."""

import torch

from stn_course import geometry, sampler
from stn_course.exercises import Exercise


def recover(image, target, theta, steps, rate):
    """Descend from theta [1, 2, 3] until warp(image, theta) looks like target -> theta."""
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (sampler.warp(image, theta) - target).square().mean()
        loss.backward()
        optimiser.step()
    return theta.detach()


def _blobs(size: int) -> torch.Tensor:
    """Three smooth hills of different heights on a plain.  # float64 [1, 1, size, size]"""
    at = geometry.pixel_centres(size, dtype=torch.float64)
    hills = ((-0.35, -0.3, 1.0), (0.35, -0.1, 0.6), (-0.05, 0.4, 0.8))
    parts = [
        height * torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / 0.08)
        for x, y, height in hills
    ]
    return sum(parts)[None, None]


def _motion(**motion) -> torch.Tensor:
    return geometry.affine(**motion, dtype=torch.float64)


def _cases_26():
    # One start for two cases: an answer that changes it starts the second one elsewhere.
    image, start = _blobs(16), geometry.identity(dtype=torch.float64)
    for motion in ({"angle": 8.0, "shift": (0.1, -0.05)}, {"scale": 0.85, "shear": 6.0}):
        yield image, sampler.warp(image, _motion(**motion)), start, 120, 0.02
    # From the identity this one is too far for so many steps of this rate.
    target = sampler.warp(image, _motion(angle=60, scale=0.8, shift=(0.3, -0.2)))
    yield image, target, _motion(angle=55, scale=0.85, shift=(0.25, -0.15)), 80, 0.01


def _detached(image, target, theta, steps, rate):
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        moved = sampler.warp(image, theta.detach().requires_grad_())
        (moved - target).square().mean().backward()
        optimiser.step()
    return theta.detach()


def _never_zeroed(image, target, theta, steps, rate):
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        (sampler.warp(image, theta) - target).square().mean().backward()
        optimiser.step()
    return theta.detach()


def _without_a_clone(image, target, theta, steps, rate):
    theta.requires_grad_()
    optimiser = torch.optim.Adam([theta], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        (sampler.warp(image, theta) - target).square().mean().backward()
        optimiser.step()
    return theta.detach()


def _from_the_identity(image, target, theta, steps, rate):
    return recover(image, target, geometry.identity(dtype=theta.dtype), steps, rate)


def _the_other_way(image, target, theta, steps, rate):
    return recover(target, image, theta, steps, rate)


EXERCISES = {
    "2.6": Exercise(
        recover,
        _cases_26,
        {
            "theta comes back as it went in: backward() or the optimiser's step() is missing, or "
            "the gradient does not reach theta, because the loop uses a detached copy": _detached,
            "the gradients of all steps pile up: call zero_grad in every step": (_never_zeroed),
            "the theta that was given is changed, and with it what the last call gave back: start "
            "from theta.clone()": _without_a_clone,
            "this starts at the identity whatever it is given: start from theta": (
                _from_the_identity
            ),
            "this is the forward map: it warps the target to the image; warp the image": (
                _the_other_way
            ),
        },
        "theta.clone().requires_grad_() is what the optimiser gets and what warp is called "
        "with, without detach or .data; zero_grad, loss, backward, step; return theta.detach()",
        tolerance=0.02,
    ),
}
