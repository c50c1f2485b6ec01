"""What a run starts from: another's weights, whole or in part, and parts that stay as they are."""

import dataclasses

import pytest
import torch
from torch import nn

import stn_course
from stn_course.cli import main
from stn_course.models.parts import covering, paths_of
from stn_course.training import checkpoints, datasets, run_folder
from stn_course.training.config import Config, build
from stn_course.training.listeners import Checkpoints, Listener
from stn_course.training.record import dumps, loads
from tests.support import first_digits

# Weight decay and momentum move what has no gradient, batch norms what has no decay.
STN = Config(
    model="stn-small",
    limit=100,
    epochs=1,
    batch_size=50,
    precision="float32",
    optimizer="sgd",
    momentum=0.9,
    weight_decay=0.1,
    lr=0.05,
)


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    monkeypatch.setattr(datasets, "mnist", first_digits(100))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run's folder, and its network."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "mnist", first_digits(100))
        run_folder.train(STN, 0, folder)
    return folder, run_folder.load(folder, device="cpu")


class Began(Listener):
    """Keeps the weights before the first step."""

    def start(self, run):
        self.weights = {k: v.clone() for k, v in run.model.state_dict().items()}


def same(ours, theirs, start=""):
    """Which of the tensors whose names start so are alike."""
    return {k: torch.equal(v, theirs[k]) for k, v in ours.items() if k.startswith(start)}


def test_a_run_goes_on_from_a_folder_a_checkpoint_a_file_and_a_network(first):
    folder, net = first
    for source in (
        folder,
        str(folder / "checkpoint.pt"),
        folder / "weights.safetensors",
        net,
        ("first", net),
    ):
        began = Began()
        _, record = stn_course.fit(STN, 1, [began], start_from=source)
        assert all(same(began.weights, net.state_dict()).values())
        assert record.start["weights"] == checkpoints.weights_sha256(net)
        assert record.start["run"] == ("Sequential" if source is net else "first")
        assert record.start["loaded"] == ["0", "1"] and record.start["left"] == []
        assert record.first_steps["weights"] == record.start["weights"]
        assert loads(dumps(record)).start == record.start


def test_only_a_part_is_taken_over_and_a_frozen_one_stays_as_it_is(first):
    folder, net = first
    began = Began()
    named = {"only": ["classifier"], "freeze": ["classifier"]}
    model, record = stn_course.fit(STN, 1, [began], start_from=folder, **named)
    start, end = began.weights, model.state_dict()
    assert all(same(start, net.state_dict(), "1.").values())
    assert all(same(end, net.state_dict(), "1.").values()), "parameters and buffers of norms"
    assert not any(same(start, net.state_dict(), "0.body.0").values())
    assert not all(same(end, start, "0.body.0").values()), "what is not frozen learns"
    assert (record.start["loaded"], record.start["left"]) == (["1"], ["0"])
    assert record.start["frozen"] == ["1"]


def test_freezing_needs_no_start_and_a_part_has_many_names():
    model, record = stn_course.fit(STN, 2, freeze=["localiser"])
    assert record.start["frozen"] == ["0"] and record.start["run"] == ""
    began = Began()
    other, _ = stn_course.fit(STN, 2, [began], freeze=["body", "0.head"])
    assert torch.equal(model[1][0].weight, other[1][0].weight)
    assert all(same(other.state_dict(), began.weights, "0.").values())
    _, plain = stn_course.fit(STN, 2)
    assert plain.start == {} and '"start"' not in dumps(plain)


