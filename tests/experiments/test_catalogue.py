"""The experiments of notebook 05: what they are, what their probes measure, how the runs hold."""

import dataclasses
import json

import pytest
import torch

from stn_course import geometry, models
from stn_course.analysis import perspective
from stn_course.data import DISTORTIONS
from stn_course.data.seeding import stream
from stn_course.experiments import catalogue, published, runner
from stn_course.experiments.catalogue import coordconv, homographies, not_so_clevr
from stn_course.training import datasets
from stn_course.training.config import build
from stn_course.training.loop import fit
from stn_course.training.record import dumps, loads
from tests.support import first_digits

EXPERIMENTS = coordconv.EXPERIMENTS | homographies.EXPERIMENTS | not_so_clevr.EXPERIMENTS
NETS = [name for name, e in EXPERIMENTS.items() if e.run is None]


def test_the_rows_of_this_notebook_are_answered_by_at_least_five_seeds():
    rows = [row for row in published.ROWS if row.row in ("S10", "S11", "S16")]
    assert len(rows) == 28 + 5 + 8 + 12  # five of SE's runs have two lengths
    for row in rows:
        assert catalogue.find(row.experiment).seeds >= 5
        assert row.experiment in EXPERIMENTS


def test_se_runs_as_published():
    parameters = {}
    for number, (model, _) in coordconv.SE_RUNS.items():
        config = EXPERIMENTS[f"se-{number}"].config
        assert (config.optimizer, config.lr, config.momentum) == ("sgd", 0.01, 0.0)
        assert (config.batch_size, config.epochs) == (64, 30 if number == "02" else 20)
        assert config.train_on == "train+valid" and config.options["normalise"] == [0.1307, 0.3081]
        assert config.model == model and config.schedule == "constant"
        parameters[number] = models.count_parameters(build(config))
    assert parameters["01"] == parameters["02"] == 27360
    assert parameters["03"] < parameters["04"] < parameters["01"] < parameters["07"]


def test_each_pair_of_recipes_differs_in_nothing_but_training():
    for number in coordconv.SE_RUNS:
        theirs, well = (EXPERIMENTS[f"se-{number}{end}"].config for end in ("", "-well"))
        assert (theirs.model, theirs.options) == (well.model, well.options)
        for end in ("", "-well"):
            plain, rts = (EXPERIMENTS[f"se-{number}{end}{on}"].config for on in ("", "-rts"))
            assert rts == dataclasses.replace(plain, distort="rts", tests=("rts",))


@pytest.mark.parametrize("name", NETS)
def test_every_network_can_be_built_and_trained_from(name):
    model = build(EXPERIMENTS[name].config).train()
    out = model(torch.rand(4, *EXPERIMENTS[name].config.shape))
    out.sum().backward()
    assert out.shape == (4, 10) and out.isfinite().all()


# ---------------------------------------------------------------- the probe
def some_homographies(n=64):
    made = DISTORTIONS["p"](torch.rand(n, 1, 28, 28), torch.Generator().manual_seed(0))
    return made.theta


def test_the_inverse_of_the_truth_leaves_no_residual():
    true = some_homographies()
    written = torch.tensor(perspective.CORNERS)
    before = perspective.corner_residual(perspective.corner_places(true), written, 14)
    undone = geometry.compose(true, geometry.invert(true))
    after = perspective.corner_residual(perspective.corner_places(undone), written, 14)
    assert before["median"] > 4 and before["q90"] > before["median"] and before["n"] == 64
    assert after["median"] < 1e-3 and after["q90"] < 1e-2 and after["beyond"] == 0


def test_corners_beyond_the_horizon_are_no_small_residual():
    places = perspective.corner_places(some_homographies(10))
    aim = torch.tensor(perspective.CORNERS)
    for beyond, median, q90 in [(0, True, True), (2, True, False), (6, False, False)]:
        places[:beyond] = torch.inf
        found = perspective.corner_residual(places, aim, 14)
        assert found["beyond"] == beyond
        assert (found["median"] is not None, found["q90"] is not None) == (median, q90)


def test_a_residual_in_pixels_is_what_one_counts():
    moved = geometry.affine(shift=(-6 / 28, 0.0)).repeat(5, 1, 1)  # 3 pixels of 28
    places = perspective.corner_places(moved)
    found = perspective.corner_residual(places, torch.tensor(perspective.CORNERS), 14)
    assert found["median"] == pytest.approx(3.0, abs=1e-4)
    inner = perspective.corner_places(moved, reach=0.5)
    assert torch.allclose(inner - moved[:, None, :, 2], torch.tensor(perspective.CORNERS) / 2)
    common = places.median(0).values
    assert perspective.corner_residual(places, common, 14)["median"] == pytest.approx(0, abs=1e-5)


def test_a_residual_of_a_picture_that_is_not_square_counts_pixels_of_both_sides():
    for shift in ((-6 / 28, 0.0), (0.0, -6 / 56)):  # 3 pixels of 28 across, and of 56 down
        places = perspective.corner_places(geometry.affine(shift=shift))
        found = perspective.corner_residual(places, torch.tensor(perspective.CORNERS), (28, 14))
        assert found["median"] == pytest.approx(3.0, abs=1e-4)


