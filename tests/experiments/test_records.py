"""Run records: round trip, statistics, clear errors, and those committed."""

import dataclasses
import functools
import json
import math
import re
import resource
import shutil
import subprocess

import pytest
from scipy import stats

from stn_course.experiments import (
    catalogue,
    published,
    records,
    runner,
    scoreboard,
    speed,
    statistics,
)
from stn_course.experiments.catalogue import EXPERIMENTS
from stn_course.files import written_whole
from stn_course.training import record
from stn_course.training.config import Config
from stn_course.training.record import (
    RunRecord,
    current_commit,
    dumps,
    history_csv,
    loads,
    numbers_of,
)


def make(experiment="toy", seed=0, correct=90):
    return RunRecord(
        experiment=experiment,
        seed=seed,
        config={"model": "fc"},
        digits="made up for a test",
        parameters=5,
        curves={"train_loss": [1.5, 0.25], "valid_accuracy": [50.0, 90.0]},
        results={"test/clean": {"correct": correct, "total": 100, "loss": 0.1}},
        hashes={"first_batch": "a", "weights": "b"},
    )


def test_round_trip_and_order(tmp_path):
    for seed in (2, 0, 1):
        records.save(make(seed=seed), tmp_path)
    assert [r.seed for r in records.load("toy", tmp_path)] == [0, 1, 2]
    assert records.load("toy", tmp_path)[0] == make(seed=0)
    assert records.load("absent", tmp_path) == []
    assert not list(tmp_path.glob("**/*.partial"))


def test_what_a_killed_writer_left_is_no_record(tmp_path):
    """Until it is whole it has a name of its own, which ends as that of a record does."""
    records.save(make(seed=0), tmp_path)
    with written_whole(tmp_path / "toy" / "1.json") as partial:
        partial.write_text('{"half": ')
        assert partial.suffix == ".json"
        assert [r.seed for r in records.load("toy", tmp_path)] == [0]
        (tmp_path / "toy" / "0.json").unlink()
        assert records.load("toy", tmp_path) == [] == speed.load(tmp_path)


def test_statistics_against_scipy(tmp_path):
    for seed, correct in enumerate((90, 92, 97)):
        records.save(make(seed=seed, correct=correct), tmp_path)
    mean, sd, n = statistics.accuracy("toy", "test/clean", tmp_path)
    assert (mean, n) == (93.0, 3)
    assert sd == pytest.approx(stats.tstd([90, 92, 97]))
    assert math.isnan(statistics.mean_sd([1.0])[1])
    difference, half = statistics.paired_difference([1.0, 2, 3, 4], [1.5, 2.5, 4, 4])
    low, high = stats.ttest_rel([1.5, 2.5, 4, 4], [1.0, 2, 3, 4]).confidence_interval()
    assert (difference - half, difference + half) == pytest.approx((low, high))


@pytest.mark.parametrize(("correct", "total"), [(990, 1000), (0, 7), (7, 7), (9882, 10_000)])
def test_the_interval_of_a_test_set_is_wilsons(correct, total):
    low, high = stats.binomtest(correct, total).proportion_ci(0.95, "wilson")
    assert statistics.test_set_interval(correct, total) == pytest.approx((100 * low, 100 * high))


def test_a_mean_count_lies_between_and_impossible_ones_are_refused():
    low, high = statistics.test_set_interval(990.3, 1000)
    assert statistics.test_set_interval(990, 1000)[0] < low < 99.03 < high
    for correct, total in ((8, 7), (-1, 7), (0, 0), (float("nan"), 7)):
        with pytest.raises(ValueError, match="correct=.*total="):
            statistics.test_set_interval(correct, total)


def test_an_unpaired_difference_is_welchs():
    a, b = [97.1, 96.4, 97.9, 97.0], [97.5, 97.9]
    mean, half = statistics.difference(a, b)
    # Welch 1947: the squared standard errors add up, and so do their degrees of freedom.
    parts = [(statistics.mean_sd(v)[1] ** 2 / len(v), len(v) - 1) for v in (a, b)]
    se2 = sum(p for p, _ in parts)
    df = se2**2 / sum(p**2 / d for p, d in parts)
    assert mean == pytest.approx(97.7 - 97.1)
    assert half == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(se2))


