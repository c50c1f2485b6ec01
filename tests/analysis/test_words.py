"""Where signs come to lie in what a reader gets: against geometry, for every family."""

import pytest
import torch

from stn_course import geometry, models
from stn_course.analysis import words as measured
from stn_course.data import words

CPU = torch.device("cpu")


def test_the_middles_of_the_signs_are_those_of_their_cells():
    cells = torch.zeros(1, 5, *words.flat.CELL)
    cells[:, :, 12, 9] = cells[:, :, 11, 8] = cells[:, :, 12, 8] = cells[:, :, 11, 9] = 1
    sheet = words.flat.laid_out(cells)[0, 0]
    row, column = sheet.nonzero().float().T
    middles = measured.sign_middles() * torch.tensor([48.0, 16.0]) + torch.tensor([47.5, 15.5])
    found = torch.stack([column.view(2, 5, 2).mean((0, 2)), row.view(2, -1).mean().expand(5)], 1)
    torch.testing.assert_close(middles, found)


@pytest.mark.parametrize("kind", ["affine", "homography", "spline"])
def test_places_in_the_output_are_the_inverse_to_half_a_pixel(kind):
    theta = geometry.affine(7.0, (0.8, 0.9), shift=(0.1, -0.2), size=(32, 96))
    if kind == "homography":
        theta = geometry.to_homogeneous(theta)
        theta[:, 2, :2] = torch.tensor([0.1, -0.1])
    if kind == "spline":
        theta = torch.full((1, 2, 3, 2), 0.1)
        theta[0, 0, 1, 1] = 0.3
    at = torch.tensor([[[-0.4, 0.1], [0.3, -0.2], [0.0, 0.0]]])
    found = measured.places_in_output(theta, at, (32, 96))
    wanted = geometry.transform_points_back(theta, at)
    wanted = geometry.to_pixels(wanted, (32, 96))
    assert (found - wanted).abs().max() <= 0.51


class Straightener(models.SpatialTransformer):
    """Reads where the label truly lies: it knows, because the scenes are always the same."""

    def locate(self, images):
        points = geometry.control_points((4, 8))
        offsets = words.carried(self.truth, points) - points
        return offsets.unflatten(1, (4, 8))


def test_a_perfect_transformer_leaves_no_spread(monkeypatch):
    monkeypatch.setattr(measured, "SCENES", 60)
    reader = models.WordReader(classes=24, channels=3, digits=5)
    plain = measured.measure_signs(reader, CPU)["signs"]
    assert plain["sd_x"] == plain["before_x"] > 0.3 and plain["sd_y"] == plain["before_y"] > 0.15
    assert plain["outside"] == 0 and plain["scenes"] == 60 and 8 < plain["pitch"] < 18
    head = geometry.ThinPlateSpline((4, 8))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 96, head.n))
    front, make = Straightener(net, head), measured.recipes.make

    def kept(*args):
        made = make(*args)
        front.truth = made[0]
        return made

    monkeypatch.setattr(measured.recipes, "make", kept)
    perfect = measured.measure_signs(torch.nn.Sequential(front), CPU)["signs"]
    assert perfect["sd_x"] < 0.05 and perfect["sd_y"] < 0.05
    assert perfect["pitch"] == pytest.approx(18, abs=0.5)  # as in the flat word
    assert perfect["before_x"] == plain["before_x"]


def test_to_zoom_in_is_no_straightening(monkeypatch):
    monkeypatch.setattr(measured, "SCENES", 60)
    front = models.transformer((32, 96), 3)
    with torch.no_grad():
        front.head[0].bias.copy_(torch.tensor([0.8, 0, 0, 0, 0.8, 0]))
    found = measured.measure_signs(torch.nn.Sequential(front), CPU)["signs"]
    assert found["sd_x"] == pytest.approx(found["before_x"], rel=0.05)
    assert found["sd_y"] == pytest.approx(found["before_y"], rel=0.05)
