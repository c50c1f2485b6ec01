"""Notebook 04's lab: where digits stand, what is in the way, what is looked at, and the sliders."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator
from traitlets import TraitError

from stn_course import data, geometry, models
from stn_course.data.clutter.fresh import draw_rows
from stn_course.experiments import records
from stn_course.lessons.digit_sequences import helpers
from stn_course.lessons.digit_sequences.explorers import (
    ClutterExplorer,
    GlanceExplorer,
    ScatterExplorer,
)
from stn_course.lessons.digit_sequences.helpers import look
from stn_course.training.record import RunRecord

PAIR = data.ClutterRecipe(64, 2, 4, 7, 4, 4, ("train",), (1, 1, 1))


def digits(n=60, seed=0):
    generator = Generator().manual_seed(seed)
    images = torch.zeros(n, 1, 28, 28)
    images[..., 6:22, 10:18] = torch.rand(n, 1, 16, 8, generator=generator) * 0.8 + 0.1
    return images, torch.randint(10, (n,), generator=generator)


def net(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = models.build(
            options.pop("name", "rnn-spn"), size=(64, 64), digits=2, glimpse=(14, 14), **options
        )
        torch.nn.init.normal_(made.transformer.head[0].weight, 0, 0.05)
    return made.eval()


# ---------------------------------------------------------------- where digits stand
@pytest.mark.parametrize("recipe", [data.PUBLISHED_100, PAIR], ids=["100", "64"])
def test_the_chances_are_those_of_many_draws(recipe):
    """Against 20 000 drawn rows; the largest chance's standard error is about .003."""
    images, labels = digits(500)  # at a time: the pictures stay in the processor's cache
    bare, generator = replace(recipe, patches=0), Generator().manual_seed(1)
    boxes = torch.cat([draw_rows(bare, images, labels, generator).boxes for _ in range(40)])
    columns, rows = helpers.corners(recipe)
    assert columns.sum(1).tolist() == pytest.approx([1] * recipe.digits)
    assert rows.sum(1).tolist() == pytest.approx([1] * recipe.digits)
    for i in range(recipe.digits):
        for axis, chances in ((0, columns), (1, rows)):
            counts = torch.bincount(boxes[:, i, axis], minlength=recipe.canvas) / len(boxes)
            assert (counts - chances[i]).abs().max() < 0.012


def test_more_than_a_quarter_touches_the_bottom_edge():
    rows = helpers.corners(data.PUBLISHED_100)[1]
    assert rows[:, 72].tolist() == pytest.approx([0.28, 0.275, 0.27])
    assert rows[:, 73:].sum() == 0


def test_a_pixel_is_covered_as_often_as_cells_lie_on_it():
    images, labels = digits(4000)
    boxes = draw_rows(replace(PAIR, patches=0), images, labels, Generator().manual_seed(1)).boxes
    hits = torch.zeros(64, 64)
    for x0, y0, x1, y1 in boxes.flatten(0, 1).tolist():
        hits[y0:y1, x0:x1] += 1
    chance = helpers.coverage(PAIR)
    assert chance.sum().item() == pytest.approx(2 * 28 * 28)
    assert (hits / len(boxes) - chance).abs().max() < 0.04


def test_the_best_fixed_box_is_measured_as_boxes_are():
    images, labels = digits(8000)
    boxes = draw_rows(replace(PAIR, patches=0), images, labels, Generator().manual_seed(1)).boxes
    for i, (share, (x, y)) in enumerate(helpers.best_fixed_glance(PAIR)):

        def mean(x, y, i=i):
            box = torch.tensor([[x, y, x + 28, y + 28]]).float().expand(len(boxes), 4)
            return geometry.iou(box, boxes[:, i].float()).mean().item()

        assert mean(x, y) == pytest.approx(share, abs=0.01)
        assert mean(x, y) > max(mean(x, y - 8), mean(x + 6, y), mean(x, 0))