def test_clear_errors(tmp_path):
    with pytest.raises(ValueError, match="no.json is not a record: missing"):
        loads('{"seed": 1}', "no.json")
    with pytest.raises(ValueError, match="text is not a record: Expecting"):
        loads("{")
    with pytest.raises(KeyError, match="test/hard"):
        make().accuracy("test/hard")
    with pytest.raises(LookupError, match="stn-course run"):
        statistics.accuracy("absent", "test/clean", tmp_path)
    with pytest.raises(ValueError, match="wanted pairs"):
        statistics.paired_difference([1.0], [2.0])
    for a, b, name in (([1.0], [1.0, 2.0], "a"), ([1.0, 2.0], [3.0, 3.0], "b")):
        with pytest.raises(ValueError, match=rf"{name}=.*at least two values that differ"):
            statistics.difference(a, b)


def test_curves_of_lists_are_kept_and_stay_out_of_the_table():
    plain, record = make(), make()
    record.curves["boxes"] = [[[0, 0, 9.5, 9]], [[1, 0, 9, 9]]]
    record.curves["empty"] = []
    assert numbers_of(record.curves) == plain.curves
    assert loads(dumps(record)) == record


def test_history_csv():
    assert history_csv(make().curves).splitlines() == [
        "epoch,train_loss,valid_accuracy",
        "1,1.5,50",
        "2,0.25,90",
    ]
    assert history_csv({"a": [1.0, math.nan]}, 0).splitlines() == ["epoch,a", "0,1", "1,"]


def test_jsonl_of_runs(tmp_path):
    path = tmp_path / "runs.jsonl"
    assert records.runs_in(path) == set()
    lines = [json.dumps(json.loads(dumps(make(seed=s)))) for s in (0, 3)]
    path.write_text("\n".join(lines) + "\n")
    assert records.runs_in(path) == {("toy", 0), ("toy", 3)}


def test_a_full_disk_leaves_no_half_line(tmp_path):
    path = tmp_path / "runs.jsonl"
    records.append(path, make(seed=0))
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # the system takes ten bytes more and refuses the rest, as a full disk does
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            records.append(path, make(seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.stat().st_size == size
    records.append(path, make(seed=2))
    assert records.runs_in(path) == {("toy", 0), ("toy", 2)}


def test_a_last_line_without_its_end_is_not_glued_to_the_next(tmp_path):
    path = tmp_path / "runs.jsonl"
    records.append(path, make(seed=0))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))  # an editor that trims
    records.append(path, make(seed=1))
    assert records.runs_in(path) == {("toy", 0), ("toy", 1)}
    path.write_bytes(path.read_bytes()[:-9])  # a kill in the middle of a line
    records.append(path, make(seed=2))
    assert len(path.read_text().splitlines()) == 3, "what comes later stands on its own line"
    with pytest.raises(ValueError, match="line 2 is not a record"):
        records.runs_in(path)


def test_a_copy_in_a_record_folder_does_not_count(tmp_path):
    first = records.save(make(seed=0), tmp_path)
    for stranger in (first.with_name("copy.json"), first.with_name("1.json")):
        shutil.copy(first, stranger)
        with pytest.raises(ValueError, match="is the record of toy, seed 0; wanted that of toy"):
            records.load("toy", tmp_path)
        stranger.unlink()
    shutil.copytree(first.parent, tmp_path / "other")
    with pytest.raises(ValueError, match="is the record of toy, seed 0; wanted that of other"):
        records.load("other", tmp_path)


# ---------------------------------------------------------------- from another machine
COMMIT = "0123456789abcdef" * 2 + "01234567"


def written(path, *made):
    lines = [json.dumps(json.loads(dumps(r))) + "\n" for r in made]
    path.write_text("".join(lines))
    return path


def one(**changes):
    good = {"commit": COMMIT, "digits": "full MNIST (70 000 digits)"}
    return dataclasses.replace(make(), **(good | changes))


