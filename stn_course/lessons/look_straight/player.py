"""Where a transformer reads, and what it gets, as training goes on (notebook 03)."""

from collections.abc import Sequence

from torch import Tensor

from stn_course.lessons.widgets import Looks


class TrainingPlayer(Looks):
    """A slider over `steps`, and a button that plays them; below each digit what is read of it.

    images [N, 1, h, w] in [0, 1]; thetas [T, N, 2, 3] after each of the T `steps`.
    Raises ValueError where these do not fit together.
    """

    def __init__(
        self, images: Tensor, thetas: Tensor, steps: Sequence[int], size: tuple[int, int] = (28, 28)
    ):
        if thetas.shape != (len(steps), len(images), 2, 3) or not len(images):
            raise ValueError(
                f"thetas {list(thetas.shape)} for {len(steps)} steps and {len(images)} images; "
                "wanted [steps, images, 2, 3]"
            )
        pictures = images.detach().clamp(0, 1).cpu()
        super().__init__(pictures, thetas.detach().cpu().transpose(0, 1), steps, size)
        self.step = len(steps) - 1

    def __repr__(self) -> str:
        return f"TrainingPlayer({len(self.pictures)} digits, {len(self.steps)} steps)"
