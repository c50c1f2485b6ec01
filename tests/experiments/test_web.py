"""Networks for a page: rounding, refusals, and that the page's engine computes what torch does."""

import json
import subprocess

import pytest
import torch
from torch import nn

from stn_course import models
from stn_course.experiments import web
from stn_course.lessons.invariance import pad
from stn_course.models.layers import evaluating
from tools import check as checks

EVERY = ("fc", "cnn", "cnn-blog", "small", "stn-small", "stn-fc", "tutorial", "hr", "hr-cnn")


def described(model, size):
    return {"record": "none/0", "size": list(size), "layers": list(web.layers(model))}


def in_the_page(stored, images, folder):
    """Logits of the page's module for `images` [B, 1, H, W]."""
    (folder / "module.mjs").write_text(pad.engine_text(), encoding="utf-8")
    asked = {"stored": stored, "images": images.flatten(1).tolist()}
    (folder / "asked.json").write_text(json.dumps(asked))
    (folder / "run.mjs").write_text(
        'import { network } from "./module.mjs"; import { readFileSync } from "node:fs";'
        'const { stored, images } = JSON.parse(readFileSync(new URL("asked.json", '
        "import.meta.url))); const read = network(stored); "
        "console.log(JSON.stringify(images.map((x) => Array.from(read(x).logits))));"
    )
    found = subprocess.check_output([*checks.node(), str(folder / "run.mjs")])
    return torch.tensor(json.loads(found))


# ---------------------------------------------------------------- numbers
def test_float16_and_int8_come_back_near():
    values = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(0))
    values[2] = 0
    half, whole = web.packed(values), web.packed(values, whole=True)
    assert torch.equal(web.unpacked(half), values.half().float())
    step = values.flatten(1).abs().amax(1) / 127
    apart = (web.unpacked(whole) - values).flatten(1).abs().amax(1)
    assert (apart <= 0.5001 * step).all() and apart.max() > 0
    assert torch.equal(
        web.unpacked(web.packed(web.unpacked(whole), whole=True)), web.unpacked(whole)
    )


@pytest.mark.parametrize("whole", [False, True])
def test_numbers_that_are_none_are_refused(whole):
    with pytest.raises(ValueError, match="not finite"):
        web.packed(torch.tensor([1.0, float("nan")]), whole)
    with pytest.raises(ValueError, match="float16 holds"):
        web.packed(torch.tensor([1e5]))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.GRU(3, 4), "GRU.* is a layer that the page does not know"),
        (nn.MaxPool2d(3), "MaxPool2d.* does not know"),
        (nn.Conv2d(2, 2, 3, groups=2), "Conv2d.* does not know; wanted a plain one"),
        (nn.Conv2d(2, 2, 3, dilation=2), "wanted a plain one"),
        (nn.Conv2d(2, 2, 3, stride=(1, 2)), "wanted a plain one"),
        (models.build("stn-small", transform="homography"), "wanted an unbounded affine one"),
        (models.build("stn-small", padding="zeros"), "pads with the background"),
        (models.build("stn-small", bound=0.5), "unbounded"),
        (models.build("stn-small", pool=True), "unbounded"),
    ],
)
def test_what_the_page_does_not_know_is_refused(model, words):
    with pytest.raises(ValueError, match=words):
        list(web.layers(model))


# ---------------------------------------------------------------- the page's engine
def stirred(model):
    """`model` with batch norms and a transformer that do something, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            n = layer.num_features
            layer.running_mean = torch.randn(n, generator=generator) / 5
            layer.running_var = torch.rand(n, generator=generator) + 0.5
            layer.weight.data = torch.randn(n, generator=generator)  # some of them negative
            layer.bias.data = torch.randn(n, generator=generator) / 5
        elif isinstance(layer, models.SpatialTransformer):
            last = next(m for m in layer.head if isinstance(m, nn.Linear))
            last.weight.data = torch.randn(last.weight.shape, generator=generator) / 5
    return model.eval()


@pytest.mark.parametrize("size", [(28, 28), (33, 26)])
@pytest.mark.parametrize("name", EVERY)
def test_every_network_gives_in_the_page_what_torch_gives(name, size, tmp_path):
    torch.manual_seed(0)
    model = stirred(models.build(name, size=size))
    images = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(2))
    with evaluating(model):
        wanted = web.rounded(model)(images)
    found = in_the_page(described(model, size), images, tmp_path)
    assert wanted.std() > 0.01
    assert (found - wanted).abs().max() <= 1e-3 * max(1, wanted.abs().max().item())


def test_a_network_without_kept_weights_is_refused():
    with pytest.raises(FileNotFoundError, match="no weights were kept"):
        web.export("invariance-fc")