def test_a_resumed_run_keeps_its_start_and_what_it_froze(first, tmp_path):
    source, _ = first
    config = dataclasses.replace(STN, epochs=2)
    named = {"start_from": source, "freeze": ["localiser"]}
    _, whole = stn_course.fit(config, 3, **named)

    class Stop(Listener):
        def step(self, run):
            if run.state.step == stop:
                raise KeyboardInterrupt

    for stop in (1, 3):  # before the first checkpoint of a step, and after an epoch
        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            stn_course.fit(config, 3, [Stop(), Checkpoints(folder)], **named)
        with pytest.raises(ValueError, match="cannot resume.*freeze=.*'localiser'.*'classifier'"):
            stn_course.fit(config, 3, resume=folder, start_from=source, freeze=["classifier"])
        _, resumed = stn_course.fit(config, 3, resume=folder)
        assert resumed.repeatable() == whole.repeatable()
    stn_course.fit(STN, 0, [Checkpoints(tmp_path / "plain")])
    with pytest.raises(ValueError, match="cannot resume.*freeze='nothing' there"):
        stn_course.fit(STN, 0, resume=tmp_path / "plain", freeze=["classifier"])


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"freeze": ["localizer"]}, ValueError, "freeze has 'localizer'; wanted body, head, local"),
        ({"freeze": "localiser"}, TypeError, r"freeze='localiser'; wanted a list"),
        ({"freeze": ["0", "1"]}, ValueError, "nothing is left that learns"),
        ({"only": ["localiser"]}, ValueError, "only=.*wanted start_from"),
        ({"start_from": "nowhere"}, FileNotFoundError, "nowhere"),
        ({"start_from": 3}, TypeError, "start_from is a int"),
        ({"start_from": nn.Linear(2, 2)}, ValueError, "0.body.0.weight is missing there; .*only"),
    ],
)
def test_what_cannot_be_a_start_is_refused_by_name(given, error, told):
    with pytest.raises(error, match=told):
        stn_course.fit(STN, **given)


def test_other_shapes_are_refused_unless_they_are_outside_only(first):
    _, net = first
    sums = dataclasses.replace(STN, model="stn-small", distort="addition", tests=("addition",))
    model = build(sums)
    with pytest.raises(ValueError, match=r"1.0.weight is \[.*\] there and \[.*\] here; .* more"):
        checkpoints.begin_from(model, net)
    start = checkpoints.begin_from(model, net, only=["1.5"])
    assert start["loaded"] == ["1.5"] and torch.equal(model[1][5].weight, net[1][5].weight)


def test_a_file_of_weights_is_checked(first, tmp_path):
    data = bytearray((first[0] / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        stn_course.fit(STN, start_from=tmp_path / "weights.safetensors")


def test_names_of_parts():
    wrapped = build(dataclasses.replace(STN, options={"normalise": (0.5, 0.5)}))
    assert paths_of(wrapped, ["localiser"], "only") == ["1.0"]
    assert paths_of(wrapped, ["classifier"], "only") == ["0", "1.1"]
    within = build(dataclasses.replace(STN, model="stn-features"))
    assert paths_of(within, ["localiser"], "only") == ["3"]
    assert covering(within, [n for n in within.state_dict() if n[0] == "3"]) == ["3"]
    assert covering(within, ["0.weight", "1.bias"]) == ["0", "1.bias"]
    plain = build(dataclasses.replace(STN, model="fc"))
    with pytest.raises(ValueError, match="freeze has 'localiser'; wanted classifier"):
        paths_of(plain, ["localiser"], "freeze")


def test_the_command_line_says_what_was_loaded_and_frozen(first, tmp_path, capsys):
    words = f"train --model stn-small --limit 100 --epochs 1 --quiet --out {tmp_path / 'second'}"
    words += f" --start-from {first[0]} --only localiser --freeze localiser --no-tensorboard"
    assert main.main(words.split()) == 0
    out = capsys.readouterr().out
    net = first[1]
    assert f"start: first, weights {checkpoints.weights_sha256(net)}" in out
    assert "loaded: 0\nleft: 1\nfrozen: 0\n" in out
    record = loads((tmp_path / "second" / "record.json").read_text())
    assert record.start["frozen"] == ["0"] and str(tmp_path) not in dumps(record)
    learned = run_folder.load(tmp_path / "second", device="cpu").state_dict()
    assert all(same(learned, net.state_dict(), "0.").values())
    assert main.main([*words.split()[:-2], "x", "--out", str(tmp_path / "third")]) == 2
    assert "freeze has 'x'" in capsys.readouterr().err and not (tmp_path / "third").exists()
