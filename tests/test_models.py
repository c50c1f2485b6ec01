"""The networks: sizes as published, shapes, clear errors."""

import pytest
import torch

from stn_course import models


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("fc", 28 * 28 * 128 + 128 + 128 * 10 + 10),
        ("cnn", 32 * 9 + 32 + 16 * 32 * 9 + 16 + 400 * 100 + 100 + 1010),
        ("cnn-blog", 60 + 6 * 16 * 9 + 16 + 400 * 120 + 120 + 120 * 84 + 84 + 850),
    ],
)
def test_parameter_counts(name, parameters):
    assert models.count_parameters(models.build(name)) == parameters


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("size", [(28, 28), (40, 40), (33, 41)])
@pytest.mark.parametrize("batch", [1, 3])
def test_logits_at_any_size(name, size, batch):
    logits = models.build(name, size=size, classes=7)(torch.rand(batch, 1, *size))
    assert logits.shape == (batch, 7)


def test_subsampling_keeps_the_parameter_count_and_pools_nothing():
    plain, sub = models.build("cnn"), models.build("cnn", pool="subsample")
    assert models.count_parameters(plain) == models.count_parameters(sub)
    x = torch.arange(30.0).view(1, 1, 5, 6)
    assert models.Subsample()(x).tolist() == [[[[0, 2, 4], [12, 14, 16]]]]


def test_keras_start_is_glorot_with_zero_bias():
    layer = models.build("fc")[1]
    assert layer.bias.eq(0).all()
    assert layer.weight.abs().max() <= (6 / (784 + 128)) ** 0.5
    assert layer.weight.std().item() == pytest.approx((2 / (784 + 128)) ** 0.5, rel=0.02)


def test_bad_names_and_sizes_are_named():
    with pytest.raises(ValueError, match="model='nope' is unknown; wanted one of fc"):
        models.build("nope")
    with pytest.raises(ValueError, match="pool='mean'; wanted 'max' or 'subsample'"):
        models.build("cnn", pool="mean")
    with pytest.raises(ValueError, match=r"size=\(8, 28\) is too small"):
        models.build("cnn", size=(8, 28))
