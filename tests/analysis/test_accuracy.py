"""How a network is measured: a few images at a time, in eval mode, and every one of them."""

import pytest
import torch
from torch import nn

from stn_course.analysis.accuracy import evaluate


class Knows(nn.Module):
    """Says the number that is written in a picture's first pixel, and notes what it was shown."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, x):
        self.batches.append((len(x), x.dtype, self.training))
        return 20 * nn.functional.one_hot((255 * x[:, 0, 0, 0]).round().long(), 10).float()


def test_images_are_measured_250_at_a_time():
    """10 000 rows of digits at once would take more memory than many machines have."""
    labels = torch.arange(620) % 10
    images = labels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 5, 4).clone()
    images[600:] = (images[600:] + 1) % 10  # the last 20, of a short batch, are read wrong
    model = Knows().train()
    found = evaluate(model, images, labels)
    told = torch.float32, False
    assert model.batches == [(250, *told), (250, *told), (120, *told)] and model.training
    assert (found["correct"], found["total"]) == (600, 620)
    assert found["loss"] == pytest.approx(20 * 20 / 620, abs=1e-5)