def test_the_best_fixed_box_does_not_depend_on_the_last_bits(monkeypatch):
    wanted, einsum = [at for _, at in helpers.best_fixed_glance()], torch.einsum
    for seed in range(3):  # of two boxes as good as each other another would win each time
        generator = Generator().manual_seed(seed)

        def noisy(*given, generator=generator):
            sums = einsum(*given)
            return sums * (1 + 1e-15 * torch.randn(sums.shape, generator=generator).double().sign())

        monkeypatch.setattr(torch, "einsum", noisy)
        assert [at for _, at in helpers.best_fixed_glance()] == wanted


# ---------------------------------------------------------------- clutter
def test_clutter_is_what_the_patches_add():
    images, labels = digits(40)
    rows, added = helpers.ink_in_the_way(PAIR, images, labels, 7)
    again = draw_rows(PAIR, images, labels, Generator().manual_seed(7))
    assert torch.equal(rows.images, again.images) and torch.equal(rows.boxes, again.boxes)
    assert added.shape == (40, 2) and added.min() >= 0 and added.max() > 0.01
    _, none = helpers.ink_in_the_way(replace(PAIR, patches=0), images, labels, 7)
    assert none.abs().max() == 0


# ---------------------------------------------------------------- looking
def test_looking_tells_what_the_network_does():
    images, labels = digits(6)
    rows = draw_rows(PAIR, images, labels, Generator().manual_seed(1))
    reader = net()
    seen = helpers.look(reader, rows.images)
    assert seen.theta.shape == (6, 2, 2, 3) and seen.glimpses.shape == (6, 2, 1, 14, 14)
    assert torch.allclose(seen.beliefs, reader(rows.images).softmax(2), atol=1e-6)
    assert not torch.equal(seen.theta[:, 0], seen.theta[:, 1])
    one = helpers.look(net(name="ffn-spn"), rows.images)
    assert one.theta.shape == (6, 1, 2, 3) and one.beliefs.shape == (6, 2, 10)
    with pytest.raises(ValueError, match="net is in training mode"):
        helpers.look(reader.train(), rows.images)


def test_the_score_counts_digits_and_words():
    images, labels = digits(50)
    rows = draw_rows(PAIR, images, labels, Generator().manual_seed(1))
    reader = net().train()
    found = helpers.score(reader, rows)
    right = reader.eval()(rows.images).argmax(2) == rows.labels
    wanted = 100 * right.float().mean().item(), 100 * right.all(1).float().mean().item()
    assert found == pytest.approx(wanted)
    helpers.score(reader.train(), rows)
    assert reader.training


def test_a_network_of_glances_can_be_asked_for_more_of_them():
    images, labels = digits(8)
    reader = net()
    wide = replace(PAIR, digits=3, canvas=92)
    rows, seen, right = helpers.ask(reader, wide, images, labels, 4)
    assert rows.images.shape == (8, 1, 92, 92) and rows.labels.shape == (8, 3)
    assert seen.theta.shape == (8, 4, 2, 3) and seen.beliefs.shape == (8, 4, 10)
    hits = seen.beliefs[:, :3].argmax(2) == rows.labels
    assert right == pytest.approx((100 * hits.float().mean(0)).tolist())
    assert (reader.digits, reader.transformer.steps) == (2, 2)
    usual, two, _ = helpers.ask(reader, PAIR, images, labels, 3)
    assert torch.allclose(two.theta[:, :2], helpers.look(reader, usual.images).theta)
    with pytest.raises(ValueError, match="steps=2; wanted at least 3"):
        helpers.ask(reader, wide, images, labels, 2)
    for cannot in (net(name="ffn-spn"), models.build("rnn-spn", first_look="strips").eval()):
        with pytest.raises(ValueError, match="wanted an RNN-SPN without starts"):
            helpers.ask(cannot, PAIR, images, labels, 3)


