"""Not-so-Clevr: one square on a canvas, at every place where it fits.

The toy of Liu et al. 2018 (arXiv 1807.03247) that shows what a convolution cannot say: *where*.
A 9x9 square at each of the 56x56 places of a 64x64 canvas, 3 136 pictures in all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stn_course.geometry import as_int64, real_number, whole_number

CANVAS, SIDE = 64, 9  # pixels
SPLITS = ("uniform", "quadrant")
TASKS = ("classification", "rendering", "regression")


@dataclass(frozen=True)
class Squares:
    """Some of the places and what can be asked about them.

    `centres` [N, 2]: the square's middle pixel, x first, counted from 0. Kept in int64: raises
    TypeError for what is no whole number, ValueError for another shape.
    """

    centres: Tensor
    canvas: int = CANVAS
    side: int = SIDE

    def __post_init__(self):
        centres = as_int64(self.centres, "centres")
        if centres.ndim != 2 or centres.shape[1] != 2:
            raise ValueError(f"centres have shape {list(centres.shape)}; wanted [N, 2]")
        object.__setattr__(self, "centres", centres)  # y * canvas + x is no byte

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def points(self) -> Tensor:
        """The centres in the course's coordinates: [-1, 1] from edge to edge.  # [N, 2]"""
        return (2 * self.centres + 1).float() / self.canvas - 1

    @property
    def cells(self) -> Tensor:
        """The middle pixel as one class of canvas * canvas, row by row: y * canvas + x.  # [N]"""
        return self.centres[:, 1] * self.canvas + self.centres[:, 0]

    @property
    def images(self) -> Tensor:
        """The squares: 1 inside, 0 outside, float32.  # [N, 1, canvas, canvas]"""
        pixel = torch.arange(self.canvas, device=self.centres.device)
        inside = (pixel - self.centres[..., None]).abs() <= self.side // 2  # [N, 2, canvas]
        return (inside[:, 1, :, None] & inside[:, 0, None, :])[:, None].float()

    def task(self, name: str) -> tuple[Tensor, Tensor]:
        """What goes into the network and what should come out.

        "classification": points [N, 2] -> cells [N]; "rendering": points [N, 2] -> images
        [N, 1, H, W]; "regression": images [N, 1, H, W] -> points [N, 2].

        Raises ValueError for another name.
        """
        if name == "classification":
            return self.points, self.cells
        if name == "rendering":
            return self.points, self.images
        if name == "regression":
            return self.images, self.points
        raise ValueError(f"task={name!r}; wanted one of {TASKS}")


def all_centres(canvas: int = CANVAS, side: int = SIDE, device=None) -> Tensor:
    """Every middle pixel (x, y) of a square that lies on the canvas, row by row.  # [N, 2]

    Raises ValueError for an even `side` (no middle pixel) or one that does not fit.
    """
    canvas, side = whole_number("canvas", canvas), whole_number("side", side, least=0)
    if side < 1 or side % 2 == 0 or side > canvas:
        raise ValueError(f"side={side}; wanted an odd number of pixels up to canvas={canvas}")
    where = torch.arange(side // 2, canvas - side // 2, device=device)
    y, x = torch.meshgrid(where, where, indexing="ij")
    return torch.stack([x, y], 2).reshape(-1, 2)


def squares(
    split: str = "uniform",
    seed: int = 0,
    *,
    held_out: float = 0.2,
    canvas: int = CANVAS,
    side: int = SIDE,
    device: torch.device | str | None = None,
) -> tuple[Squares, Squares]:
    """Training and test squares.

    "uniform" holds out the share `held_out` of all places, drawn with `seed`: test places
    lie among training places. "quadrant" holds out every centre with x and y beyond the middle
    of the canvas (x > 32 and y > 32): 729 of 3 136, where nothing was ever seen. It has no
    chance in it: `seed` and `held_out` do not matter.

    Raises ValueError for another split, a share that leaves one side empty, and sides that do
    not fit.
    """
    if split not in SPLITS:
        raise ValueError(f"split={split!r}; wanted one of {SPLITS}")
    canvas, side = whole_number("canvas", canvas), whole_number("side", side, least=0)
    seed, held_out = whole_number("seed", seed, least=0), real_number("held_out", held_out)
    centres = all_centres(canvas, side)
    if split == "quadrant":
        test = (centres > canvas // 2).all(1)
    else:
        count = round(held_out * len(centres))
        # The same places on every device: they are drawn on the CPU.
        order = torch.randperm(len(centres), generator=torch.Generator().manual_seed(seed))
        test = torch.zeros(len(centres), dtype=torch.bool)
        test[order[: max(count, 0)]] = True
    if test.all() or not test.any():
        raise ValueError(
            f"split={split!r}, held_out={held_out}, canvas={canvas}, side={side} leave "
            f"{int((~test).sum())} places to train on and {int(test.sum())} to test"
        )
    train, held = centres[~test].to(device), centres[test].to(device)
    return Squares(train, canvas, side), Squares(held, canvas, side)
