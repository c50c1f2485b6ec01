"""The command line: every command, every flag does something, one clear line on bad input."""

import json

import pytest

from stn_course import cli, experiments, records
from stn_course.train import Config

FAST = ["--model", "fc", "--limit", "200", "--epochs", "1", "--precision", "float32", "--quiet"]


def run(*words, capsys=None):
    code = cli.main([str(w) for w in words])
    return (code, *capsys.readouterr()) if capsys else code


def train(tmp_path, *more, name="run"):
    folder = tmp_path / name
    assert run("train", *FAST, *more, "--out", folder) == 0
    return records.loads((folder / "record.json").read_text())


def test_train_writes_its_folder_and_test_counts_the_same(tmp_path, capsys):
    record = train(tmp_path)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {
        *("checkpoint.pt", "config.json", "history.csv", "history.png"),
        *("record.json", "weights.safetensors"),
    }
    capsys.readouterr()
    for split in ("valid", "test"):
        code, out, _ = run("test", tmp_path / "run", "--split", split, capsys=capsys)
        result = record.results[f"{split}/clean"]
        assert code == 0 and f"{result['correct']} / {result['total']}" in out
        assert f"digits: {record.digits}" in out


@pytest.mark.parametrize(
    "flags",
    [
        ["--model", "cnn"],
        ["--options", '{"width": 64}'],
        ["--distort", "hard"],
        ["--distort", "hard", "--frozen"],
        ["--distort", "hard", "--frozen", "--with-clean"],
        ["--augment", "gentle"],
        ["--train-on", "train+valid"],
        ["--limit", "100"],
        ["--epochs", "2"],
        ["--batch-size", "50"],
        ["--lr", "0.01"],
        ["--optimizer", "rmsprop"],
        ["--optimizer", "sgd", "--momentum", "0.9"],
        ["--weight-decay", "0.1"],
        ["--schedule", "linear"],
        ["--schedule", "two-phase", "--epochs", "4"],
        ["--clip", "0.001"],
        ["--precision", "bf16"],
        ["--seed", "1"],
    ],
    ids=" ".join,
)
def test_every_flag_changes_the_outcome(tmp_path, flags, capsys):
    plain = train(tmp_path, name="plain")
    changed = train(tmp_path, *flags, name="changed")
    assert changed.config | {"seed": changed.seed} != plain.config | {"seed": plain.seed}
    assert changed.hashes["weights"] != plain.hashes["weights"] or "train-on" in flags[0]


def test_patience_stops_a_run_that_gets_no_better(tmp_path, capsys):
    still = ["--epochs", "6", "--lr", "1e-9"]
    assert len(train(tmp_path, *still, name="plain").curves["train_loss"]) == 6
    record = train(tmp_path, *still, "--patience", "2", name="patient")
    assert len(record.curves["train_loss"]) == 3  # the first was the best
    capsys.readouterr()
    code, out, _ = run("test", tmp_path / "patient", capsys=capsys)
    result = record.results["test/clean"]
    assert code == 0 and "the best of 3 epochs" in out
    assert f"{result['correct']} / {result['total']}" in out


def test_the_localiser_rate_changes_the_outcome(tmp_path):
    model = ["--model", "tutorial", "--limit", "100"]
    plain = train(tmp_path, *model, name="plain")
    changed = train(tmp_path, *model, "--lr-localiser", "0.0001", name="changed")
    assert (plain.config["lr_localiser"], changed.config["lr_localiser"]) == (None, 1e-4)
    assert changed.hashes["weights"] != plain.hashes["weights"]


def test_test_makes_the_network_for_the_canvas_of_its_run(tmp_path, capsys):
    record = train(tmp_path, "--distort", "rts", "--tests", "clean", "rts")
    capsys.readouterr()
    code, out, _ = run("test", tmp_path / "run", capsys=capsys)
    assert code == 0
    for name in ("clean", "rts"):
        result = record.results[f"test/{name}"]
        assert f"{result['correct']} / {result['total']}" in out


def test_flags_about_the_run_itself(tmp_path, capsys):
    plain = train(tmp_path)
    again = train(tmp_path, "--tests", "clean", "mild", "--save-every", "1", name="tests")
    assert "test/mild" in again.results and again.hashes == plain.hashes
    assert train(tmp_path, "--device", "cpu", "--threads", "1", name="one").threads == 1
    code, _, err = run("train", *FAST, "--out", tmp_path / "run", capsys=capsys)
    assert code == 2 and "add --resume to go on" in err
    assert train(tmp_path, "--resume").repeatable() == plain.repeatable()
    longer = train(tmp_path, "--resume", "--epochs", "2")
    assert len(longer.curves["train_loss"]) == 2


def test_every_field_of_config_has_its_flag():
    train_parser = cli.build_parser()._subparsers._group_actions[0].choices["train"]
    flags = {a.dest for a in train_parser._actions}
    assert set(Config.__dataclass_fields__) <= flags
    for sub in cli.build_parser()._subparsers._group_actions[0].choices.values():
        assert sub.description and all(a.help for a in sub._actions)