# ---------------------------------------------------------------- records
def test_the_overlap_is_the_mean_over_the_seeds_of_each_glance():
    fields = {name: {} for name in ("config", "curves", "hashes", "results", "versions")}
    runs = [
        RunRecord(
            "x", seed, digits="d", parameters=1, probes={"glimpses": {"valid_iou": iou}}, **fields
        )
        for seed, iou in enumerate([[0.40, 0.50], [0.44, 0.60]])
    ]
    told = helpers.overlap_lines({"ours": runs, "theirs": []})
    assert told == ["ours: 0.42, 0.55", "theirs: not yet run"]


def test_tables_come_from_records_or_say_that_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    fields = {name: {} for name in ("config", "curves", "hashes", "probes", "versions")}
    for seed, (correct, words) in enumerate([(297, 97), (294, 95)]):
        result = {"correct": correct, "total": 300, "loss": 0.1, "words": words}
        run = RunRecord(
            "mine", seed, digits="d", parameters=1234, results={"test/sequences": result}, **fields
        )
        records.save(run)
    assert json.loads((tmp_path / "mine" / "0.json").read_text())["parameters"] == 1234
    assert helpers.record_rows({"a": "mine", "b": "nobody's"}) == [
        ["a", "98.50 ± 0.71 (n = 2)", "96.00 ± 1.41 (n = 2)", "95.57", "1 234"],
        ["b", "not yet run", "-", "-", "-"],
    ]


# ---------------------------------------------------------------- sliders
def test_the_explorer_holds_what_was_seen():
    images, labels = digits(6)
    rows = draw_rows(PAIR, images, labels, Generator().manual_seed(1))
    network = net()
    explorer = GlanceExplorer(network, rows.images, rows.labels)
    seen = look(network, rows.images)
    assert explorer.labels == rows.labels.tolist() and explorer.steps == [1, 2]
    assert np.allclose(explorer.beliefs, seen.beliefs.detach(), atol=1e-4)
    assert np.allclose(explorer.thetas, seen.theta.detach().flatten(2), atol=1e-4)
    glimpse = np.frombuffer(base64.b64decode(explorer.crops[3][1]), np.uint8)
    wanted = 255 * seen.glimpses[3, 1].detach().clamp(0, 1).flatten().numpy()
    assert np.abs(glimpse - wanted).max() <= 0.5 + 1e-4
    assert repr(explorer) == "GlanceExplorer(rows=6, glances=2)"
    with pytest.raises(TraitError, match=r"picture must be 0..5, got 6"):
        explorer.picture = 6


def test_one_glance_for_all_digits_can_be_stepped_through_too():
    images, labels = digits(3)
    rows = draw_rows(PAIR, images, labels, Generator().manual_seed(1))
    explorer = GlanceExplorer(net(name="ffn-spn"), rows.images, rows.labels)
    assert {len(each) for each in [*explorer.thetas, *explorer.crops]} == {1}
    assert {len(each) for each in explorer.beliefs} == {2} and explorer.steps == [1, 2]
    with pytest.raises(ValueError, match=r"labels have shape \[3\]; wanted \[3, 2\]"):
        GlanceExplorer(net(), rows.images, rows.labels[:, 0])
    with pytest.raises(TypeError, match="labels must be a tensor of whole numbers"):
        GlanceExplorer(net(), rows.images, rows.labels + 0.5)
    one = replace(rows, labels=rows.labels[:, :1])  # would be compared with both digits
    with pytest.raises(ValueError, match="do not belong together"):
        helpers.score(net(), one)


