"""What a homography network leaves of the perspective: its horizon, and the corners in pixels."""

import math

import torch
from torch import Tensor, nn

from stn_course import data, geometry
from stn_course.data import mnist, to_float
from stn_course.data.seeding import TEST, stream
from stn_course.geometry import real_number, whole_number
from stn_course.models.layers import evaluating
from stn_course.models.transformers import first_posed_transformer, first_transformer
from stn_course.sampling.reference import lower_median

CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def smallest_w(theta: Tensor) -> Tensor:
    """The least w = h31 x + h32 y + h33 on the output, from edge to edge.  # [B, 3, 3] -> [B]

    w is linear, so a corner has it. Of an affine theta [B, 2, 3] it is 1.
    """
    h = geometry.to_homogeneous(theta)
    corners = h.new_tensor([[x, y, 1.0] for x, y in CORNERS])  # [4, 3]
    return (h[:, 2] @ corners.T).amin(1)


def corner_places(theta: Tensor, reach: float = 1.0) -> Tensor:
    """Where the output's corners are read; infinite for a corner on or beyond the horizon.

    theta [B, 2, 3] or [B, 3, 3] -> [B, 4, 2] in normalised units, clockwise from the top left.
    `reach`: of a smaller square in the output's middle; 1 is the whole of it.
    """
    h, reach = geometry.to_homogeneous(theta), real_number("reach", reach)
    corners = h.new_tensor([[reach * x, reach * y, 1.0] for x, y in CORNERS])  # [4, 3]
    places = corners @ h.transpose(1, 2)  # [B, 4, 3]: u, v, w
    w = places[..., 2:]
    return torch.where(w > 0, places[..., :2] / w, torch.inf)


def corner_residual(
    places: Tensor, aim: Tensor, pixels: float | tuple[float, float]
) -> dict[str, float | int | None]:
    """How far the output's corners are read from `aim` [4, 2], over the images.

    `places` [B, 4, 2]: `corner_places` of theta from the output to the digit as it was
    written. An image's residual is the mean distance of its four corners in pixels, `pixels`
    being half a side, or half the height and half the width.
    `median` and `q90` (9 of 10 images are below) over all images; `beyond` counts those
    with a corner beyond the horizon, whose residual is infinite. Where it is that of too many
    to say a median or `q90`, that is None.
    """
    apart = places - aim
    if isinstance(pixels, tuple | list):  # from here on, a unit of x and one of y are 1 pixel
        down, across = (real_number("pixels", each, above=0) for each in pixels)
        apart, pixels = apart * apart.new_tensor([across, down]), 1.0
    pixels = real_number("pixels", pixels, above=0)
    distance = pixels * apart.norm(dim=2).mean(1).double()  # [B]
    beyond = ~distance.isfinite()
    q = torch.tensor([0.5, 0.9], dtype=distance.dtype, device=distance.device)
    found = distance.where(~beyond, torch.inf).quantile(q).tolist()
    median, q90 = (v if math.isfinite(v) else None for v in found)  # JSON has no infinity
    return {"median": median, "q90": q90, "beyond": int(beyond.sum()), "n": len(distance)}


def found_transforms(model: nn.Module, images: Tensor, batch: int = 250) -> Tensor:
    """What the first transformer of `model` reads uint8 `images` by: [N, 2, 3] or [N, 3, 3].

    Raises ValueError for a model without a transformer or with one that is neither.
    """
    front, found, batch = first_posed_transformer(model), [], whole_number("batch", batch)
    with evaluating(model):
        for some in images.split(batch):
            model(to_float(some).to(memory_format=torch.channels_last))
            found.append(front.theta)
    theta = torch.cat(found)
    if theta.shape[1:] not in ((2, 3), (3, 3)):
        raise ValueError(f"theta is {list(theta.shape)}; wanted [N, 2, 3] or [N, 3, 3]")
    return theta


def measure_perspective(model: nn.Module, device: torch.device, split: str = "test") -> dict:
    """The probe: `corner_residual` against the truth on P, before and after `model`.

    Each from where the corners of the digit were `written`, and from their `common` place
    (the median over the images), since no label tells a network which fixed pose to prefer.
    `inner` is as `common` for the square of half the side in the middle, where the ink is:
    nothing in a picture shows where its empty corners went. `w` holds the `smallest_w` over
    all images. Without a transformer there is only `before`.
    """
    digits = mnist(split)
    seed = stream(TEST, ("train", "valid", "test").index(split))  # the very set it is tested on
    made, _ = data.freeze("p", digits.images.to(device), digits.labels.to(device), seed)
    half = digits.images.shape[-1] / 2
    found = {"before": made.theta}
    probes = {}
    if first_transformer(model) is not None:
        theta = found_transforms(model, made.images)
        probes["w"] = {"smallest": smallest_w(theta).min().item(), "n": len(theta)}
        found["after"] = geometry.compose(made.theta, theta)
    for when, both in found.items():
        whole, inner = corner_places(both), corner_places(both, reach=0.5)  # [N, 4, 2]
        probes[when] = {
            "written": corner_residual(whole, both.new_tensor(CORNERS), half),
            "common": corner_residual(whole, lower_median(whole, 0), half),
            "inner": corner_residual(inner, lower_median(inner, 0), half),
        }
    return probes
