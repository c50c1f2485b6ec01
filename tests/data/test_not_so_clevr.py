"""Not-so-Clevr: every square, both splits and the three tasks, against loops."""

import pytest
import torch

from stn_course.data.not_so_clevr import TASKS, Squares, all_centres, squares


def loop_images(centres, canvas=64, side=9):
    images = torch.zeros(len(centres), 1, canvas, canvas)
    for n, (cx, cy) in enumerate(centres.tolist()):
        for y in range(cy - side // 2, cy + side // 2 + 1):
            for x in range(cx - side // 2, cx + side // 2 + 1):
                images[n, 0, y, x] = 1.0  # an index beyond the canvas would raise or wrap
    return images


def test_a_square_at_each_of_56_by_56_places():
    centres = all_centres()
    assert centres.shape == (3136, 2) and len(set(map(tuple, centres.tolist()))) == 56 * 56
    assert centres.min() == 4 and centres.max() == 59
    images = Squares(centres).images
    assert images.shape == (3136, 1, 64, 64) and images.dtype == torch.float32
    assert images.sum((1, 2, 3)).eq(81).all()
    some = torch.tensor([0, 1, 55, 56, 1000, 3135])
    assert torch.equal(images[some], loop_images(centres[some]))


def test_x_is_a_column_and_y_a_row():
    one = Squares(torch.tensor([[10, 40]]))
    rows, columns = one.images[0, 0].nonzero().T
    assert (columns.min(), columns.max()) == (6, 14) and (rows.min(), rows.max()) == (36, 44)
    assert one.cells.item() == 40 * 64 + 10
    assert one.points.tolist() == [[21 / 64 - 1, 81 / 64 - 1]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
def test_places_in_narrow_numbers_are_the_same_places(dtype):
    centres = all_centres()  # the last cell is 59 * 64 + 59: no byte
    for exact in (Squares(centres), Squares(centres[:1]), Squares(centres[:0])):
        narrow = Squares(exact.centres.to(dtype))
        assert narrow.cells.dtype == torch.int64 and torch.equal(narrow.cells, exact.cells)
        assert torch.equal(narrow.points, exact.points)
        assert torch.equal(narrow.images, exact.images)


def test_what_is_no_place_is_refused():
    for wrong in (torch.zeros(3, 2), torch.zeros(3, 2).bool(), [[1, 2]]):
        with pytest.raises(TypeError, match="centres must be a tensor of whole numbers"):
            Squares(wrong)
    for wrong in (torch.zeros(3, 3).long(), torch.zeros(2).long()):
        with pytest.raises(ValueError, match=r"centres have shape .*; wanted \[N, 2\]"):
            Squares(wrong)


def test_points_are_what_coordconv_adds_at_the_middle_pixel():
    from stn_course.models import add_coords

    centres = all_centres()
    coords = add_coords(torch.zeros(1, 0, 64, 64))[0].flatten(1)  # [2, 64*64]
    assert torch.equal(coords[:, Squares(centres).cells].T, Squares(centres).points)


def test_uniform_holds_out_a_fifth_by_seed():
    train, test = squares("uniform", seed=3)
    assert (len(train), len(test)) == (3136 - 627, 627)
    both = torch.cat([train.cells, test.cells])
    assert len(both.unique()) == 3136
    assert torch.equal(squares("uniform", seed=3)[1].centres, test.centres)
    assert not torch.equal(squares("uniform", seed=4)[1].centres, test.centres)
    spread = test.centres.float().mean(0)  # the middle of 4..59, give or take
    assert (spread - 31.5).abs().max() < 3


def test_quadrant_holds_out_one_corner_whole():
    train, test = squares("quadrant")
    beyond = {(x, y) for x in range(4, 60) for y in range(4, 60) if x > 32 and y > 32}
    assert set(map(tuple, test.centres.tolist())) == beyond and len(test) == 27 * 27
    kept = {(x, y) for x in range(4, 60) for y in range(4, 60)} - beyond
    assert set(map(tuple, train.centres.tolist())) == kept and len(train) == 3136 - 729
    assert torch.equal(squares("quadrant", seed=9)[0].centres, train.centres)


def test_the_three_tasks():
    train, _ = squares("quadrant")
    x, y = train.task("classification")
    assert torch.equal(x, train.points) and torch.equal(y, train.cells)
    for n in (0, 700, 2000):
        one_hot = torch.nn.functional.one_hot(y[n], 64 * 64).view(64, 64)
        assert one_hot.nonzero().tolist() == [train.centres[n].flip(0).tolist()]
    x, y = train.task("rendering")
    assert torch.equal(x, train.points) and torch.equal(y, train.images)
    x, y = train.task("regression")
    assert torch.equal(x, train.images) and torch.equal(y, train.points)


def test_smaller_canvases_and_the_device():
    train, test = squares("quadrant", canvas=16, side=3, device="meta")
    assert train.centres.device.type == "meta" and train.images.device.type == "meta"
    train, test = squares("uniform", canvas=16, side=3, held_out=0.5)
    assert len(train) == len(test) == 14 * 14 // 2
    assert torch.equal(test.images, loop_images(test.centres, 16, 3))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="split='corner'; wanted one of"):
        squares("corner")
    with pytest.raises(ValueError, match="task='naming'; wanted one of"):
        squares()[0].task("naming")
    for side in (8, 0, 65):
        with pytest.raises(ValueError, match=f"side={side}; wanted an odd number"):
            squares(side=side)
    for share in (0.0, 1.0, -1):
        with pytest.raises(ValueError, match="places to train on"):
            squares(held_out=share)
    assert TASKS == ("classification", "rendering", "regression")
