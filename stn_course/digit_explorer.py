"""Three sliders move a digit; bars show what each network believes (notebook 01)."""

import ipywidgets as ipw
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from stn_course import geometry, sampler
from stn_course.widgets import picture_html


def from_picture(path) -> Tensor:
    """A digit of one's own from an image file, laid out as MNIST's are.  # [1, 28, 28] in [0, 1]

    Grey, ink bright on dark (a light picture is inverted), its ink 20 pixels on the longer side
    and its centre of mass on pixel 14, 14.  Raises ValueError for a picture of one colour.
    """
    grey = np.asarray(Image.open(path).convert("L"), np.float32) / 255
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = (grey - paper) * (1 if paper < 0.5 else -1)
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError(f"{path} has no ink on its paper; wanted a dark digit on light, or so")
    cut = np.clip(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0, 1)
    size = [max(1, round(20 * n / max(cut.shape))) for n in cut.shape[::-1]]  # width, height
    small = Image.fromarray(np.uint8(255 * cut / cut.max())).resize(size, Image.Resampling.BOX)
    sheet = np.zeros((28, 28), np.float32)
    sheet[: size[1], : size[0]] = np.asarray(small, np.float32) / 255
    centre = [(sheet.sum(1 - k) * np.arange(28)).sum() / sheet.sum() for k in (0, 1)]
    down, right = (min(round(14 - c), 28 - n) for c, n in zip(centre, size[::-1], strict=True))
    return torch.from_numpy(np.roll(sheet, (max(0, down), max(0, right)), (0, 1)))[None]


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