def part(step=0, commit=COMMIT):
    """What a record tells of a part of a run that was resumed."""
    return {
        "step": step,
        "commit": commit,
        "versions": {"torch": "2"},
        "device": "cpu",
        "threads": 1,
        "bf16": False,
    }


def test_a_run_of_two_parts_is_filed_with_both(tmp_path):
    parts = [part(), part(7, "f" * 40)]
    path = written(tmp_path / "made.jsonl", one(parts=parts))
    records.file_records(path, tmp_path / "records")
    assert records.load(one().experiment, tmp_path / "records")[0].parts == parts
    assert "parts" not in dumps(one()), "a record of one part is as ever"


def test_import_files_each_record_once(tmp_path):
    path = written(tmp_path / "made.jsonl", one(seed=0), one(seed=1))
    folder = tmp_path / "records"
    assert records.file_records(path, folder) == {"filed": 2, "same": 0, "replaced": 0}
    assert records.file_records(path, folder) == {"filed": 0, "same": 2, "replaced": 0}
    assert [r.seed for r in records.load(one().experiment, folder)] == [0, 1]


def test_import_takes_the_record_of_a_run_folder(tmp_path):
    path, folder = tmp_path / "record.json", tmp_path / "records"
    path.write_text(dumps(one(seed=2)))
    assert records.runs_in(path) == {("toy", 2)}
    assert records.file_records(path, folder)["filed"] == 1
    assert records.load(one().experiment, folder) == [one(seed=2)]


def test_import_replaces_only_when_asked(tmp_path):
    folder = tmp_path / "records"
    records.save(one(), folder)
    path = written(tmp_path / "made.jsonl", one(seed=1), one(seconds=77.0))
    with pytest.raises(ValueError, match="line 2: .*0.json holds another record"):
        records.file_records(path, folder)
    assert len(records.load(one().experiment, folder)) == 1, "nothing is written on an error"
    assert records.file_records(path, folder, again=True)["replaced"] == 1
    assert records.load(one().experiment, folder)[0].seconds == 77.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digits": "offline sample"}, "full MNIST"),
        ({"commit": COMMIT + "-dirty"}, "-dirty"),
        ({"commit": "unknown"}, "unknown"),
        ({"commit": "zzz"}, "zzz"),
        ({"parts": [part(), part(5, COMMIT + "-dirty")]}, "-dirty' from step 5 on"),
        ({"parts": [part(0, "unknown"), part(5)]}, "unknown' from step 0 on"),
    ],
)
def test_import_refuses_what_cannot_be_committed(tmp_path, change, message):
    path = written(tmp_path / "made.jsonl", one(**change))
    with pytest.raises(ValueError, match=f"line 1: .*{message}"):
        records.file_records(path, tmp_path / "records")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "x/../../evil"}, "seed='x/../../evil'; wanted int"),
        ({"seed": -1}, "seed=-1"),
        ({"experiment": "../toy"}, "experiment='../toy'"),
        ({"experiment": ["toy"]}, r"experiment=\['toy'\]; wanted str"),
        ({"commit": None}, "commit=None; wanted str"),
        ({"digits": 5}, "digits=5; wanted str"),
        ({"seconds": "5"}, "seconds='5'; wanted a number"),
        ({"parameters": True}, "parameters=True; wanted int"),
        ({"parts": [{"step": 0}]}, "parts has .*wanted step, commit, versions, device"),
        ({"results": {"test/clean": {"correct": 3}}}, r"results\['test/clean'\]"),
    ],
)
def test_import_refuses_what_is_no_record(tmp_path, change, message):
    path = written(tmp_path / "made.jsonl", one(), one(**change))
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        records.file_records(path, tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_import_refuses_two_of_one_seed_unless_they_are_the_same(tmp_path):
    same = written(tmp_path / "same.jsonl", one(), one())
    assert records.file_records(same, tmp_path / "same")["filed"] == 1
    twice = written(tmp_path / "made.jsonl", one(), one(), one(seconds=77.0))
    with pytest.raises(ValueError, match="line 3: 0 of toy again, and different; --again"):
        records.file_records(twice, tmp_path / "records")
    assert not (tmp_path / "records").exists()
    # `run --again --out` appends: the last line is the one that was asked for again.
    count = records.file_records(twice, tmp_path / "records", again=True)
    assert count == {"filed": 1, "same": 0, "replaced": 0}
    assert records.load("toy", tmp_path / "records") == [one(seconds=77.0)]
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="binary is not text"):
        records.file_records(tmp_path / "binary")


