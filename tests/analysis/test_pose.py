"""What is left of a digit's motion after its transformer, and the loss that counts it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from stn_course import geometry, models
from stn_course.analysis import pose
from stn_course.data import Digits, mnist, recipes
from stn_course.models.losses import pose_error
from stn_course.training import datasets
from stn_course.training.config import Config
from stn_course.training.listeners import AtTheEnd
from stn_course.training.loop import fit

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_are_measured(monkeypatch):
    """600 digits of a split that is not learned from: a spread needs no more."""

    def few(split):
        made, n = mnist(split), None if split == "train" else 600
        return Digits(made.images[:n], made.labels[:n], made.source)

    monkeypatch.setattr(datasets, "mnist", few)
    monkeypatch.setattr(pose, "mnist", few)


def drawn(n=500):
    images, labels = torch.zeros(n, 1, 28, 28), torch.zeros(n, dtype=torch.long)
    return recipes.make("hr", images, labels, torch.Generator().manual_seed(0))[0].theta


def test_the_exact_inverse_leaves_nothing():
    true = drawn()
    angle, centre, zoom = pose.residual(true, geometry.invert(true))
    assert angle.abs().max() < 1e-3 and centre.abs().max() < 1e-5
    assert torch.allclose(zoom, torch.ones(len(true)), atol=1e-5)
    assert pose_error(true, geometry.invert(true)) < 1e-9


def test_the_error_is_that_of_what_the_output_shows_of_the_digit():
    """The output is read by ``found``, and what it finds there lies on the digit by ``true``."""
    dice = torch.Generator().manual_seed(0)
    true, found = (torch.eye(3)[:2] + 0.3 * torch.randn(5, 2, 3, generator=dice) for _ in "tf")
    whole = [np.concatenate([t, np.tile([[[0, 0, 1]]], (5, 1, 1))], 1) for t in (true, found)]
    wanted = ((whole[0] @ whole[1] - np.eye(3)) ** 2).sum((1, 2)).mean()
    assert pose_error(true, found).item() == pytest.approx(wanted, rel=1e-5)


def test_a_fixed_pose_of_the_transformer_is_a_mean_without_a_spread():
    true = drawn()
    turn = geometry.affine(angle=30.0, shift=(0.25, 0.0)).expand_as(true)
    found = pose.spread(*pose.residual(true, geometry.compose(geometry.invert(true), turn)), 14.0)
    assert abs(found["angle_mean"]) == pytest.approx(30, abs=1e-3)
    assert found["angle_sd"] < 0.01 and found["centre_sd"] < 1e-3
    assert found["centre_offset"] == pytest.approx(14 * 0.25, abs=1e-3)


@pytest.mark.parametrize("size", [(40, 100), (100, 40), (28, 28)])
def test_an_angle_is_one_of_pixels(size):
    turn = geometry.affine(angle=37.0, scale=1.5, shift=(0.25, 0.5), size=size)
    angle, centre, zoom = pose.residual(turn, geometry.identity(), size=size)
    assert abs(angle.item()) == pytest.approx(37.0, abs=1e-4)
    assert zoom.item() == pytest.approx(1 / 1.5, abs=1e-6)
    half = size[0] / 2, size[1] / 2
    offset = pose.spread(angle, centre, zoom, half)["centre_offset"]
    in_pixels = geometry.to_pixels(centre, size) - geometry.to_pixels(torch.zeros(1, 2), size)
    assert offset == pytest.approx(in_pixels.norm().item(), rel=1e-6)
    if size[0] == size[1]:
        assert pose.spread(angle, centre, zoom, half[0])["centre_offset"] == pytest.approx(offset)


@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_a_mirror_does_not_hide_the_angles(shear):
    """A fixed mirror turns every digit by one angle, as a fixed rotation does."""
    true = drawn()
    mirror = torch.tensor([[[-1.0, shear, 0.0], [0.0, 1.0, 0.0]]]).expand_as(true)
    for angle in (0.0, 40.0):
        fixed = geometry.compose(geometry.affine(angle=angle).expand_as(true), mirror)
        undone = geometry.compose(geometry.invert(true), fixed)
        found = pose.spread(*pose.residual(true, undone), 14.0)
        assert found["mirrored"] == 1 and found["angle_sd"] < 0.01
        lean = math.degrees(math.atan2(shear, 2))
        assert abs(found["angle_mean"]) == pytest.approx(abs(angle - lean), abs=1e-3)
        as_drawn = pose.spread(*pose.residual(true, fixed), 14.0)["angle_sd"]
        came = pose.spread(*pose.residual(true, geometry.affine().expand_as(true)), 14.0)
        assert as_drawn == pytest.approx(came["angle_sd"], abs=2)


def test_the_spread_of_angles_goes_round_the_circle():
    angles = torch.tensor([170.0, -170.0]).repeat(100)
    found = pose.spread(angles, torch.zeros(200, 2), -torch.ones(200), 14.0)
    r = math.cos(math.radians(10))
    assert abs(found["angle_mean"]) == pytest.approx(180)
    assert found["angle_sd"] == pytest.approx(math.degrees(math.sqrt(-2 * math.log(r))), rel=1e-6)
    assert found["mirrored"] == 1


def test_an_untrained_transformer_leaves_the_pose_as_it_was():
    net = models.build("stn-small", size=(40, 40))
    found = pose.measure_pose(net, "hr", CPU, "valid")
    assert found["before"] == pytest.approx(found["after"])
    assert found["before"]["angle_sd"] > 10 and found["before"]["centre_sd"] > 5
    with pytest.raises(ValueError, match="no spatial transformer"):
        pose.measure_pose(models.build("fc"), "r", CPU)
    with pytest.raises(ValueError, match="several transformers side by side"):
        pose.measure_pose(models.build("stn-small", transformers=2), "r", CPU)
    with pytest.raises(ValueError, match="no affine truth"):
        pose.measure_pose(models.build("stn-small"), "e", CPU, "valid")


def test_the_pose_in_the_loss_straightens():
    def straightness(net, device):
        return pose.measure_pose(net, "hr", device, "valid")

    config = Config("stn-small", {"width": 0.5}, distort="hr", tests=("hr",), limit=600)
    config = replace(config, epochs=4, batch_size=25, lr=2e-3)
    spreads = [
        fit(replace(config, pose_weight=weight), 0, [AtTheEnd(straightness)])[1].probes["after"]
        for weight in (0.0, 3.0)
    ]
    assert spreads[1]["centre_sd"] < 0.5 * spreads[0]["centre_sd"]


def test_a_pose_needs_its_truth_and_a_transformer():
    with pytest.raises(ValueError, match="pose_weight=1"):
        Config(model="stn-small", pose_weight=1)
    with pytest.raises(ValueError, match="affine transformer"):
        fit(Config(model="fc", distort="hr", tests=("hr",), pose_weight=1, limit=50))