def test_a_scattered_row_keeps_its_digits_and_the_scraps_below():
    images, labels = digits(10)
    network, options = net(), {"rows": 3, "scatterings": 2, "levels": (0, 4, 6)}
    explorer = ScatterExplorer(network, PAIR, images, labels, **options)
    bare = draw_rows(replace(PAIR, patches=0), images, labels, Generator().manual_seed(6))
    assert explorer.labels == bare.labels[:3].tolist()
    scene = explorer.scene
    assert len(scene["digits"]) == 3 and {
        len(base64.b64decode(each)) for each in scene["scraps"]
    } == {30}
    assert len(explorer.thetas) == len(explorer.beliefs) == 3 * 2 * 3 and not explorer.pictures
    # Without scraps all ways are the same row, and with them they are not.
    thetas = np.reshape(explorer.thetas, (3, 2, 3, 2, 6))
    assert (thetas[:, 0, 0] == thetas[:, 1, 0]).all() and (thetas[:, 0, 2] != thetas[:, 1, 2]).any()
    seen = look(network, bare.images[:3])
    assert np.allclose(thetas[:, 0, 0], seen.theta.flatten(2), atol=1e-4)
    assert (explorer.clutter, explorer.rows) == (4, 3)
    assert repr(explorer) == "ScatterExplorer(rows=3, clutter=4)"
    for name, wrong, words in (
        ("clutter", 5, "clutter must be 0, 4, 6, got 5"),
        ("scattering", 2, r"scattering must be 0\.\.1, got 2"),
        ("picture", 3, r"picture must be 0\.\.2, got 3"),
    ):
        with pytest.raises(TraitError, match=words):
            setattr(explorer, name, wrong)
    plain = GlanceExplorer(network, bare.images, bare.labels)
    with pytest.raises(TraitError, match="clutter must be 0, got 4"):
        plain.clutter = 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": (4, 0)}, r"levels=\[4, 0\]; wanted one or more, going up"),
        ({"levels": ()}, r"levels=\[\]; wanted one or more"),
        ({"levels": (-1, 3)}, "levels=-1; wanted at least 0"),
        ({"images": 257}, "257 images, canvas=64; wanted at most 256"),
        ({"rows": 11}, "rows=11; wanted at most 10, as many as images"),
        ({"scatterings": 0}, "scatterings=0; wanted at least 1"),
        ({"padding": "zeros"}, "pads with 'zeros'; wanted 2, as the recipe, and 'background'"),
    ],
)
def test_what_cannot_be_scattered_is_named(options, words):
    network = net(padding=options.pop("padding", "background"))
    with pytest.raises(ValueError, match=words):
        ScatterExplorer(network, PAIR, *digits(options.pop("images", 10)), **options)


def test_the_clutter_sliders_redraw_the_same_digits():
    images, labels = digits(8)
    explorer = ClutterExplorer(PAIR, images, labels, net(), shown=3)
    first = explorer.rows()
    for name, value in (("patches", 12), ("patch_size", 15), ("slope", 1)):
        before = explorer.pictures.value
        explorer.sliders[name].value = value
        assert explorer.pictures.value != before, name
    assert torch.equal(explorer.rows().labels, first.labels)
    assert explorer.rows().images.mean() > first.images.mean()
    assert explorer.pictures.value.count("<svg") == 3
    assert explorer.says.value.startswith("digits right, of 16: ")
    assert "<b>✗" in explorer.pictures.value  # untrained: wrong somewhere, and not by colour alone
    assert repr(explorer) == "ClutterExplorer(patches=12, patch_size=15, slope=1)"


def test_a_network_of_another_number_of_digits_is_refused():
    images, labels = digits(6)
    with pytest.raises(ValueError, match="net reads 2 digits; wanted 1, as the recipe"):
        ClutterExplorer(replace(PAIR, digits=1), images, labels, net())
    with pytest.raises(ValueError, match=r"labels have shape \[3\]; wanted \[6\]"):
        ClutterExplorer(PAIR, images, labels[:3])


def test_only_what_the_network_was_made_for_is_looked_at():
    side = PAIR.canvas
    with pytest.raises(ValueError, match=rf"images have shape .*; wanted \[B, 1, {side}, {side}\]"):
        helpers.look(net(), torch.rand(2, 1, side + 8, side + 8))
    with pytest.raises(TypeError, match="uint8"):
        helpers.look(net(), torch.zeros(2, 1, side, side, dtype=torch.uint8))
    with pytest.raises(ValueError, match="images is empty"):
        helpers.look(net(), torch.rand(0, 1, side, side))