def test_what_is_done_in_a_file_is_checked(tmp_path):
    path = written(tmp_path / "made.jsonl", one(), one(seed=1, digits="offline sample"))
    assert records.runs_in(path) == {("toy", 0), ("toy", 1)}
    with pytest.raises(ValueError, match="line 2: made from the offline sample; wanted the full"):
        records.runs_in(path, records.check_full)
    with pytest.raises(ValueError, match="line 1: experiment 'toy' is unknown"):
        records.runs_in(path, runner.check_record)


def counted(record, correct, total):
    return {which: {"correct": correct, "total": total, "loss": 0.1} for which in record.results}


def test_every_committed_record_is_of_its_experiment_and_its_sets():
    for name in catalogue.EXPERIMENTS:
        for each in records.load(name):
            runner.check_record(each)


@pytest.mark.parametrize("name", ["seq-cnn", "cluttered-stn", "clevr-regression-conv-uniform"])
def test_too_few_pictures_of_any_set_are_told(name):
    (good, *_) = records.load(name)
    total = good.results[next(iter(good.results))]["total"]
    with pytest.raises(ValueError, match=f"is of {total - 1} pictures; wanted {total}"):
        runner.check_record(dataclasses.replace(good, results=counted(good, 1, total - 1)))


NO_START = {"run": "", "weights": "", "only": [], "freeze": []}
NO_START |= {"loaded": [], "left": [], "frozen": []}


def test_a_record_is_of_its_experiment(tmp_path):
    (good, *_) = records.load("hy-stn")
    runner.check_record(good)
    for change, message in [
        ({"experiment": "no-such"}, "experiment 'no-such' is unknown"),
        ({"config": good.config | {"lr": 7.0}}, r"config\['lr'\] is 7.0; wanted 0.001"),
        ({"results": {}}, r"wanted \['test/clean'\]"),
        *(
            ({"start": NO_START | {part: ["localiser"]}}, rf"start\['{part}'\] is .*; wanted none")
            for part in ("only", "freeze", "left", "frozen")
        ),
        ({"phases": [{"epoch": 2, "lr": 0.001, "lr_localiser": None}]}, "phases is .*wanted none"),
        ({"results": counted(good, 1, 1)}, "is of 1 pictures; wanted 10000"),
        ({"results": counted(good, 9_999, 10_001)}, "is of 10001 pictures; wanted 10000"),
    ]:
        bad = dataclasses.replace(good, **change)
        path = written(tmp_path / "made.jsonl", bad)
        with pytest.raises(ValueError, match=f"line 1: .*{message}"):
            records.file_records(path, tmp_path / "records", check=runner.check_record)


def test_numbers_that_cannot_be_are_refused(tmp_path):
    text = dumps(make())
    for old, new, message in [
        ("1.5", "NaN", "NaN is no number"),
        ('"correct": 90', '"correct": 101', "101 correct of 100"),
        ('"correct": 90', '"correct": -1', "-1 correct of 100"),
        ('"total": 100', '"total": 0', "90 correct of 0"),
        ('"correct": 90', '"correct": 5.5', "wanted whole numbers"),
        ('"correct": 90', '"correct": true', "wanted whole numbers"),
        ('"correct": 90', '"correct": "9"', "wanted whole numbers"),
    ]:
        assert old in text
        with pytest.raises(ValueError, match=f"here.*{message}"):
            loads(text.replace(old, new), "here")
    nothing = text.replace('"total": 100', '"total": 0').replace("90,", "0,", 1)
    with pytest.raises(ValueError, match="0 correct of 0; wanted some"):
        loads(nothing)
    curve = json.loads(text) | {"curves": {"train_loss": 3}}
    with pytest.raises(ValueError, match="here: curves.'train_loss'. is 3; wanted a list"):
        loads(json.dumps(curve), "here")


