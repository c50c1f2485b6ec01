"""The command line: every command, every flag does something, one clear line on bad input."""

import dataclasses
import json
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from stn_course import files
from stn_course.analysis import run_plots
from stn_course.cli import main
from stn_course.data import recipes
from stn_course.experiments import catalogue, published, records, runner, sweep
from stn_course.experiments.experiment import Experiment
from stn_course.models import registry
from stn_course.training import checkpoints, listeners
from stn_course.training.config import SCHEDULES, Config
from stn_course.training.record import dumps, loads

FAST = ["--model", "fc", "--epochs", "1", "--precision", "float32", "--quiet"]
WRITTEN = {
    "checkpoint.pt",
    "config.json",
    "history.csv",
    "history.png",
    "record.json",
    "tensorboard",
    "weights.safetensors",
}

DIVERGES = "train --optimizer sgd --lr 1e6 --weight-decay 1e6 --epochs 1".split()

pytestmark = pytest.mark.usefixtures("few_digits")


def run(*words, capsys=None):
    code = main.main([str(w) for w in words])
    return (code, *capsys.readouterr()) if capsys else code


def train(tmp_path, *more, name="run"):
    folder = tmp_path / name
    assert run("train", *FAST, *more, "--out", folder) == 0
    return loads((folder / "record.json").read_text())