def test_corners_beyond_the_horizon_are_counted():
    h = torch.eye(3).repeat(3, 1, 1)
    h[0, 2, 0] = -1.5  # w = 1 - 1.5 x is below 0 at the right edge
    found = perspective.corner_residual(
        perspective.corner_places(h), torch.tensor(perspective.CORNERS), 14
    )
    assert (found["beyond"], found["n"], found["median"]) == (1, 3, 0)
    assert perspective.smallest_w(h).tolist() == pytest.approx([-0.5, 1, 1])
    assert perspective.smallest_w(geometry.affine(angle=30)).tolist() == [1]
    json.dumps(found, allow_nan=False)


def test_what_a_network_found_is_asked_in_eval_mode_and_left_in_its_own():
    model = models.build("stn-small", transform="homography").train()
    theta = perspective.found_transforms(
        model, torch.zeros(7, 1, 28, 28, dtype=torch.uint8), batch=3
    )
    assert model.training and torch.equal(theta, torch.eye(3).expand(7, 3, 3))
    with pytest.raises(ValueError, match="no spatial transformer"):
        perspective.found_transforms(models.build("small"), torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match="several transformers side by side"):
        perspective.found_transforms(
            models.build("stn-small", transformers=2), torch.zeros(1, 1, 28, 28)
        )
    with pytest.raises(ValueError, match=r"theta is \[1, 16, 2\]"):
        perspective.found_transforms(
            models.build("stn-small", transform="tps"), torch.zeros(1, 1, 28, 28).byte()
        )


@pytest.fixture
def few_digits(monkeypatch):
    """200 digits a split, for training and for the probe."""

    for module in (perspective, datasets):
        monkeypatch.setattr(module, "mnist", first_digits(200))


@pytest.mark.parametrize("name", ["homography", "corners", "none"])
def test_the_probe_of_a_short_run_is_json(name, few_digits):
    config = EXPERIMENTS[f"proj-{name}"].config
    probes = perspective.measure_perspective(build(config).eval(), torch.device("cpu"))
    json.dumps(probes, allow_nan=False)
    assert probes["before"]["written"]["n"] == 200
    if name == "none":
        assert set(probes) == {"before"}
    else:  # which hands on what it gets, untrained
        assert probes["w"] == {"smallest": 1.0, "n": 200}
        before, after = (probes[k]["written"]["median"] for k in ("before", "after"))
        assert before == pytest.approx(after, rel=1e-4)


def test_ten_seeds_of_homographies_stay_finite_and_in_front_of_the_horizon():
    for transform in ("homography", "corners"):
        for seed in range(10):
            torch.manual_seed(seed)
            model = models.build("stn-small", transform=transform)
            optimizer = torch.optim.Adam(model.parameters(), 4e-3)
            dice = torch.Generator().manual_seed(stream(seed))
            for _ in range(4):
                images = DISTORTIONS["p"](torch.rand(16, 1, 28, 28, generator=dice), dice).images
                labels = torch.randint(10, (16,), generator=dice)
                loss = torch.nn.functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
                assert gradient.isfinite().all() and gradient.abs().max() < 1e3, (transform, seed)
                optimizer.step()
            assert perspective.smallest_w(model[0].theta).min() > 0.05, (transform, seed)


# ---------------------------------------------------------------- Not-so-Clevr
def test_a_clevr_record_counts_places_and_follows_from_its_seed(monkeypatch):
    name = "clevr-regression-coordconv-quadrant"
    asked = EXPERIMENTS[name]
    short = dict(asked.config, steps=160)
    one, same = (not_so_clevr.record(name, 3, config=short) for _ in range(2))
    assert one.repeatable() == same.repeatable()
    assert one.repeatable() != not_so_clevr.record(name, 4, config=short).repeatable()
    assert one.config == short and one.parameters == 50
    assert {k: v["total"] for k, v in one.results.items()} == {
        "train/quadrant": 2407,
        "test/quadrant": 729,
    }
    missed = one.probes["test"]["missed"]
    assert len(missed) == 729 - one.results["test/quadrant"]["correct"]
    assert len(one.curves["train_loss"]) == 2  # 160 steps are one pass of 151 and a part
    assert loads(dumps(one)) == one


def test_the_command_makes_such_a_record(tmp_path, monkeypatch):
    name = "clevr-regression-coordconv-quadrant"
    found = runner.run_one(name, 100)
    assert found.experiment == name and found.config == EXPERIMENTS[name].config
    assert found.accuracy("test/quadrant") > 99, "it points where it never looked"


def test_a_homography_run_makes_its_whole_record(few_digits):
    short = dataclasses.replace(EXPERIMENTS["steady-corners"].config, epochs=1)
    _, record = fit(short, 0, EXPERIMENTS["steady-corners"].listeners(), name="x")
    assert record.probes["w"]["smallest"] > 0 and record.probes["w"]["n"] == 200
    assert record.results["test/p"]["total"] == record.probes["before"]["written"]["n"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_configuration_survives_its_record(name):
    asked = EXPERIMENTS[name].config
    plain = asked if isinstance(asked, dict) else dataclasses.asdict(asked)
    back = json.loads(json.dumps(plain))
    assert (back if isinstance(asked, dict) else type(asked)(**back)) == asked
