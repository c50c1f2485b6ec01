"""A row of the scoreboard says on what terms its numbers stand, and the records say the same."""

import dataclasses
import re

import pytest
import torch

from stn_course import geometry, models
from stn_course.experiments import records, scoreboard
from stn_course.experiments.published import OURS, ROWS, terms
from stn_course.experiments.published.terms import IDENTITY, NONE, RANDOM, STRIPS, Terms
from stn_course.models.registry import TRANSFORMS
from stn_course.training.config import Config, build

ANSWERED = [(row, records.load(row.experiment)) for row in ROWS]
ANSWERED = [(row, runs) for row, runs in ANSWERED if runs]


def named(pairs):
    return [f"{row.row}-{row.experiment}" for row, _ in pairs]


# ---------------------------------------------------------------- published numbers
def test_each_published_number_says_where_it_stands_and_of_what_it_is():
    for row in ROWS:
        if row.published == "none":
            assert row.theirs is None, row
        else:
            assert row.theirs.where and row.theirs.split in ("test", "validation"), row


def test_numbers_of_one_network_and_set_stand_on_the_same_terms():
    found = {}
    for row in ROWS:
        key = (row.row, row.task, row.published, row.theirs and row.theirs.transformer)
        assert found.setdefault(key, row.theirs) == row.theirs, row


WITH, WITHOUT = r"STN|SPN|ST-|homography|two transformers|affine|thin-plate", r"FC|CNN|conv"


@pytest.mark.parametrize("row", [row for row in ROWS if row.theirs and row.kind != OURS])
def test_a_network_of_theirs_has_the_transformer_that_its_name_says(row):
    if row.row == "S9":
        assert (row.theirs.transformer == NONE) == row.variant.startswith("without"), row
    elif row.row == "S10":  # SE's runs 03 and 04 go around it
        assert (row.theirs.transformer == NONE) == (row.variant[4:6] in ("03", "04")), row
    elif re.search(WITH, row.variant):
        assert row.theirs.transformer != NONE, row
    elif re.search(WITHOUT, row.variant):
        assert row.theirs.transformer == NONE, row


# ---------------------------------------------------------------- ours
NETS = {
    (runs[0].config["model"], str(runs[0].config["options"]), row.which): (row, runs)
    for row, runs in ANSWERED
    if "model" in runs[0].config
}


@pytest.mark.parametrize(("row", "runs"), NETS.values(), ids=named(NETS.values()))
def test_what_is_said_of_ours_is_what_the_recorded_network_is(row, runs, built):
    said = terms.of_runs(runs, row.which)
    assert said.split == row.which.split("/")[0] == "test"
    net, shape = built(runs[0].config)
    fronts = [m for m in net.modules() if isinstance(m, models.SpatialTransformer)]
    if not fronts:
        assert (said.transformer, said.start) == (NONE, "")
        return
    kinds = {kind: name for name, kind in TRANSFORMS.items()}
    kind = kinds[type(fronts[0].transform)]
    several = "" if len(fronts) == 1 else f"{len(fronts)} x "
    assert said.transformer == several + terms.KINDS.get(kind, kind)
    with torch.no_grad():
        net.eval()(torch.rand(2, *shape))
    theta = fronts[0].theta
    if theta.shape[1:] == (16, 2):  # offsets of a spline
        starts = IDENTITY if theta.abs().max() == 0 else RANDOM
    elif theta.dim() == 4 and not torch.allclose(theta[:, 0], theta[:, 1]):
        starts = STRIPS
    else:
        unit = geometry.identity(1)
        unit = unit if theta.shape[-2] == 2 else geometry.to_homogeneous(unit)
        starts = IDENTITY if torch.allclose(theta, unit.expand_as(theta), atol=1e-5) else RANDOM
    assert said.start == starts


@pytest.fixture(scope="module")
def built():
    """The untrained network of a recorded configuration, each made once."""
    made = {}

    def make(config):
        known = {f.name for f in dataclasses.fields(Config)}
        config = Config(**{k: v for k, v in config.items() if k in known})
        key = (config.model, str(config.options), config.shape)
        if key not in made:
            torch.manual_seed(0)
            made[key] = build(config), config.shape
        return made[key]

    return make