def test_the_commit_is_that_of_the_code_in_memory(tmp_path, monkeypatch):
    def git(*words):
        named = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        subprocess.run(["git", "-C", tmp_path, *named, *words], check=True, capture_output=True)

    def commit(message):
        git("add", "stn_course")
        git("commit", "-qm", message)

    package = tmp_path / "stn_course"
    package.mkdir()
    monkeypatch.setattr(record, "PACKAGE", package)
    fresh = current_commit.__wrapped__
    monkeypatch.delenv("STN_COURSE_COMMIT", raising=False)
    assert fresh() == "unknown"  # no repository
    monkeypatch.setenv("STN_COURSE_COMMIT", 40 * "a")
    assert fresh() == 40 * "a"  # a copy of the files, and somebody who knows of what
    monkeypatch.setenv("STN_COURSE_COMMIT", "main")
    with pytest.raises(ValueError, match="STN_COURSE_COMMIT='main'; wanted 40 hexadecimal"):
        fresh()
    monkeypatch.delenv("STN_COURSE_COMMIT")
    git("init", "-q")
    (tmp_path / "theirs").write_text("")
    git("add", "theirs")
    git("commit", "-qm", "not ours")
    (package / "training").mkdir()
    (package / "training" / "record.py").write_text("")
    assert fresh() == "unknown"  # in a repository of other things, as an ignored .venv is
    commit("ours")
    first = fresh()
    assert re.fullmatch("[0-9a-f]{40}", first)
    kept = functools.cache(fresh)  # as `current_commit` is
    assert kept() == first
    (package / "records.py").write_text("# changed")
    assert fresh() == first + "-dirty"
    commit("later")
    assert fresh() not in (first, first + "-dirty") and kept() == first
    assert hasattr(current_commit, "cache_info")


# ---------------------------------------------------------------- the committed ones
COMMITTED = sorted(records.records_dir().glob("*/*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_committed_record_belongs_and_was_made_by_its_configuration(path):
    record = loads(path.read_text(), path.name)
    assert (record.experiment, str(record.seed)) == (path.parent.name, path.stem)
    runner.check_record(record)
    if isinstance(catalogue.find(record.experiment).config, Config):
        assert "framework" in record.config or isinstance(record.config["bf16"], bool)
    assert "full MNIST" in record.digits or record.digits.startswith("none:")
    assert "dirty" not in record.commit and record.commit != "unknown"
    assert all(0 <= r["correct"] <= r["total"] for r in record.results.values())


def test_where_a_loss_was_published_ours_stands_beside_it():
    told = {r.experiment: s for r, s in zip(published.ROWS, scoreboard.rows(), strict=True)}
    with_loss = [name for name, row in told.items() if "loss" in row["published"]]
    assert len(with_loss) == 4
    for name in with_loss:
        losses = [run.results["test/clean"]["loss"] for run in records.load(name)]
        mean = sum(losses) / len(losses)
        assert told[name]["measured"].endswith(f" % (loss .{10_000 * mean:04.0f})")
    assert "loss" not in told["clean-stn"]["measured"]


def test_every_scoreboard_row_has_its_record_or_says_not_yet_run():
    for row, shown in zip(published.ROWS, scoreboard.rows(), strict=True):
        if row.experiment is None:
            assert (shown["measured"], shown["n"]) == (statistics.NOT_YET, 0)
            continue
        assert row.experiment in EXPERIMENTS
        runs = records.load(row.experiment)
        if not runs:
            assert shown["measured"] == statistics.NOT_YET
        else:
            mean = sum(r.accuracy(row.which) for r in runs) / len(runs)
            mean = 100 - mean if row.published.endswith("error") else mean
            assert shown["measured"].startswith(f"{mean:.2f}") and shown["n"] == len(runs)


def test_scoreboard_of_an_empty_folder_is_all_not_yet_run(tmp_path):
    assert {r["measured"] for r in scoreboard.rows(folder=tmp_path)} == {statistics.NOT_YET}


def test_scoreboard_shows_errors_where_errors_were_published():
    assert statistics.mean_sd_text([1.0, 2.0], " % error") == "1.50 ± 0.71 % error"
    assert statistics.mean_sd_text([98.5]) == "98.50 % (one seed)"
