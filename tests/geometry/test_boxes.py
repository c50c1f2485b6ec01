"""Boxes and polygons through a transform: a picture's own, where `warp` puts it."""

import pytest
import torch

from stn_course import geometry, warp
from stn_course.geometry import box_corners, transform_boxes, transform_points, transform_polygons

D = torch.float64
TURNED = geometry.affine(20, 1.3, shift=(0.1, -0.2), size=(40, 60), dtype=D, batch=2)


def rand(*shape, seed=0):
    return torch.rand(*shape, dtype=D, generator=torch.Generator().manual_seed(seed))


def boxes(*shape, seed=0):
    low = rand(*shape, 2, seed=seed) - 0.9
    return torch.cat([low, low + 0.1 + 0.6 * rand(*shape, 2, seed=seed + 1)], -1)


def test_corners_go_round():
    found = box_corners(torch.tensor([[1.0, 2, 5, 9]]))
    assert found.tolist() == [[[1, 2], [5, 2], [5, 9], [1, 9]]]
    assert box_corners(torch.zeros(0, 3, 4)).shape == (0, 3, 4, 2)


@pytest.mark.parametrize("back", [False, True])
def test_polygons_are_their_points(back):
    polygons = 1.6 * rand(2, 3, 5, 2) - 0.8
    carry = geometry.transform_points_back if back else transform_points
    found = transform_polygons(TURNED, polygons, back=back)
    assert torch.equal(found, carry(TURNED, polygons.flatten(1, 2)).view(2, 3, 5, 2))
    shared = transform_polygons(TURNED, polygons[0], back=back)
    assert torch.equal(shared[0], found[0])
    size = {"size": (40, 60), "output_size": (20, 30)}
    pixels = transform_polygons(TURNED, 10 * polygons, **size, back=back)
    assert torch.equal(pixels, carry(TURNED, 10 * polygons.flatten(1, 2), **size).view(2, 3, 5, 2))


@pytest.mark.parametrize(("size", "output_size"), [((40, 60), None), ((31, 50), (20, 77))])
def test_a_bright_box_lies_in_the_box_that_is_said(size, output_size):
    """In pixels of edges, on pictures that are not square."""
    image = torch.zeros(1, 1, *size, dtype=D)
    image[..., 10:20, 15:40] = 1
    box = torch.tensor([[15.0, 10.0, 40.0, 20.0]], dtype=D)
    theta = geometry.affine(25, 0.9, shift=0.1, dtype=D)
    out = warp(image, theta, output_size or size, "zeros")[0, 0]
    x0, y0, x1, y1 = transform_boxes(theta, box, size=size, output_size=output_size, back=True)[
        0, 0
    ]
    rows, columns = (out > 0.5).nonzero().unbind(1)
    for edges, low, high in ((columns, x0, x1), (rows, y0, y1)):
        assert edges.min() >= low - 1.01 and edges.max() + 1 <= high + 1.01
        assert edges.min() <= low + 2.5 and edges.max() + 1 >= high - 2.5


def test_all_of_a_picture_is_all_of_it_under_the_identity():
    whole = torch.tensor([[0.0, 0, 60, 40]], dtype=D)
    still = geometry.identity(dtype=D)
    assert torch.allclose(transform_boxes(still, whole, size=(40, 60)), whole[None])
    smaller = transform_boxes(still, whole, size=(40, 60), output_size=(20, 15), back=True)
    assert torch.allclose(smaller, torch.tensor([[[0.0, 0, 15, 20]]], dtype=D))
    unit = torch.tensor([[-1.0, -1, 1, 1]], dtype=D)
    assert torch.equal(transform_boxes(still, unit), unit[None])


def test_upright_transforms_keep_boxes_and_glimpses_are_the_frames():
    theta = geometry.Attention()(torch.tensor([[0.3, 0.1, -0.2]], dtype=D))
    given = boxes(1, 4)
    found = transform_boxes(theta, given)
    assert torch.allclose(found[..., :2], transform_points(theta, given[..., :2]))
    back = transform_boxes(theta, found, back=True)
    assert torch.allclose(back, given)
    frame = torch.tensor([[-1.0, -1, 1, 1]], dtype=D)
    seen = transform_boxes(TURNED, frame)
    assert torch.allclose((seen[:, 0] + 1) * 30 / 2, geometry.glimpse_boxes(TURNED, 30))


def test_a_spline_bends_sides_and_along_says_how_many_points_know():
    spline = torch.zeros(1, 3, 3, 2, dtype=D)
    spline[0, 0, 1, 1] = -0.3  # the middle of the upper side is read higher up
    frame = torch.tensor([[-1.0, -1, 1, 1]], dtype=D)
    assert torch.allclose(transform_boxes(spline, frame), frame[None], atol=1e-9)
    high = transform_boxes(spline, frame, along=2)[0, 0]
    assert torch.allclose(high, torch.tensor([-1.0, -1.3, 1, 1], dtype=D), atol=1e-9)


@pytest.mark.parametrize("back", [False, True])
def test_gradients(back):
    theta, given = TURNED.clone().requires_grad_(), boxes(2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, b: transform_boxes(t, b, back=back), (theta, given))
    polygons = (1.6 * rand(2, 1, 4, 2) - 0.8).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda t, p: transform_polygons(t, p, back=back), (theta, polygons)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_types_and_nothing(dtype):
    found = transform_boxes(TURNED.to(dtype), boxes(2, 3).to(dtype))
    assert found.dtype == torch.float32 and found.shape == (2, 3, 4)
    assert transform_boxes(TURNED[:0], boxes(0, 3)).shape == (0, 3, 4)
    assert transform_boxes(TURNED, boxes(2, 0)).shape == (2, 0, 4)
    assert transform_polygons(TURNED, rand(2, 0, 5, 2)).shape == (2, 0, 5, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: transform_boxes(TURNED, boxes(3, 2)), ValueError, "2 on cpu, got 3"),
        (lambda: transform_boxes(TURNED, boxes(2)[:, :3]), ValueError, r"boxes must have shape"),
        (lambda: transform_boxes(TURNED, boxes(2)[0]), ValueError, r"boxes must have shape \[B, N"),
        (lambda: transform_boxes(TURNED, -boxes(2, 2)), ValueError, "boxes must have x0 <= x1"),
        (lambda: transform_boxes(TURNED, boxes(2).long()), TypeError, "boxes must be a floating"),
        (lambda: transform_boxes(TURNED, [1.0]), TypeError, "boxes must be a tensor"),
        (lambda: transform_boxes(TURNED, boxes(2), along=0), ValueError, "along=0; wanted"),
        (
            lambda: transform_boxes(TURNED, boxes(2), size=(3, 4), align_corners=True),
            ValueError,
            "size needs align_corners=False",
        ),
        (
            lambda: transform_polygons(TURNED, rand(2, 5, 2), output_size=(3, 4)),
            ValueError,
            "output_size needs size",
        ),
        (lambda: transform_polygons(TURNED, rand(5, 2)), ValueError, "polygons must have shape"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