@pytest.mark.parametrize(
    "words, message",
    [
        (["train", "--model", "vgg", "--out", "{}"], "model='vgg' is unknown; wanted one of fc"),
        (["train", "--options", '{"depth": 3}', "--out", "{}"], "depth"),
        (["train", "--lr", "-1", "--out", "{}"], "lr=-1.0; wanted a positive rate"),
        (["train", "--lr-localiser", "1", "--out", "{}"], "model='cnn' has no transformer"),
        (["train", "--tests", "tc", "--out", "{}"], "tests='tc' is 1x60x60; wanted what fits"),
        (["train", "--device", "abacus", "--out", "{}"], "abacus"),
        (["test", "{}/nowhere"], "nothing was trained there"),
        (["run", "nothing"], "experiment 'nothing' is unknown; wanted one of xq-fc-clean"),
        (["run"], "no experiment named"),
        (["run", "invariance-fc", "--allow-sample"], "--allow-sample needs --out"),
        (["table", "S99"], "row 'S99' is unknown"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_values_get_one_line(tmp_path, words, message, capsys):
    code, _, err = run(*[w.replace("{}", str(tmp_path / "x")) for w in words], capsys=capsys)
    assert code == 2 and message in err
    assert len(err.strip().splitlines()) <= 2 and "Traceback" not in err


@pytest.mark.parametrize(
    "words", [["train", "--epochs", "0", "--out", "x"], ["train", "--options", "[", "--out", "x"]]
)
def test_wrong_shapes_of_values_are_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2 and "error: argument" in capsys.readouterr().err


def test_run_makes_what_is_missing_and_nothing_twice(tmp_path, monkeypatch, capsys):
    tiny = experiments.Experiment(Config(model="fc", limit=100, epochs=1), "a test", seeds=2)
    monkeypatch.setitem(experiments.EXPERIMENTS, "tiny", tiny)
    out = tmp_path / "runs.jsonl"
    words = ("run", "tiny", "--out", out, "--allow-sample")
    assert run(*words) == 0 and run(*words, "--seeds", 3) == 0
    lines = [records.loads(line) for line in out.read_text().splitlines()]
    assert [(r.experiment, r.seed) for r in lines] == [("tiny", 0), ("tiny", 1), ("tiny", 2)]
    capsys.readouterr()
    code, said, _ = run(*words, "--seeds", 4, "--plan", capsys=capsys)
    assert (
        code == 0 and said.startswith("1 runs to make") and len(out.read_text().splitlines()) == 3
    )
    code, said, _ = run(*words, "--seeds", 2, "--plan", "--again", capsys=capsys)
    assert code == 0 and said.startswith("2 runs to make")


def test_a_failing_run_is_told_and_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    good = experiments.Experiment(Config(model="fc", limit=100, epochs=1), "a test", seeds=1)

    def explode(model, device):
        raise RuntimeError("probe broke")

    bad = experiments.Experiment(good.config, "a test", seeds=1, probe=explode)
    monkeypatch.setitem(experiments.EXPERIMENTS, "bad", bad)
    monkeypatch.setitem(experiments.EXPERIMENTS, "good", good)
    out = tmp_path / "o.jsonl"
    code, said, err = run("run", "bad", "good", "--out", out, "--allow-sample", capsys=capsys)
    assert code == 1 and "failed: ['bad/0']" in said and "probe broke" in err
    assert [json.loads(line)["experiment"] for line in out.read_text().splitlines()] == ["good"]


def test_records_are_not_made_from_the_sample(monkeypatch, capsys):
    monkeypatch.setattr(experiments, "is_sample", lambda: True)
    code, _, err = run("run", "invariance-fc", "--seeds", 99, capsys=capsys)
    assert code == 2 and "only the offline sample" in err


def test_list_and_table(capsys):
    code, out, _ = run("run", "--list", capsys=capsys)
    assert code == 0 and len(out.splitlines()) == len(experiments.EXPERIMENTS)
    code, out, _ = run("table", "S4", capsys=capsys)
    assert code == 0 and "75.69 %" in out and "S5" not in out


def test_records_of_another_machine_are_filed(tmp_path, monkeypatch, capsys):
    out, folder = tmp_path / "made.jsonl", tmp_path / "records"
    made = records.RunRecord(
        *("xq-fc-clean", 7, {}, "full MNIST", 1, {}, {}, {}), commit="abc", device="a GPU"
    )
    out.write_text(json.dumps(json.loads(records.dumps(made))) + "\n")
    monkeypatch.setattr(records, "records_dir", lambda: folder)
    assert run("records", "import", out, capsys=capsys)[1] == "1 filed, 0 same, 0 replaced\n"
    assert records.load("xq-fc-clean", folder) == [made]
    out.write_text(out.read_text().replace("xq-fc-clean", "xq-of-nobody"))
    code, _, err = run("records", "import", out, capsys=capsys)
    assert code == 2 and "xq-of-nobody" in err
    assert run("records", "import", tmp_path / "absent", capsys=capsys)[0] == 2