def test_without_a_network_nothing_is_said():
    images, labels = digits(4)
    explorer = ClutterExplorer(PAIR, images, labels, shown=2)
    assert explorer.says.value == "" and "it says" not in explorer.pictures.value
    with pytest.raises(ValueError, match="shown=5; wanted 1 to 4"):
        ClutterExplorer(PAIR, images, labels, shown=5)


# ---------------------------------------------------------------- how it was published
def test_the_published_loop_makes_the_package_s_pictures():
    recipe = replace(data.PUBLISHED_100, sizes=(6, 1, 1))
    made = data.generate(recipe, allow_sample=True)["train"]
    digits = [data.mnist(split).images[:, 0].numpy() for split in ("train", "valid")]
    digits = [part.astype(np.float32) / 256 for part in (*digits, digits[0])]
    every, generator = np.concatenate(digits), np.random.RandomState(recipe.seed)
    bank = []
    for _ in range(recipe.bank_size):
        k, x, y = generator.randint(len(every)), generator.randint(19), generator.randint(19)
        bank.append(every[k, y : y + 9, x : x + 9])
    for _ in range(recipe.discarded):
        helpers.one_by_one(generator, digits[0], bank)
    for k in range(6):
        ours = torch.from_numpy(helpers.one_by_one(generator, digits[0], bank))
        assert torch.equal(ours, made.images(k)[0, 0])


@pytest.mark.full_data
def test_every_part_of_the_published_set_has_a_line():
    lines = helpers.hash_lines()
    assert len(lines) == 6 and all(line.endswith("as published") for line in lines)
    sha = data.PUBLISHED_SHA256["sequences", "valid", "labels"]
    assert lines[3].split() == ["valid", "labels", f"{sha[:16]}…", "as", "published"]


@pytest.mark.full_data
def test_a_part_that_is_not_the_published_one_is_named(monkeypatch):
    monkeypatch.setitem(data.PUBLISHED_SHA256, ("sequences", "valid", "labels"), "0" * 64)
    with pytest.raises(ValueError, match="valid labels differ from the published ones"):
        helpers.hash_lines()


def test_the_sample_has_no_published_hashes(monkeypatch):
    monkeypatch.setattr(helpers, "is_sample", lambda: True)
    (line,) = helpers.hash_lines()
    assert line.startswith("offline sample")


def test_the_race_tells_both_times_and_their_ratio(monkeypatch):
    images, _ = digits(1200)
    clock = iter([0.0, 10.0, 20.0, 25.0])  # 100 pictures one by one in 10 s; 10 000 in 5 s
    monkeypatch.setattr(helpers.time, "perf_counter", lambda: next(clock))
    naive, ours, ratio = helpers.race((255 * images[:, 0]).byte(), seed=3)
    assert (
        naive.split()
        == "as published 100.000 ms a picture, 6000 s for the 60 000 to learn from".split()
    )
    assert ours.startswith("the package") and " 0.500 ms a picture,   30 s" in ours
    assert ratio == "the package is 200 times as fast"


def test_a_recipe_beyond_the_sliders_is_not_replaced():
    images, labels = digits(8)
    recipe = replace(PAIR, patches=60, slope=55)
    explorer = ClutterExplorer(recipe, images, labels, shown=3)
    sliders = {name: slider.value for name, slider in explorer.sliders.items()}
    assert sliders == {"patches": 60, "patch_size": recipe.patch_size, "slope": 55}
    assert torch.equal(
        explorer.rows().images,
        draw_rows(recipe, images, labels, Generator().manual_seed(4)).images,
    )


def test_a_sixth_glance_has_a_colour():
    torch.manual_seed(0)
    six = models.build("rnn-spn", size=(40, 40), digits=6, glimpse=(12, 8)).eval()
    pens = GlanceExplorer(six, torch.rand(1, 1, 40, 40), torch.zeros(1, 6, dtype=torch.long)).pens
    assert len({tuple(pen) for pen in pens[:5]}) == 5 and pens[5] == pens[0]
    assert pens[0][1] == "" and pens[1][1] == "5 2"  # in widths of the line
