"""A step slider: where a transformer reads, and what it gets, as training goes on (notebook 03)."""

from collections.abc import Sequence

import ipywidgets as ipw
from torch import Tensor

from stn_course import geometry, sampling
from stn_course.analysis.plots import BLUE
from stn_course.lessons.widgets import LiveBox, picture_html
from stn_course.sampling import reference


def box_html(theta: Tensor, size: tuple[int, int]) -> str:
    """The box that theta [2, 3] reads of an image of `size`, its top edge blue, as SVG."""
    x, y = geometry.to_pixels(sampling.outline(theta[None])[0], size).unbind(1)
    points = [f"{a + 0.5:.2f},{b + 0.5:.2f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return (
        f'<polygon points="{" ".join(points)}" stroke="#d9480f"/>'
        f'<polyline points="{" ".join(points[:2])}" stroke="{BLUE}" stroke-width=".8"/>'
    )


class TrainingPlayer(LiveBox):
    """A slider over `steps`; each digit with its box, and below it what is read.

    images [N, 1, h, w] in [0, 1]; thetas [T, N, 2, 3] after each of the T `steps`.
    Raises ValueError where these do not fit together.
    """

    def __init__(
        self,
        images: Tensor,
        thetas: Tensor,
        steps: Sequence[int],
        size: tuple[int, int] = (28, 28),
        scale: int = 3,
    ):
        if thetas.shape != (len(steps), len(images), 2, 3):
            raise ValueError(
                f"thetas {list(thetas.shape)} for {len(steps)} steps and {len(images)} images; "
                "wanted [steps, images, 2, 3]"
            )
        self.images, self.thetas, self.steps = images, thetas, list(steps)
        self.size, self.scale = size, scale
        self.slider = ipw.SelectionSlider(
            options=self.steps, value=self.steps[-1], description="step", continuous_update=False
        )
        self.pictures = ipw.HTML()
        self.slider.observe(self._draw, "value")
        super().__init__([self.slider, self.pictures])
        self._draw()  # now, so that what is broken raises here and not at the first move

    def _draw(self, _change=None) -> None:
        theta = self.thetas[self.steps.index(self.slider.value)]
        read = reference.warp(self.images, theta, self.size).clamp(0, 1)
        shape, columns = tuple(self.images.shape[2:]), []
        for image, its, got in zip(self.images, theta, read, strict=True):
            box = box_html(its, shape)
            above = picture_html(image[0], "digit and box", box, margin=4, scale=self.scale)
            below = picture_html(got[0], "what is read", margin=4, scale=self.scale)
            columns.append(f'<div style="display:inline-block">{above}<br>{below}</div>')
        self.pictures.value = "".join(columns)

    def __repr__(self) -> str:
        return f"TrainingPlayer({len(self.images)} digits, {len(self.steps)} steps)"
