"""The explorer of notebook 01: sliders that move a digit, bars that say what networks read."""

import ipywidgets as ipw
import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.lessons.widgets import LiveBox, bars_html, picture_html
from stn_course.sampling import reference


@torch.no_grad()
def beliefs(models: dict[str, nn.Module], image: Tensor) -> dict[str, list[float]]:
    """Each network's probabilities for one image [1, H, W] in [0, 1]."""
    return {name: model(image[None]).softmax(1)[0].tolist() for name, model in models.items()}


def moved(image: Tensor, rotate: float, scale: float, shift: float) -> Tensor:
    """`image` [1, H, W] turned by degrees, made larger by a factor, moved right by pixels."""
    to_the_right = (2 * shift / image.shape[-1], 0.0)
    size = tuple(image.shape[1:])
    theta = geometry.affine(angle=rotate, scale=scale, shift=to_the_right, size=size)
    return reference.warp(image[None], theta)[0]


class DigitExplorer(LiveBox):
    """Sliders over `moved` and `beliefs`; `image` [1, H, W], `models` in eval mode."""

    def __init__(self, image: Tensor, models: dict[str, nn.Module]):
        if image.dim() != 3 or image.shape[0] != 1:
            raise ValueError(f"image has shape {tuple(image.shape)}; wanted [1, H, W]")
        self.image, self.models = image, models
        self.sliders = {
            "rotate": ipw.FloatSlider(0, min=-180, max=180, step=1, description="rotate °"),
            "scale": ipw.FloatSlider(1, min=0.5, max=1.5, step=0.05, description="scale"),
            "shift": ipw.FloatSlider(0, min=-8, max=8, step=0.5, description="shift px"),
        }
        self.picture, self.bars = ipw.HTML(), {name: ipw.HTML() for name in models}
        for slider in self.sliders.values():
            slider.observe(self._draw, "value")
        shown = ipw.HBox([self.picture, *self.bars.values()])
        super().__init__([ipw.HBox(list(self.sliders.values())), shown])
        self._draw()  # now, so that what is broken raises here and not at the first move

    def _draw(self, _change=None) -> None:
        image = moved(self.image, **{name: s.value for name, s in self.sliders.items()})
        self.picture.value = picture_html(image.clamp(0, 1), "the digit, moved", scale=7)
        for name, probabilities in beliefs(self.models, image).items():
            self.bars[name].value = bars_html(name, probabilities)

    def __repr__(self) -> str:
        return f"DigitExplorer({', '.join(self.models)})"
