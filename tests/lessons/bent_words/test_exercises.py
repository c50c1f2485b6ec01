"""Answers to notebook 08's exercises as people write them, beyond the registered ones."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator
from torch.nn import functional as F

from stn_course import geometry
from stn_course.data import words
from stn_course.lessons.bent_words import exercises
from stn_course.lessons.checking import check, find
from tests.support import rejection

KEYS = ("8.1", "8.2", "8.3", "8.4")


# ---------------------------------------------------------------- right, written otherwise
def by_the_package(theta, box, output_size, input_size):
    """8.1 in the package's pixels, whose (0, 0) is the centre of the first."""
    x0, y0, x1, y1 = box
    corners = theta.new_tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - 0.5
    sizes = {"size": input_size, "output_size": output_size}
    return geometry.transform_points(theta[None], corners, **sizes)[0] + 0.5


def by_sorting(read_at, points, share):
    largest = (read_at - points).abs().flatten(1).max(1).values
    return torch.quantile(largest, share)


def by_offsets(src, dst, at):
    return at + exercises.spline_through(src, dst - src, at)


RIGHT = {
    "8.1": by_the_package,
    "8.2": by_sorting,
    "8.3": by_offsets,
    "8.4": lambda images, k: F.avg_pool2d(images, k),
}


@pytest.mark.parametrize("key", KEYS)
def test_other_right_answers_pass(key, capsys):
    assert check(key, RIGHT[key]) is RIGHT[key]
    assert f"{key}: right." in capsys.readouterr().out


def test_the_landmark_spline_is_scipys():
    for src, dst, at in find("8.3").inputs():
        slow = RBFInterpolator(src.numpy(), dst.numpy(), kernel="thin_plate_spline", degree=1)
        assert (
            np.abs(slow(at.numpy()) - exercises.spline_through(src, dst, at).numpy()).max() < 1e-9
        )


def test_the_corners_of_the_whole_output_are_those_of_the_label():
    made = words.word_scenes(torch.zeros(1, 1, 32, 96), torch.zeros(1, 5, dtype=int), seeded())
    theta = geometry.invert(made.theta)[0].double()
    corners = exercises.corners_read(theta, (0, 0, 96, 32), (32, 96), (32, 96))
    unbent = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    flat = words.scenes.bent(unbent[None], made.bend)  # so that carried undoes it
    true = (words.carried(made, flat[0])[0] + 1) * torch.tensor([48.0, 16.0])
    torch.testing.assert_close(corners.float(), true, atol=1e-3, rtol=0)


def seeded():
    return torch.Generator().manual_seed(4)


# ---------------------------------------------------------------- wrong
def test_a_pixel_kept_of_each_block_is_named():
    assert "never read" in rejection("8.4", lambda images, k: images[:, :, ::k, ::k])


def test_a_detached_theta_is_named():
    def cut(theta, *rest):
        return exercises.corners_read(theta.detach(), *rest)

    assert "no gradient can flow back to `theta`" in rejection("8.1", cut)


@pytest.mark.parametrize("key", KEYS)
def test_every_known_bug_has_a_name_of_its_own(key):
    exercise = find(key)
    assert len(exercise.bugs) >= 7
    for message, bug in exercise.bugs.items():
        assert message in rejection(key, bug)
