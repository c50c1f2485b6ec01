"""What notebook 08 does around its networks: fits to the truth, tables, watching, a folder."""

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course import data, geometry, sampling
from stn_course.data import words
from stn_course.experiments import records
from stn_course.lessons.bent_words import figures, helpers
from stn_course.training.record import RunRecord, dumps


@pytest.fixture(scope="module")
def made():
    return helpers.scenes("valid", 60)


# ---------------------------------------------------------------- fits to the truth
def test_fits_without_a_bow_are_exact_for_a_homography(made):
    flat = type(made)(made.images, made.theta, 0 * made.bend, made.labels)
    assert helpers.left_over(helpers.best_homography(flat), flat).max() < 1e-3
    assert helpers.left_over(helpers.best_affine(flat), flat).mean() > 0.1


def test_more_freedom_leaves_less(made):
    left = [helpers.left_over(helpers.best_affine(made), made).mean().item()]
    left += [
        helpers.left_over(helpers.best_spline(made, grid), made).mean().item()
        for grid in ((2, 3), (3, 5), (6, 12))
    ]
    assert left == sorted(left, reverse=True) and left[-1] < 0.05
    assert helpers.left_over(geometry.identity(60), made).mean() > 2 * left[0]


def test_the_affine_fit_is_the_least_squares_one(made):
    theta = helpers.best_affine(made)[:1].double().numpy()[0]
    at = helpers.output_places((32, 96)).double().numpy()
    true = words.carried(made, helpers.output_places((32, 96)))[0].double().numpy()
    slow = np.linalg.lstsq(np.c_[at, np.ones(len(at))], true, rcond=None)[0].T
    assert np.abs(slow - theta).max() < 1e-4


def test_the_way_around_begins_at_the_upper_left_and_goes_clockwise():
    way = figures.around(4)
    assert way.shape == (16, 2) and way[0].tolist() == [-1, -1]
    assert way[4].tolist() == [1, -1] and way[8].tolist() == [1, 1] and way[12].tolist() == [-1, 1]
    assert len({tuple(p) for p in way.tolist()}) == 16


# ---------------------------------------------------------------- tables
def a_record(seed, correct, whole):
    """A record of `words-affine` with these results, as far as a table needs it."""
    result = {"correct": correct, "total": 10_000, "words": whole, "rows": 2000, "loss": 1.0}
    made = RunRecord(
        experiment="words-affine",
        seed=seed,
        config={},
        digits="none: words",
        parameters=1,
        curves={},
        results={"test/words": result},
        hashes={},
        probes={"signs": {"sd_x": 0.25, "sd_y": 0.125}},
    )
    return dumps(made)


def test_rows_say_means_intervals_and_what_is_missing(tmp_path, monkeypatch):
    folder = tmp_path / "words-affine"
    folder.mkdir()
    for seed, correct, whole in ((0, 8000, 400), (1, 9000, 600)):
        (folder / f"{seed}.json").write_text(a_record(seed, correct, whole))
    monkeypatch.setattr(helpers.records, "records_dir", lambda: tmp_path)
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    ours, none = helpers.rows_of({"affine": "words-affine", "none": "words-cnn"})
    assert ours[0] == "affine" and ours[1].startswith("85.0 ± ") and ours[1].endswith("(n = 2)")
    assert ours[2].startswith("25.0 ± ") and ours[3] == "0.25, 0.12"
    assert none == ["none", "not yet run", "not yet run", "not yet run"]
    (folder / "1.json").unlink()
    assert helpers.rows_of({"affine": "words-affine"})[0][1] == "80.0 (n = 1)"


# ---------------------------------------------------------------- watching
def test_a_rate_of_0_never_moves_and_a_high_one_runs_away():
    ends = {}
    for name, rate in (("none", 0.0), ("high", 6e-2)):
        torch.manual_seed(0)
        net = helpers.untrained("words-tps")
        seen = list(helpers.watched(net, 6, (3e-3, rate), batch=8))
        assert len(seen) == 6 and list(seen[0]) == ["loss", "spread", "outside", "pull"]
        ends[name] = seen[-1]
    assert ends["none"]["spread"] == ends["none"]["outside"] == 0 < ends["none"]["pull"]
    assert ends["high"]["spread"] > 0.01 and ends["high"]["outside"] > 0.05


def test_milliseconds_are_of_one_picture():
    net = helpers.untrained("words-cnn")
    assert 0 < helpers.milliseconds(net, torch.rand(8, 3, 32, 96), times=1) < 1000
    assert net.training


# ---------------------------------------------------------------- a folder of one's own
def test_the_folder_can_be_learned_from(tmp_path):
    from stn_course.data import own

    assert helpers.write_folder(tmp_path / "pictures", "AKX", each=6) == 18
    files = sorted(tmp_path.glob("pictures/*/*.png"))
    assert len(files) == 18 and {f.parent.name for f in files} == set("AKX")
    with Image.open(files[0]) as image:
        assert image.size == (32, 32) and image.mode == "RGB"
    name = own.read(tmp_path / "pictures")
    assert own.SETS[name].shape == (3, 32, 32) and own.SETS[name].classes == ("A", "K", "X")


def test_the_sign_in_the_middle_is_what_is_cut_out(tmp_path):
    helpers.write_folder(tmp_path, "A", each=30)
    flat = data.flat_words("train")
    chosen = (flat.labels[:, 2] == 0).nonzero().flatten()[:30]
    assert all(words.text_of(flat.labels[k : k + 1])[0][2] == "A" for k in chosen)


def test_what_the_command_line_says_and_how_it_fails(tmp_path):
    assert any("words-tps" in line for line in helpers.stn_course(tmp_path, "run --list"))
    with pytest.raises(RuntimeError, match="nothing"):
        helpers.stn_course(tmp_path, "train --data ./nothing --quiet --out run")


def test_marks_go_where_the_picture_goes():
    """A bright dot at each mark is still below it, moved; on a picture that is not square."""
    torch.manual_seed(0)
    at = torch.tensor([[[-0.4, 0.3]], [[0.5, -0.2]], [[0.1, 0.1]]]).repeat(20, 1, 1)  # [60, 1, 2]
    x, y = (geometry.pixel_centres(n) for n in (96, 32))
    near = lambda c, p: (c - p).square()  # noqa: E731
    dots = torch.exp(
        -near(y[:, None], at[:, :, 1:]) * 16**2 / 8 - near(x[None], at[:, :, :1]) * 48**2 / 8
    )
    pictures, marks = helpers.moved(0.5 * dots[:, None].expand(-1, 3, -1, -1), at)
    assert not torch.equal(marks, at)
    values = sampling.bilinear_sample(pictures, marks[:, None])[:, :, 0, 0]  # [60, 3]
    edges = pictures[:, :, :1, 0].squeeze(2)  # of dark pictures 0, of negatives 1
    assert set(edges[:, 0].round().tolist()) == {0.0, 1.0}
    assert ((values - edges).abs() > 0.25).all()  # at least 0.5 * 0.6, a little blurred
    assert pictures.min() >= 0 and pictures.max() <= 1


def test_what_is_moved_differs_from_picture_to_picture():
    torch.manual_seed(0)
    same = torch.rand(1, 3, 32, 96).expand(4, -1, -1, -1)
    pictures, marks = helpers.moved(same, torch.zeros(4, 1, 2))
    assert len({tuple(m.flatten().tolist()) for m in marks}) == 4
    assert not torch.equal(pictures[0], pictures[1])