def test_train_writes_its_folder_and_test_counts_the_same(tmp_path, capsys):
    record = train(tmp_path)
    assert {p.name for p in (tmp_path / "run").iterdir()} == WRITTEN
    capsys.readouterr()
    for split in ("valid", "test"):
        code, out, _ = run("test", tmp_path / "run", "--split", split, capsys=capsys)
        result = record.results[f"{split}/clean"]
        assert code == 0 and f"{result['correct']} / {result['total']}" in out
        assert f"digits: {record.digits}" in out


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The run with these flags; made once, for several cases have the same baseline."""
    made = {}

    def once(flags):
        if flags not in made:
            folder = tmp_path_factory.mktemp("without")
            made[flags] = train(folder, *flags, "--no-tensorboard")
        return made[flags]

    return once


SGD, HARD = "--optimizer sgd", "--data hard --tests hard"
CASES = {  # a flag: the flags beside it, with which the same run is made without it
    "--model cnn": "",
    '--options {"width":64}': "",
    "--data hard": "--tests clean",
    "--distort mild": "--tests clean",
    "--frozen": HARD,
    "--with-clean": f"{HARD} --frozen",
    "--augment gentle": "",
    "--train-on train+valid": "",
    "--limit 100": "",
    "--epochs 2": "",
    "--batch-size 50": "",
    "--lr 0.01": "",
    "--lr-localiser 0.0001": "--model tutorial --limit 100",
    "--optimizer rmsprop": "",
    "--optimizer sgd": "",
    "--momentum 0.9": SGD,
    "--weight-decay 0.1": "",
    "--epsilon 1e-6": "",
    "--schedule linear": "",
    "--schedule step": "",
    "--schedule cosine": "",
    "--schedule onecycle": "",
    "--schedule two-phase": "",
    "--schedule late-decay": "--epochs 34 --limit 64",  # it decays from the 33rd on
    "--precision bf16": "",
    "--pose-weight 1": "--model stn-small --limit 64 --data hard --tests hard",
    "--clip 0.001": SGD,
    "--seed 1": "",
}
ELSEWHERE = {
    "tests",
    "patience",
    "limit_measured",
}  # tested elsewhere: they do not decide the weights of every run


@pytest.mark.parametrize("flag, beside", CASES.items())
def test_every_flag_changes_the_outcome(tmp_path, without, flag, beside, monkeypatch):
    """The run with the flag differs from the run without it in that setting, and in weights."""
    for name in ("history", "save"):  # another test sees that the curves are drawn
        monkeypatch.setattr(run_plots, name, lambda *_: None)
    flag, beside = tuple(flag.split()), tuple(beside.split())
    plain, changed = without(beside), train(tmp_path, *beside, *flag, "--no-tensorboard")
    settings = [r.config | {"seed": r.seed} for r in (plain, changed)]
    differ = {k for k in settings[0] if settings[0][k] != settings[1][k]}
    assert differ - {"bf16"} == {field_of(flag[0])}
    assert changed.hashes["weights"] != plain.hashes["weights"]


def field_of(flag):
    return flag.removeprefix("--").replace("-", "_").replace("data", "distort")


def test_no_setting_is_without_its_case():
    flags = {field_of(case.split()[0]) for case in CASES}
    assert flags - {"seed"} == set(Config.__dataclass_fields__) - ELSEWHERE
    schedules = {case.split()[1] for case in CASES if case.startswith("--schedule")}
    assert schedules == set(SCHEDULES) - {Config.schedule}


def test_clean_digits_are_the_data_unless_another_is_named(tmp_path):
    config = train(tmp_path, "--data", "clean", "--model", "tutorial", "--limit", "100").config
    assert config["distort"] is None and config["tests"] == ["clean"]


@pytest.mark.parametrize(
    "flags, tests",
    [
        ("--data hard", ["hard"]),
        ("--data hard --frozen --with-clean", ["hard", "clean"]),
        ("--data addition", ["addition"]),
        ("--data sequences --model rnn-spn --batch-size 10", ["sequences"]),
        ("--data rts --tests clean", ["clean"]),
    ],
)
def test_a_run_is_measured_on_what_it_was_trained_on(tmp_path, flags, tests, capsys):
    folder = tmp_path / "run"
    code, out, err = run(
        "train", *FAST, "--limit", "20", *flags.split(), "--out", folder, capsys=capsys
    )
    assert (code, err) == (0, "")
    record = loads((folder / "record.json").read_text())
    assert set(record.results) == {f"{split}/{t}" for split in ("valid", "test") for t in tests}
    code, again, _ = run("test", folder, capsys=capsys)
    assert code == 0
    for name in tests:
        result = record.results[f"test/{name}"]
        said = f"{result['correct']} / {result['total']}"
        if name == "sequences":
            assert (result["total"], result["rows"]) == (120, 40)
            share = 100 * result["words"] / 40
            said += f" digits, {result['words']} / 40 words ({share:.2f} %)"
        else:
            assert "words" not in out + again
        assert said in out and said in again


def test_an_experiment_is_trained_by_its_name_and_a_flag_goes_before_its_setting(tmp_path, capsys):
    """SE's users look at a run: its confusion matrix, its gallery. A record has neither."""
    folder = tmp_path / "run"
    asked = ["--experiment", "se-05-rts", "--limit", "20", "--epochs", "1", "--quiet"]
    assert run("train", *asked, "--out", folder, capsys=capsys)[0] == 0
    wanted = dataclasses.replace(catalogue.EXPERIMENTS["se-05-rts"].config, limit=20, epochs=1)
    record = loads((folder / "record.json").read_text())
    assert {k: v for k, v in record.config.items() if k != "bf16"} == json.loads(
        json.dumps(dataclasses.asdict(wanted))
    )
    assert run("train", *asked, "--out", folder, "--resume", capsys=capsys)[0] == 0
    again = [*asked[:2], "--limit", "30", "--out", folder, "--resume"]
    code, _, err = run("train", *again, capsys=capsys)
    assert code == 2 and "limit" in err
    other = tmp_path / "other"
    assert run("train", *asked, "--data", "clean", "--out", other, capsys=capsys)[0] == 0
    results = loads((other / "record.json").read_text()).results
    assert set(results) == {"test/clean"}  # SE trains with the validation digits too


