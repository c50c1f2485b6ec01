"""Three sliders move a digit; bars show what each network believes (notebook 01)."""

import ipywidgets as ipw
import torch
from torch import Tensor, nn

from stn_course import geometry, sampler
from stn_course.widgets import picture_html


@torch.no_grad()
def beliefs(models: dict[str, nn.Module], image: Tensor) -> dict[str, list[float]]:
    """Each network's probabilities for one image [1, H, W] in [0, 1]."""
    return {name: model(image[None]).softmax(1)[0].tolist() for name, model in models.items()}


def moved(image: Tensor, rotate: float, scale: float, shift: float) -> Tensor:
    """``image`` [1, H, W] turned by degrees, made larger by a factor, moved right by pixels."""
    theta = geometry.affine(angle=rotate, scale=scale, shift=(2 * shift / image.shape[-1], 0.0))
    return sampler.warp(image[None], theta)[0]


def bars_html(name: str, probabilities: list[float]) -> str:
    """One network's belief as ten labelled bars; the largest is green.

    Of colours that stand out on light and on dark pages alike.
    """
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    rows = "".join(
        f'<div style="display:flex;align-items:center;height:17px">'
        f'<span style="width:16px">{digit}</span>'
        f'<span style="width:{130 * p:.0f}px;height:11px;'
        f'{"background:#2a9d8f" if digit == best else "background:currentColor;opacity:.3"}">'
        "</span>"
        f'<span style="font-size:11px;margin-left:4px">{100 * p:.0f} %</span></div>'
        for digit, p in enumerate(probabilities)
    )
    return (
        f'<div role="img" aria-label="{name} says {best}, {100 * probabilities[best]:.0f} percent"'
        f' style="width:210px"><b>{name}: {best}</b>{rows}</div>'
    )


class DigitExplorer(ipw.VBox):
    """Sliders over ``moved`` and ``beliefs``; ``image`` [1, H, W], ``models`` in eval mode."""

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
