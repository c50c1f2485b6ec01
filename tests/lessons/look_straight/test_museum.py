"""Every exhibit shows its sign, the sound run shows none, and co-localisation finds."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from stn_course import data, geometry, models
from stn_course.analysis import glimpses
from stn_course.experiments.catalogue import EXPERIMENTS, colocalisation
from stn_course.lessons.look_straight import museum
from stn_course.training import datasets
from stn_course.training.record import dumps, loads


@pytest.fixture(scope="module")
def halls():
    return museum.prepare_digits(data.mnist("train"), data.mnist("test"), n=2000, m=120)


@pytest.fixture(scope="module")
def seen(halls):
    return {name: museum.run_exhibit(name, halls, steps=150) for name in museum.EXHIBITS}


@pytest.fixture(scope="module")
def told(seen):
    return {name: museum.signs(run) for name, run in seen.items()}


def test_the_sound_run_starts_at_the_identity_and_learns(seen, told):
    run, s = seen["sound"], told["sound"]
    assert run.distances[0].max() == 0 and run.steps[0] == 0 and run.steps[-1] == 150
    assert sum(run.losses[-15:]) < 0.8 * sum(run.losses[:15])
    assert s["moved"] > 0.1 and s["blank"] == 0 and s["mirrored"] == 0


def test_without_an_identity_start_the_first_boxes_lie_anywhere(seen, told):
    first = seen["no identity start"].thetas[0]
    assert (first[:, :, :2].det() < 0).any() or seen["no identity start"].distances[0].min() > 0.5
    assert told["no identity start"]["accuracy"] < told["sound"]["accuracy"]


def test_tanh_starts_cut_and_never_reaches_one(seen):
    thetas = seen["tanh on theta"].thetas
    assert torch.allclose(thetas[0, :, 0, 0], torch.tanh(torch.tensor(1.0)), atol=1e-6)
    assert thetas.abs().max() < 1


def test_a_rate_too_high_leaves_the_picture(told):
    assert told["rate too high"]["moved"] > 5 and told["rate too high"]["blank"] > 0.5


def test_zero_padding_shows_grey_where_paper_would_be(seen):
    def share(name):
        out = torch.tensor(seen[name].outputs)
        return ((out - 0.1307).abs() < 0.003).double().mean().item()

    assert share("zero padding, normalised") > 10 * share("paper padding, normalised")


def test_the_untransformed_image_gives_theta_no_gradient(seen, told):
    run = seen["untransformed input"]
    assert run.distances.max() == 0 and told["untransformed input"]["moved"] == 0
    front = run.model.front
    assert all(p.grad is None for p in front.parameters())
    assert sum(run.losses[-15:]) < 0.9 * sum(run.losses[:15])  # and yet it learns
    assert torch.equal(torch.tensor(run.outputs), torch.tensor(run.looks.inputs / 255))


def test_a_collapsed_crop_does_not_recover(seen, told):
    sides = seen["crop collapse"].thetas[:, :, :, :2].det().abs().sqrt().median(1).values
    assert sides[0] == pytest.approx(0.1) and sides[-1] < 1
    assert told["crop collapse"]["blank"] > told["sound"]["blank"] == 0
    assert told["crop collapse"]["accuracy"] < told["sound"]["accuracy"]


def test_the_same_seed_gives_the_same_run(halls):
    one, other = (museum.run_exhibit("sound", halls, seed=3, steps=20) for _ in "ab")
    third = museum.run_exhibit("sound", halls, seed=4, steps=20)
    assert one.losses == other.losses and torch.equal(one.thetas, other.thetas)
    assert one.losses != third.losses


def test_asking_for_the_pose_centres(halls, seen):
    from stn_course.analysis.pose import residual, spread
    from stn_course.models.losses import pose_error

    torch.manual_seed(0)
    run = museum.short_run(
        museum.sound(),
        halls.train,
        halls.probes,
        steps=150,
        pose_loss=pose_error,
        truth=halls.truth,
    )
    asked, unasked = (
        spread(*residual(halls.probe_truth, r.thetas[-1]), pixels=14) for r in (run, seen["sound"])
    )
    assert asked["centre_sd"] < 0.7 * unasked["centre_sd"]


def test_wrong_use_is_told(halls):
    with pytest.raises(ValueError, match="name='nothing' is unknown; wanted one of sound"):
        museum.run_exhibit("nothing", halls)
    with pytest.raises(ValueError, match="no spatial transformer"):
        museum.short_run(nn.Linear(2, 2), halls.train, halls.probes)
    two = models.build("stn-small", transformers=2)
    with pytest.raises(ValueError, match="several transformers side by side"):
        museum.short_run(two, halls.train, halls.probes)
    with pytest.raises(ValueError, match="several transformers side by side"):
        glimpses.glimpses(two, torch.device("cpu"), "hr")
    with pytest.raises(ValueError, match="pose_loss and truth go together"):
        museum.short_run(museum.sound(), halls.train, halls.probes, truth=halls.truth)


def test_glimpses_of_the_identity_read_nothing_outside(monkeypatch):
    monkeypatch.setattr(glimpses, "mnist", lambda _: halls_of(50))
    found = glimpses.glimpses(museum.sound(), torch.device("cpu"), "hr")["glimpse"]
    assert found["half_side"] == pytest.approx(1) and found["outside"] == 0


def halls_of(n):
    digits = data.mnist("test")
    return data.Digits(digits.images[:n], digits.labels[:n], digits.source)


# ---------------------------------------------------------------- co-localisation
def test_the_hinge_is_what_its_formula_says():
    crops, others = torch.tensor([[0.0], [1], [3]]), torch.tensor([[2.0], [1], [3]])
    near = [[0, 1, 9], [1, 0, 4], [9, 4, 0]]
    far = [4, 0, 0]
    slow = [max(0, near[n][m] - far[n] + 0.5) for n in range(3) for m in range(3) if m != n]
    assert colocalisation.hinge(crops, others, 0.5).item() == pytest.approx(sum(slow) / 6)


def test_a_glimpse_is_one_cell_where_it_is_asked_for():
    theta = colocalisation.glimpse_at(torch.tensor([[0.0, 0.5]]))
    assert geometry.glimpse_boxes(theta, 84)[0].tolist() == pytest.approx([28, 49, 56, 77])


def test_centring_removes_a_constant_and_only_that():
    scenes = colocalisation.scenes_of(data.mnist("train"), 3, patches=0, seed=0)
    centres = (scenes.boxes[:, :2] + 14).float() / 42 - 1
    off = colocalisation.glimpse_at(centres + torch.tensor([0.2, -0.15]))
    found = colocalisation.recentred(scenes.images, off)
    shift = (found - colocalisation.glimpse_at(centres))[:, :, 2]
    assert shift.std(0).max() < 1e-5
    assert (42 * shift).abs().max() < 3  # pixels, from 8 and 6
    assert torch.equal(found[:, :, :2], off[:, :, :2])


def test_a_short_search_finds_most_of_a_class(monkeypatch):
    # How well the encoder reads test digits is not asked here, and some thousand teach it enough.
    whole, few = datasets.mnist, replace(colocalisation.ENCODER, limit=3000)
    monkeypatch.setattr(colocalisation, "ENCODER", few)
    monkeypatch.setattr(
        datasets, "mnist", lambda split: halls_of(50) if split == "test" else whole(split)
    )
    code = colocalisation.encoder()
    scenes = colocalisation.scenes_of(data.mnist("train"), 6, patches=0, seed=0)
    found = colocalisation.search(scenes, code, starts=3, trial=30, steps=60)
    assert len(found.losses) == 60 and min(found.ends) < 0.5
    assert (found.ious() > 0.5).double().mean() > 0.7


@pytest.mark.parametrize("enough, tried", [(9.0, 1), (0.0, 3)])
def test_starts_are_tried_until_one_does_well_enough(enough, tried):
    scenes = colocalisation.scenes_of(data.mnist("train"), 7, patches=0, seed=0)
    code = nn.Sequential(nn.Flatten(), colocalisation.Unit())
    settings = {"starts": 3, "trial": 2, "steps": 1}
    assert len(colocalisation.search(scenes, code, enough=enough, **settings).ends) == tried


def test_the_experiments_are_named_and_their_records_hold(monkeypatch):
    assert {"museum-hr-start", "museum-hr-identity", "coloc-translated"} <= set(EXPERIMENTS)
    assert EXPERIMENTS["museum-hr-start"].seeds == 20

    def quick(scenes, code, seed):
        n = len(scenes.images)
        theta = geometry.identity().expand(n, 2, 3)
        return colocalisation.Found(scenes, theta[None], theta, [1.0], [1.0])

    monkeypatch.setattr(colocalisation, "search", quick)
    monkeypatch.setattr(colocalisation, "encoder", lambda seed: None)
    run = EXPERIMENTS["coloc-cluttered"].run("coloc-cluttered", 1)
    assert loads(dumps(run)) == run
    assert run.results["test/cluttered"]["correct"] == 0
    assert run.results["test/cluttered"]["total"] > 100