def test_a_run_with_an_experiments_settings_and_no_other_is_its_record(
    tmp_path, capsys, monkeypatch
):
    def so_far(model, device):
        return {"seen": 1.0, "where": [[0.0, 1.0]]}

    tiny = Experiment(
        Config(model="fc", limit=20, epochs=2),
        "for a test",
        probe=lambda model, device: {"asked": {"training": model.training}},
        each_epoch=so_far,
    )
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", tiny)
    made = {}
    for name, flags in {"run": [], "flagged": ["--epochs", "1"]}.items():
        asked = ["--experiment", "tiny", *flags, "--seed", 3, "--quiet", "--out", tmp_path / name]
        assert run("train", *asked, capsys=capsys)[0] == 0
        made[name] = loads((tmp_path / name / "record.json").read_text())
    assert made["run"].curves["seen"] == [1.0, 1.0]
    assert made["run"].curves["where"] == [[[0.0, 1.0]]] * 2  # kept, and drawn nowhere
    assert "where" not in (tmp_path / "run" / "history.csv").read_text()
    assert made["run"].probes == {"asked": {"training": False}}
    assert (made["run"].experiment, made["run"].seed) == ("tiny", 3)
    assert made["flagged"].experiment == "flagged" and not made["flagged"].probes
    alone = runner.run_one("tiny", 3)
    assert alone.hashes == made["run"].hashes
    # It goes on as that experiment, said again or not.
    (tmp_path / "run" / "record.json").unlink()
    assert run("train", "--resume", "--quiet", "--out", tmp_path / "run", capsys=capsys)[0] == 0
    again = loads((tmp_path / "run" / "record.json").read_text())
    assert again.repeatable() == made["run"].repeatable()


def test_a_resumed_run_is_its_experiments_though_its_file_has_lists_for_tuples(monkeypatch):
    from stn_course.cli.train import _as_experiment
    from stn_course.training.checkpoints import plain

    own = Config(model="tutorial", options={"normalise": (0.5, 0.5)})
    named = Experiment(own, "a test", probe=len)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "paired", named)
    read = Config(**plain(dataclasses.asdict(own)))
    (listener,) = _as_experiment("paired", read)["listeners"]
    assert listener.measure is len
    assert _as_experiment("paired", dataclasses.replace(read, lr=0.5)) == {"why": "lr=0.5"}


