"""Digits that move further than a network was shown: what is drawn, and what is recorded."""

import pytest
import torch

from stn_course import geometry
from stn_course.experiments import records, runner
from stn_course.experiments.catalogue import find, outside


@pytest.mark.parametrize("name", outside.SETS)
def test_digits_move_within_their_ranges_and_as_before(name, monkeypatch):
    seen = []
    warp = outside.fused.warp

    def watched(images, theta):
        seen.append(theta)
        return warp(images, theta)

    monkeypatch.setattr(outside.fused, "warp", watched)
    images = torch.zeros(1003, 1, 28, 28, dtype=torch.uint8)
    out = outside.moved(images, name, seed=3)
    assert out.shape == (1003, 1, 40, 40) and out.dtype == torch.float32
    theta = geometry.invert(torch.cat(seen))  # what the digit does
    (least, most), (small, large) = outside.SETS[name]
    zoom = theta[:, :, :2].det().sqrt()
    angle = torch.rad2deg(torch.atan2(theta[:, 0, 1], theta[:, 0, 0]))
    assert small <= zoom.min() + 1e-4 and zoom.max() <= large + 1e-4
    assert least <= angle.abs().min() + 1e-2 and angle.abs().max() <= most + 1e-2
    assert 0.4 < (angle > 0).float().mean() < 0.6, "both ways"
    assert torch.equal(out, outside.moved(images, name, seed=3))


def test_the_committed_record_is_of_the_stored_network():
    (found,) = records.load("outside-hr-upright")
    runner.check_record(found)
    assert found.config == find("outside-hr-upright").config
    (own,) = (r for r in records.load("hr-upright") if r.seed == found.seed)
    assert found.hashes["weights"] == own.hashes["weights"]
    assert found.results["test/hr"]["correct"] == own.results["test/hr"]["correct"]
    inside = found.accuracy("test/inside")
    for which in set(outside.SETS) - {"inside"}:
        assert found.accuracy(f"test/{which}") < inside
