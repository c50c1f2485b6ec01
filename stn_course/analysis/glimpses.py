"""Where a network looks, and how well that covers the digits."""

import torch
from torch import Tensor, nn

from stn_course.data import freeze, mnist, to_float
from stn_course.geometry import glimpse_boxes, iou, whole_number
from stn_course.models.layers import evaluating
from stn_course.models.transformers import first_posed_transformer
from stn_course.sampling import affine_grid


def glimpse_iou(theta: Tensor, boxes: Tensor, canvas: int) -> Tensor:
    """How well glimpses cover digits: intersection over union of their boxes.  # [B, steps]

    theta [B, steps, 2, 3] of a square canvas (pixels), boxes [B, D, 4] as in `data.ClutterSet`.
    Step i is compared with digit i; a single glimpse of several digits with the smallest box
    around them all. Of a turned glimpse the upright box around it counts (`glimpse_boxes`).

    Raises ValueError for another number of steps, shapes that do not belong together, and no boxes
    (the 40x40 file has none).
    """
    if boxes is None:
        raise ValueError("boxes is None: this set does not know them; wanted [B, D, 4]")
    steps, digits = theta.shape[1], boxes.shape[1]
    if theta.shape[2:] != (2, 3) or boxes.shape[2:] != (4,) or theta.shape[0] != boxes.shape[0]:
        raise ValueError(
            f"theta {list(theta.shape)} and boxes {list(boxes.shape)} do not belong together; "
            "wanted [B, steps, 2, 3] and [B, D, 4]"
        )
    if steps == 1 and digits > 1:
        low, high = boxes[:, :, :2].amin(1), boxes[:, :, 2:].amax(1)  # [B, 2] each
        boxes = torch.cat([low, high], 1)[:, None]
    elif steps != digits:
        raise ValueError(f"theta has {steps} steps; wanted 1 or {digits}, as many as boxes")
    found = iou(glimpse_boxes(theta.flatten(0, 1), canvas), boxes.flatten(0, 1).to(theta.device))
    return found.view(theta.shape[0], -1 if theta.shape[0] else steps)


def where_it_looks(model: nn.Module, images: Tensor, batch: int = 250) -> Tensor:
    """The transforms by which `model`, in eval mode, looks at images.  # [N, steps, 2, 3]

    images uint8 [N, C, H, W] or float in [0, 1]. The model is left as it was, but for the
    `theta` of its last call. Raises ValueError without images, or of another size.
    """
    if not len(images):
        raise ValueError("images is empty; wanted at least one")
    found, batch = [], whole_number("batch", batch)
    with evaluating(model):
        for x in images.split(batch):
            x = x.float() / 255 if x.dtype == torch.uint8 else x
            model.check(x)
            model.look(x.to(memory_format=torch.channels_last))
            found.append(model.theta)
    return torch.cat(found)


GLIMPSE = (28, 28)


def glimpses(model: nn.Module, device: torch.device, name: str) -> dict[str, dict]:
    """How far `model` zooms out on the test digits under the recipe `name`.

    `half_side`: mean root of |det theta|; `outside`: share of what is read that lies
    beyond the picture's edge.
    """
    digits = mnist("test")
    made, _ = freeze(name, digits.images.to(device), digits.labels.to(device), seed=0)
    front, sides, beyond = first_posed_transformer(model), [], []
    with evaluating(model):
        for images in made.images.split(250):
            model(to_float(images))
            theta = front.theta
            grid = affine_grid(theta, (28, 28))
            sides.append(theta[:, :, :2].det().abs().sqrt())
            beyond.append((grid.abs() > 1).any(3).float().mean((1, 2)))
    return {
        "glimpse": {
            "half_side": torch.cat(sides).mean().item(),
            "outside": torch.cat(beyond).mean().item(),
        }
    }