# Words of a row's variant or task, and what they say of the configuration of its records.
WORDS = {
    r"fresh": lambda c: not c["frozen"],
    r"its 10 000 images": lambda c: c["frozen"] and c["distort"] == "cluttered",
    r"(\d+) epochs": lambda c, n: c["epochs"] == int(n),
    r"trained on clean digits": lambda c: c["distort"] is None,
    r"trained on the (hard|mild) mixture": lambda c, kind: c["distort"] == kind,
    r"unpadded": lambda c: c["model"] == "hr",
    r"torch's start": lambda c: c["model"] in ("tutorial", "tutorial-cnn"),
    r"from strips": lambda c: c["options"]["first_look"] == "strips",
    r"from the whole picture": lambda c: c["options"].get("first_look", "image") == "image",
    r"d = (\d)": lambda c, d: c["options"]["down"] == int(d),
    r"output height 1/(\d)": lambda c, d: c["options"]["down"] == [int(d), 1],
    r"upright and centred": lambda c: c["pose_weight"] > 0,
    r"from the identity": lambda c: c["pose_weight"] == 0 and c["model"] not in ("hr", "hr-padded"),
    r"trained well": lambda c: c["schedule"] == "onecycle",
    r"SE's recipe": lambda c: c["optimizer"] == "sgd" and c["schedule"] == "constant",
    r"^2ST|two transformers": lambda c: c["options"]["transformers"] == 2,
    r"four corners": lambda c: c["options"]["transform"] == "corners",
    r"eight numbers|homography before": lambda c: c["options"]["transform"] == "homography",
}


def words_that_lie(row, config: dict) -> list[str]:
    """The words of a row that its configuration contradicts."""
    lie = []
    for words, holds in WORDS.items():
        for found in re.finditer(words, f"{row.variant}\n{row.task}", re.MULTILINE):
            if not holds(config, *found.groups()):
                lie.append(found[0])
    return lie


OF_CONFIGS = [(row, runs) for row, runs in ANSWERED if "model" in runs[0].config]


@pytest.mark.parametrize(("row", "runs"), OF_CONFIGS, ids=named(OF_CONFIGS))
def test_the_words_of_a_row_are_those_of_its_records(row, runs):
    assert words_that_lie(row, runs[0].config) == []
    if "fresh" not in row.variant and row.row in ("S1", "S2"):
        assert runs[0].config["frozen"]


def test_a_word_that_lies_is_found():
    row, runs = next((r, runs) for r, runs in OF_CONFIGS if r.experiment == "se-03")
    wrong = dataclasses.replace(row, variant="run 03, 30 epochs")
    assert words_that_lie(wrong, runs[0].config) == ["30 epochs"]
    wrong = dataclasses.replace(row, variant="run 03, fresh")
    assert words_that_lie(wrong, runs[0].config | {"frozen": True}) == ["fresh"]


def test_what_was_done_afterwards_is_said_with_what_stood_before():
    for name in ("translated", "cluttered"):
        (row,) = (r for r in scoreboard.rows() if r["command"].endswith(f"coloc-{name}"))
        runs = records.load(f"coloc-{name}")
        found = sum(sum(run.probes["correct_before_centring"].values()) for run in runs)
        assert f"as found {100 * found / 3000:.1f} %" in row["here"]
        assert "after centring" in row["variant"] and "as found" in row["theirs"]
        assert "after: as found" in row["unlike"]


# ---------------------------------------------------------------- beside each other
def test_terms_that_differ_are_named():
    theirs, ours = Terms(split="validation", after="x"), Terms(start=STRIPS)
    assert terms.unlike(theirs, ours) == [
        "split: validation, here test",
        f"start: {IDENTITY}, here {STRIPS}",
        "after: x, here nothing",
    ]
    assert terms.unlike(Terms(), Terms(runs="one run", where="there")) == []


def test_unlike_rows_say_so():
    rows = {row["command"].split()[-1]: row for row in scoreboard.rows() if row["row"] != "S2"}
    assert "split: validation, here test" in rows["seq-ffn"]["unlike"]
    assert "start: from a random pose" in rows["hr-stn"]["unlike"]
    assert rows["paper-2st-fcn-addition"]["unlike"] == "-"  # affine beside affine
    assert rows["paper-2st-fcn-addition"]["theirs"].startswith("test; 2 x affine")
    assert "bar chart" in rows["se-01"]["where"]


def test_runs_on_other_terms_are_no_one_row():
    runs = records.load("hy-stn")
    other = dataclasses.replace(runs[0], config=runs[0].config | {"patience": 3})
    with pytest.raises(ValueError, match="runs of hy-stn have terms"):
        terms.of_runs([other, runs[1]], "test/clean")
    assert "best on validation" in str(terms.of_runs([other], "test/clean"))
