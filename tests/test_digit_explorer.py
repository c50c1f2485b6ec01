"""The explorer of notebook 01: its pure parts, and the sliders as a reader moves them."""

import statistics
import time

import pytest
import torch
from torch import nn

from stn_course import measure, models
from stn_course.digit_explorer import DigitExplorer, bars_html, beliefs, moved


def nets():
    torch.manual_seed(0)
    return {"FC": models.build("fc").eval(), "CNN": models.build("cnn").eval()}


def digit():
    image = torch.zeros(1, 28, 28)
    image[0, 6:22, 12:16] = 1
    return image


def test_moving_is_what_the_curves_measure():
    image = digit()
    assert torch.equal(moved(image, 0, 1, 0), image)
    assert torch.allclose(moved(image, 30, 1, 0), measure.rotate(image[None], 30)[0])
    assert torch.allclose(moved(image, 0, 1, 3), image.roll(3, -1), atol=1e-5)


def test_beliefs_are_probabilities():
    for p in beliefs(nets(), digit()).values():
        assert len(p) == 10 and sum(p) == pytest.approx(1, abs=1e-5)


def test_bars_name_the_network_and_its_verdict():
    html = bars_html("CNN", [0.1, 0.7, 0.2])
    assert "CNN: 1" in html and 'aria-label="CNN says 1, 70 percent"' in html


def test_every_slider_redraws_picture_and_bars():
    explorer = DigitExplorer(digit(), nets())
    for name, value in (("rotate", 40), ("scale", 0.7), ("shift", -4)):
        before = (explorer.picture.value, *(b.value for b in explorer.bars.values()))
        explorer.sliders[name].value = value
        after = (explorer.picture.value, *(b.value for b in explorer.bars.values()))
        assert all(a != b for a, b in zip(before, after, strict=True)), name
    assert repr(explorer) == "DigitExplorer(FC, CNN)"


def test_a_move_takes_less_than_50_ms():
    explorer, times = DigitExplorer(digit(), nets()), []
    for k in range(60):
        start = time.perf_counter()
        explorer.sliders["rotate"].value = k + 1
        times.append(time.perf_counter() - start)
    assert statistics.quantiles(times, n=20)[-1] < 0.05


def test_a_broken_model_raises_at_construction():
    with pytest.raises(RuntimeError):
        DigitExplorer(digit(), {"broken": nn.Linear(3, 3)})
    with pytest.raises(ValueError, match=r"image has shape \(28, 28\); wanted \[1, H, W\]"):
        DigitExplorer(torch.zeros(28, 28), nets())
