"""Accuracy curves and equivariance errors on networks whose answer is known."""

import pytest
import torch
from torch import nn

from stn_course import data
from stn_course.analysis import robustness
from stn_course.analysis.accuracy import evaluate
from tests.support import bar, sides


class MeanColumn(nn.Module):
    """Says in which column the ink's centre of mass is: knows exactly where things are."""

    def forward(self, x):
        columns = x.sum((1, 2))  # [B, W]
        centre = (columns * torch.arange(columns.shape[1])).sum(1) / columns.sum(1)
        return -((torch.arange(columns.shape[1]) - centre[:, None]) ** 2)


def dots(column, n=4):
    images = torch.zeros(n, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, column] = 255
    return images


def test_evaluate_counts_and_leaves_the_mode_alone():
    images, labels = dots(3), torch.tensor([3, 3, 0, 3])
    model = MeanColumn().train()
    result = evaluate(model, images, labels, batch=3)
    assert (result["correct"], result["total"]) == (3, 4) and model.training
    assert result == evaluate(model, images.float() / 255, labels, batch=3)


def test_a_shift_by_k_pixels_moves_the_verdict_by_k():
    images, labels = dots(3), torch.full((4,), 5)
    counts = robustness.accuracy_curve(MeanColumn(), images, labels, robustness.shift, [0, 1, 2, 3])
    assert counts == [0, 0, 4, 0]


def test_a_rotation_is_counter_clockwise_and_zoom_is_about_the_centre():
    images = dots(7).float() / 255  # right of the centre
    up = robustness.rotate(images, 90.0)
    assert up[0, 0, 1, 4].item() == pytest.approx(1, abs=1e-5)
    closer = robustness.zoom(images, 1 / 3)
    assert closer[0, 0, 4, 5].item() > 0.9


def test_pixels_turn_of_pictures_that_are_not_square():
    for size in ((40, 100), (100, 40), (40, 40)):
        image = bar(size)
        assert sides(robustness.rotate(image, 90.0)) == (4, 20)
        assert sides(robustness.rotate(image, -90.0)) == (4, 20)
        assert sides(robustness.zoom(image, 2.0)) == (40, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_errors_of_layers_in_a_low_type(dtype):
    images, net = torch.rand(2, 1, 40, 40), nn.Sequential(nn.Conv2d(1, 2, 3, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(100 * torch.rand_like(net[0].weight))  # squares beyond float16
    wanted = robustness.equivariance_errors(net, images, 3)[0]
    found = robustness.equivariance_errors(net.to(dtype), images.to(dtype), 3)[0]
    assert found["invariance"] == pytest.approx(wanted["invariance"], rel=0.05)
    assert found["error"] < 0.05


def test_robustness_names_values_counts_and_total():
    found = robustness.robustness(MeanColumn(), dots(4), torch.full((4,), 4))
    assert set(found) == {"angle", "shift", "scale"}
    assert found["angle"]["values"][6] == 0 and found["angle"]["correct"][6] == 4
    for probe in found.values():
        assert len(probe["values"]) == len(probe["correct"]) and probe["total"] == 4


def test_convolution_commutes_pooling_at_its_stride_dense_layers_do_not():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 5)
    )
    images = torch.zeros(3, 1, 28, 28)
    images[:, :, 10:18, 10:18] = torch.rand(3, 1, 8, 8)
    rows = robustness.equivariance_errors(model, images, 2)
    by_two = {r["layer"]: r["error"] for r in rows}
    assert max(by_two["Conv2d"], by_two["ReLU"], by_two["MaxPool2d"]) < 1e-5
    assert by_two["Flatten"] is None and by_two["Linear"] is None
    left = {r["layer"]: r["invariance"] for r in rows}
    assert left["Flatten"] == pytest.approx(left["MaxPool2d"]) and left["MaxPool2d"] > 0.3
    assert left["Linear"] > 0.1
    by_one = {r["layer"]: r["error"] for r in robustness.equivariance_errors(model, images, 1)}
    assert by_one["Conv2d"] < 1e-5 and by_one["MaxPool2d"] > 0.05


def test_only_bytes_are_prepared():
    images = dots(3)
    assert data.to_float(images).max() == 1 and images.max() == 255
    for wrong in (images.float(), images.float() / 255, images.long()):
        with pytest.raises(TypeError, match="images are torch.*; wanted uint8"):
            data.to_float(wrong)
    with pytest.raises(TypeError, match="wanted uint8"):
        robustness.robustness(MeanColumn(), images / 255, torch.full((4,), 5))


def test_a_model_that_fails_keeps_its_mode():
    model = MeanColumn().train()
    with pytest.raises(RuntimeError, match="rank 4"):
        evaluate(model, torch.zeros(2, 1), torch.zeros(2).long())
    assert model.training