# How a run is begun, and how it goes on as the experiment `tiny`.
WAYS = {
    "a part is frozen": ("--freeze classifier", "", "freeze=['classifier']"),
    "a part is taken over": ("--start-from {other} --only localiser", "", "run='other', only="),
    "weights are taken over": ("--start-from {other}", "", "run='other'"),
    "a second rate": (
        "--epochs 1 --lr 0.002",
        "--lr 0.001 --epochs 2",
        "it was trained at more than one rate",
    ),
    "a third rate": ("--epochs 1 --lr 0.002", "--lr 0.004 --epochs 2", "lr=0.004"),
    "a setting": ("--limit 10", "", "limit=10"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_went_another_way_is_of_no_experiment_when_it_goes_on(
    way, tmp_path, monkeypatch, capsys
):
    first, second, why = (words.format(other=tmp_path / "other") for words in WAYS[way])
    config = Config(model="stn-small", limit=20, epochs=2, precision="float32")
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", Experiment(config, "a test", probe=so_much))
    words = ["train", "--experiment", "tiny", "--quiet", "--no-tensorboard", "--out"]
    if "{other}" in WAYS[way][0]:
        assert run(*words, tmp_path / "other", "--epochs", 1) == 0
    assert run(*words, tmp_path / "tiny", *first.split()) == 0
    (tmp_path / "tiny" / "record.json").unlink()
    named = [] if "limit" in first else ["--experiment", "tiny"]
    words = ["train", *named, *words[3:], tmp_path / "tiny", "--resume", *second.split()]
    code, _, err = run(*words, capsys=capsys)
    assert code == 0
    record = loads((tmp_path / "tiny" / "record.json").read_text())
    assert record.experiment == "tiny-own" and not record.probes
    if named:
        assert f"is called tiny-own and is none of tiny: {why}" in err


def so_much(model, device):
    return {"asked": {"so much": 1.0}}


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_folder_gives_no_record_the_name_of_an_experiment(framework, tmp_path, monkeypatch):
    if framework == "keras":
        pytest.importorskip("keras")
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", Experiment(Config(), "a test"))
    words = ("--framework", framework, "--limit", 20)
    assert train(tmp_path, *words, name="tiny").experiment == "tiny-own"


def test_where_nothing_can_be_resumed_a_new_run_says_so(tmp_path, capsys):
    code, _, err = run("train", *FAST, "--resume", "--out", tmp_path / "typo", capsys=capsys)
    assert code == 0 and err == f"nothing to resume in {tmp_path / 'typo'}: a new run\n"


def test_a_resumed_run_keeps_a_name_of_its_own(tmp_path):
    from stn_course.training import run_folder

    config = Config(model="fc", limit=20, epochs=1)
    run_folder.train(config, 0, tmp_path / "run", name="mine")
    assert run("train", "--resume", "--quiet", "--out", tmp_path / "run") == 0
    assert loads((tmp_path / "run" / "record.json").read_text()).experiment == "mine"


def test_a_folder_gives_its_name_to_the_record(tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("train", *FAST, "--out", ".") == 0
    assert loads((tmp_path / "here" / "record.json").read_text()).experiment == "here"
    code, _, err = run("train", *FAST, "--out", tmp_path / "my run", capsys=capsys)
    assert code == 2 and "names the run 'my run'; wanted letters" in err
    assert not (tmp_path / "my run").exists()


def test_an_experiment_of_its_own_kind_is_not_trained_by_train(tmp_path, capsys):
    for name, message in [
        ("coloc-cluttered", "make its record with `stn-course run coloc-cluttered`"),
        ("no-such", "experiment 'no-such' is unknown"),
    ]:
        code, _, err = run("train", "--experiment", name, "--out", tmp_path / "x", capsys=capsys)
        assert code == 2 and message in err and not (tmp_path / "x").exists()


def test_sets_with_other_labels_are_refused_before_training(tmp_path, capsys):
    for flags, message in [
        (
            "--data sequences --tests cluttered",
            "tests='cluttered' has 1 of 10 classes to an image; wanted 3 of 10, as "
            "distort='sequences' has",
        ),
        ("--data addition --tests clean", "tests='clean' is 1x28x28; wanted what fits 2x42x42"),
        ("--tests sequences", "tests='sequences' is 1x100x100; wanted what fits 1x28x28"),
    ]:
        code, _, err = run("train", *flags.split(), "--out", tmp_path / "x", capsys=capsys)
        assert code == 2 and message in err and len(err.splitlines()) == 1
        assert not (tmp_path / "x").exists()
    assert recipes.answers("addition") == (1, 19) and recipes.answers("sequences") == (3, 10)


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
    again = train(tmp_path, "--tests", "clean", "mild", name="tests")
    assert set(plain.results) == {"valid/clean", "test/clean"}
    assert "test/mild" in again.results and again.hashes == plain.hashes
    assert train(tmp_path, "--threads", "1", name="one").threads == 1
    code, _, err = run("train", *FAST, "--out", tmp_path / "run", capsys=capsys)
    assert code == 2 and "add --resume to go on" in err
    again = train(tmp_path, "--resume")  # nothing is left to train: the last bit of a loss
    assert again.hashes == plain.hashes and again.curves == plain.curves  # is the memory's


def test_what_is_written_along_the_way(tmp_path, monkeypatch, capsys):
    saved, save = [], checkpoints.save_checkpoint
    monkeypatch.setattr(
        listeners, "save_checkpoint", lambda *a, **k: saved.append(1) or save(*a, **k)
    )

    def files(*flags):
        """What the run left, beyond what one without any of these flags leaves."""
        saved.clear()
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        assert run("train", *FAST, "--epochs", "2", *flags, "--out", folder) == 0
        names = {p.name for p in folder.iterdir()}
        return names, folder

    plain, _ = files("--no-tensorboard")
    assert plain == WRITTEN - {"tensorboard"} and len(saved) == 2
    assert files("--no-tensorboard", "--save-every", "2")[0] == plain
    assert len(saved) == 2 + 4  # of 5 steps an epoch: after 2, 4, 6 and 8, and after each epoch
    for flags in ([], ["--tensorboard"]):
        names, folder = files(*flags)
        assert names - plain == {"tensorboard"}
        assert next((folder / "tensorboard").iterdir()).name.startswith("events.out.tfevents")
    names, folder = files("--no-tensorboard", "--log-every", "3")
    assert names - plain == {"steps.csv"}
    rows = (folder / "steps.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == [3, 6, 9]
    assert files("--no-tensorboard", "--keep-every", "2")[0] - plain == {"epoch_0002.pt"}


def test_quiet_says_nothing_on_stderr(tmp_path, capsys):
    loud = [w for w in FAST if w != "--quiet"]
    assert "%|" in run("train", *loud, "--out", tmp_path / "loud", capsys=capsys)[2]
    assert run("train", *FAST, "--out", tmp_path / "quiet", capsys=capsys)[2] == ""


def test_the_device_is_the_one_named(tmp_path, monkeypatch, capsys):
    def unasked():
        raise AssertionError("the device was named, and looked for all the same")

    monkeypatch.setattr(registry, "device", unasked)
    assert train(tmp_path, "--device", "cpu").device == "cpu"
    folder = tmp_path / "run"
    assert run("test", folder, "--device", "cpu") == 0
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for words in (["train", *FAST, "--out", tmp_path / "x"], ["test", folder]):
        for name, message in [
            ("abacus", "device='abacus' is unknown; wanted cpu, cuda, or cuda:1"),
            ("cuda", "device='cuda' was asked for and this machine has none; wanted cpu"),
            ("cuda:7", "device='cuda:7' was asked for and this machine has none"),
            ("cuda:x", "device='cuda:x' is unknown; wanted cpu, cuda"),
        ]:
            code, _, err = run(*words, "--device", name, capsys=capsys)
            assert code == 2 and message in err and len(err.splitlines()) == 1


def test_resuming_takes_the_settings_of_the_folder(tmp_path, capsys):
    flags = [
        "--data",
        "hard",
        "--frozen",
        "--lr",
        "0.01",
        "--seed",
        "7",
        "--options",
        '{"width":9}',
    ]
    plain, folder = train(tmp_path, *flags), tmp_path / "run"
    settings = (folder / "config.json").read_text()
    resume = ["train", "--quiet", "--resume", "--out", folder]
    assert run(*resume) == 0
    again = loads((folder / "record.json").read_text())
    assert again.repeatable() == plain.repeatable()
    assert run(*resume, *flags) == 0  # they agree
    capsys.readouterr()
    for more, message in [
        (["--lr", "0.5"], "lr=0.01 there and 0.5 here"),
        (["--seed", "0"], "seed=7 there and 0 here"),
        (["--data", "clean"], "distort='hard' there and None here"),
        (["--model", "cnn", "--epochs", "2"], "config.json: model='fc' there and 'cnn' here\n"),
    ]:
        code, _, err = run(*resume, *more, capsys=capsys)
        assert code == 2 and message in err and "cannot resume from" in err
    assert (folder / "config.json").read_text() == settings
    assert run(*resume, "--epochs", "2") == 0  # longer: its rate is constant
    longer = loads((folder / "record.json").read_text())
    assert len(longer.curves["train_loss"]) == 2 and longer.seed == 7
    assert longer.config == plain.config | {"epochs": 2}


def test_resuming_what_was_stopped_before_its_first_checkpoint(tmp_path):
    flags = ["--lr", "0.01", "--seed", "7"]
    plain, folder = train(tmp_path, *flags), tmp_path / "stopped"
    folder.mkdir()
    (folder / "config.json").write_text((tmp_path / "run" / "config.json").read_text())
    assert run("train", "--quiet", "--resume", "--out", folder) == 0
    again = loads((folder / "record.json").read_text())
    assert again.hashes == plain.hashes and again.config == plain.config


def test_every_field_of_config_has_its_flag():
    train_parser = main.build_parser()._subparsers._group_actions[0].choices["train"]
    flags = {a.dest for a in train_parser._actions}
    assert set(Config.__dataclass_fields__) <= flags
    for sub in main.build_parser()._subparsers._group_actions[0].choices.values():
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
        (["train", "--device", "cpu:7", "--out", "{}"], "device='cpu:7' is unknown"),
        (["train", "--experiment", "keras-hr", "--out", "{}"], "is no training of"),
        (["train", "--model", "ffn-spn", "--out", "{}"], "model='ffn-spn' gives an image a row"),
        ([*DIVERGES, "--quiet", "--out", "{}"], "the run diverged at lr=1e+06"),
        (["train", "--lr", "1e30", "--out", "{}"], "lr=1e+30; wanted a positive rate, at most"),
        (["run", "invariance-fc", "--seeds", "1000000000"], "seeds=1000000000; wanted 1 to 1000"),
        (["run", "invariance-fc", "--out", "{}/no/x.jsonl"], "there is no folder"),
        (["export-web", "page-fc", "--out", "{}/no"], "there is no such folder"),
        (["export-web", "no-such"], "experiment 'no-such' is unknown"),
        (["export-web", "invariance-fc"], "no weights were kept there"),
        (["run", "invariance-fc", "--cluster", "nonsense"], "cluster='nonsense'; wanted"),
        (["test", "{}/nowhere"], "nothing was trained there"),
        (["run", "--all", "hy-cnn"], "--all and hy-cnn; wanted one or the other"),
        (
            ["run", "nothing"],
            "experiment 'nothing' is unknown; wanted those of `stn-course run --li",
        ),
        (["run", "hard-fc-snt"], "'hard-fc-snt' is unknown; wanted hard-fc-stn, "),
        (["table", "hard-fc-snt"], "row 'hard-fc-snt' is unknown; wanted hard-fc-stn"),
        (["figures", "SS1"], "row 'SS1' is unknown; wanted some of S1"),
        (["run"], "no experiment named"),
        (["run", "invariance-fc", "--allow-sample"], "--allow-sample needs --out"),
        (["table", "S99"], "row 'S99' is unknown"),
        (["data", "--draw", "hard"], "--draw, --split, --seed and --out go together"),
        (["data", "--draw", "hard", "--out", "{}"], "wanted a name that ends in .npz"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_wrong_values_get_one_line(tmp_path, words, message, capsys):
    code, _, err = run(*[w.replace("{}", str(tmp_path / "x")) for w in words], capsys=capsys)
    assert code == 2 and message in err
    assert len(err.strip().splitlines()) <= 2 and "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--epochs", "0", "--out", "x"],
        ["train", "--options", "[", "--out", "x"],
        ["train", "--seed", "-1", "--out", "x"],
        ["table", "S1", "--threads", "100000"],
        ["data", "--draw", "hard", "--seed", "-1", "--out", "x.npz"],
        ["train", "--device=--", "--out", "x"],
        ["train", "--device=", "--out", "x"],
        ["train", "--out", ""],
        ["train", "--out="],
        ["run", "invariance-fc", "--out", ""],
        ["run", "invariance-fc", "--cluster", ""],
        ["test", "", "--limit", "5"],
    ],
)
def test_wrong_shapes_of_values_are_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == 2 and "error: argument" in capsys.readouterr().err


def test_run_makes_what_is_missing_and_nothing_twice(tmp_path, monkeypatch, capsys):
    tiny = Experiment(Config(model="fc", limit=100, epochs=1, tests=()), "a test", seeds=2)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", tiny)
    out = tmp_path / "runs.jsonl"
    words = ("run", "tiny", "--out", out, "--allow-sample")
    assert run(*words) == 0 and run(*words, "--seeds", 3) == 0
    lines = [loads(line) for line in out.read_text().splitlines()]
    assert [(r.experiment, r.seed) for r in lines] == [("tiny", 0), ("tiny", 1), ("tiny", 2)]
    capsys.readouterr()
    code, said, _ = run(*words, "--seeds", 4, "--plan", capsys=capsys)
    assert code == 0 and said.startswith("1 runs to make") and "\ntiny/3\n" in said
    assert said.endswith("\n  tiny: 1 runs, 1.0 minutes\n")
    assert len(out.read_text().splitlines()) == 3
    code, said, _ = run(*words, "--seeds", 2, "--plan", "--again", capsys=capsys)
    assert code == 0 and said.startswith("2 runs to make")


def test_records_that_are_removed_while_others_are_made_are_written_again(
    tmp_path, monkeypatch, capsys
):
    tiny = Experiment(Config(model="fc", limit=100, epochs=1, tests=()), "a test", seeds=2)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", tiny)
    out, folder = tmp_path / "runs.jsonl", tmp_path / "tiny"
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    monkeypatch.setattr(sweep, "check_digits", lambda _: None)
    append, save = records.append, records.save

    def append_once(path, record):
        append(path, record)
        monkeypatch.setattr(records, "append", append)
        path.unlink()

    def save_once(record):
        save(record)
        monkeypatch.setattr(records, "save", save)
        (folder / "0.json").unlink()

    monkeypatch.setattr(records, "append", append_once)
    monkeypatch.setattr(records, "save", save_once)
    code, _, err = run("run", "tiny", "--out", out, "--allow-sample", capsys=capsys)
    assert code == 1 and "1 of them were removed meanwhile; they are written again" in err
    assert records.runs_in(out) == {("tiny", 0), ("tiny", 1)}
    code, _, err = run("run", "tiny", capsys=capsys)
    assert code == 1 and "1 of them were removed meanwhile" in err
    assert [r.seed for r in records.load("tiny")] == [0, 1]


@pytest.mark.parametrize("busy", [False, True], ids=["", "busy"])
@pytest.mark.parametrize("kind", ["records", "lines"])
def test_a_folder_of_records_that_is_removed_while_others_are_made(
    kind, busy, tmp_path, monkeypatch, capsys
):
    """All results are kept and told, as failures are: with code 1, for the command was right."""
    tiny = Experiment(Config(model="fc", limit=100, epochs=1, tests=()), "a test", seeds=2)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", tiny)
    monkeypatch.setattr(records, "records_dir", lambda: tmp_path)
    monkeypatch.setattr(sweep, "check_digits", lambda _: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    folder, stack = tmp_path / "tiny", ExitStack()
    out = {"records": [], "lines": ["--out", folder / "made.jsonl", "--allow-sample"]}[kind]
    folder.mkdir()
    made, name = [], "save" if kind == "records" else "append"
    write = getattr(records, name)

    def written(*told):
        write(*told)
        made.append(told[-1])
        if len(made) == 2:
            shutil.rmtree(folder)
            if busy:
                held = {"file": out[1]} if out else {}
                stack.enter_context(files.only_writer(*[folder] * (not out), **held))

    monkeypatch.setattr(records, name, written)
    with stack:
        code, said, err = run("run", "tiny", *out, capsys=capsys)
    assert code == 1 and "2 records made" in said and "was removed or moved away while" in err
    if busy:
        assert "is being written to by process" in err
        kept = [Path(line.split()[-1]) for line in err.splitlines() if "is kept in" in line]
    else:
        assert "2 of them were removed meanwhile; they are written again" in err
        kept = sorted(folder.glob("*.json")) if kind == "records" else []
    found = [loads(path.read_text()) for path in kept]
    if kind == "lines" and not busy:
        found = [loads(line) for line in out[1].read_text().splitlines()]
    assert found == [loads(dumps(record)) for record in made[:2]]


def test_weights_that_are_removed_while_others_are_made_are_told(tmp_path, monkeypatch, capsys):
    tiny = Experiment(Config(model="fc", limit=100, epochs=1, tests=()), "a test", seeds=2)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "tiny", tiny)
    append, weights = records.append, tmp_path / "weights"

    def append_and_remove(path, record):
        append(path, record)
        if record.seed == 1:
            (weights / "tiny-0.safetensors").unlink()

    monkeypatch.setattr(records, "append", append_and_remove)
    words = ("--out", tmp_path / "a.jsonl", "--allow-sample", "--weights", weights)
    code, _, err = run("run", "tiny", *words, capsys=capsys)
    assert code == 1 and f"weights of tiny/0 were removed from {weights}" in err
    assert len(records.runs_in(tmp_path / "a.jsonl")) == 2


def test_a_row_of_the_scoreboard_stands_for_its_experiments(capsys):
    code, said, _ = run("run", "S9", "fc-no", capsys=capsys)
    assert code == 2
    code, said, _ = run("run", "S9", "--plan", "--again", "--seeds", 1, capsys=capsys)
    assert code == 0
    planned = {line.partition("/")[0] for line in said.splitlines()[1:] if "/" in line}
    minutes = [float(line.split()[-2]) for line in said.splitlines() if line[0] == " "]
    assert sum(minutes) == pytest.approx(float(said.split(" about ")[1].split()[0]), abs=1)
    assert planned == {row.experiment for row in published.ROWS if row.row == "S9"}


def test_a_failing_run_is_told_and_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    good = Experiment(Config(model="fc", limit=100, epochs=1), "a test", seeds=1)

    def explode(model, device):
        raise RuntimeError("probe broke")

    bad = Experiment(good.config, "a test", seeds=1, probe=explode)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "bad", bad)
    monkeypatch.setitem(catalogue.EXPERIMENTS, "good", good)
    out = tmp_path / "o.jsonl"
    code, said, err = run("run", "bad", "good", "--out", out, "--allow-sample", capsys=capsys)
    assert code == 1 and "failed: ['bad/0']" in said and "probe broke" in err
    assert [json.loads(line)["experiment"] for line in out.read_text().splitlines()] == ["good"]


def test_a_folder_is_no_file_for_records(tmp_path, capsys):
    code, out, err = run("run", "invariance-fc", "--again", "--out", tmp_path, capsys=capsys)
    assert code == 2 and out == "" and "is a folder; wanted a JSONL file" in err


def test_a_package_that_is_not_installed_runs_all_the_same(monkeypatch, capsys):
    """As on a machine that is lent for an hour, with torch and a copy of the files."""
    from importlib import metadata

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert run("run", "--list") == 0
    with pytest.raises(SystemExit):
        run("--version")
    assert capsys.readouterr().out.endswith("stn-course not installed\n")


def test_records_are_not_made_from_the_sample(monkeypatch, capsys):
    monkeypatch.setattr(runner, "is_sample", lambda: True)
    code, _, err = run("run", "invariance-fc", "--seeds", 99, capsys=capsys)
    assert code == 2 and "only the offline sample" in err


def test_list_and_table(capsys):
    code, out, _ = run("run", "--list", capsys=capsys)
    assert code == 0 and len(out.splitlines()) == len(catalogue.EXPERIMENTS)
    code, out, _ = run("run", "--list", "S9", "fast-clean", capsys=capsys)
    assert [line.split()[0] for line in out.splitlines()][-1] == "fast-clean"
    assert 2 < len(out.splitlines()) < 10
    code, out, _ = run("table", "S4", capsys=capsys)
    assert code == 0 and "75.69 %" in out and "S5" not in out


def test_records_of_another_machine_are_filed(tmp_path, monkeypatch, capsys):
    out, folder = tmp_path / "made.jsonl", tmp_path / "records"
    one = records.load("xq-fc-clean")[0]
    made = dataclasses.replace(one, seed=7, device="a GPU")
    out.write_text(json.dumps(json.loads(dumps(made))) + "\n")
    monkeypatch.setattr(records, "records_dir", lambda: folder)
    assert run("records", "import", out, capsys=capsys)[1] == "1 filed, 0 same, 0 replaced\n"
    assert records.load("xq-fc-clean", folder) == [made]
    out.write_text(dumps(dataclasses.replace(made, experiment="xq-of-nobody")))
    code, _, err = run("records", "import", out, capsys=capsys)
    assert code == 2 and "xq-of-nobody" in err
    assert run("records", "import", tmp_path / "absent", capsys=capsys)[0] == 2
