"""The explorer of notebook 01: its pure parts, and the sliders as a reader moves them."""

import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stn_course import data, models
from stn_course.analysis import robustness
from stn_course.data import mnist
from stn_course.lessons.invariance.explorer import DigitExplorer, beliefs, moved
from stn_course.lessons.widgets import bars_html
from tests.support import bar, sides


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
    assert torch.allclose(moved(image, 30, 1, 0), robustness.rotate(image[None], 30)[0])
    assert sides(moved(bar()[0], 90, 1, 0)) == (4, 20)
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
        start = time.process_time()  # not the wall clock: a busy machine fails no test
        explorer.sliders["rotate"].value = k + 1
        times.append(time.process_time() - start)
    assert statistics.quantiles(times, n=20)[-1] < 0.05


def test_a_broken_model_raises_at_construction():
    with pytest.raises(RuntimeError):
        DigitExplorer(digit(), {"broken": nn.Linear(3, 3)})
    with pytest.raises(ValueError, match=r"image has shape \(28, 28\); wanted \[1, H, W\]"):
        DigitExplorer(torch.zeros(28, 28), nets())


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("size", [(90, 60), (33, 200)])
def test_a_digit_of_ones_own_is_laid_out_as_mnists(light, size, tmp_path):
    paper = np.full((size[0] + 80, size[1] + 30), 250 if light else 5, np.uint8)
    paper[10 : 10 + size[0], 25 : 25 + size[1]] = 20 if light else 240  # a block, off the middle
    Image.fromarray(paper).save(tmp_path / "own.png")
    image = data.from_picture(tmp_path / "own.png")
    assert image.shape == (1, 28, 28) and image.max() == 1 and image.min() == 0
    rows, columns = ((image[0] > 0.5).any(k).nonzero().flatten() for k in (1, 0))
    sides = [len(rows), len(columns)]
    assert max(sides) == 20 and sides[0] / sides[1] == pytest.approx(size[0] / size[1], rel=0.2)
    for found in (rows, columns):
        assert abs(found.float().mean().item() - 13.5) <= 1
    Image.new("L", (30, 30), 200).save(tmp_path / "blank.png")
    with pytest.raises(ValueError, match="blank.png has no ink"):
        data.from_picture(tmp_path / "blank.png")


def test_a_picture_of_a_real_digit_stays_itself(tmp_path):
    """Drawn large, dark on light, and read back: the digit that it was."""
    digit = mnist("test").images[0, 0].numpy()
    Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.NEAREST).save(
        tmp_path / "seven.png"
    )
    back = data.from_picture(tmp_path / "seven.png")[0].numpy()
    assert np.corrcoef(back.ravel(), digit.ravel())[0, 1] > 0.9
