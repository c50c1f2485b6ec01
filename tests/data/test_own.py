"""Sets of one's own: read whole, split by seed, refused by name."""

import argparse
import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from stn_course.cli import main, train
from stn_course.data import Digits, mnist, own, pictures, recipes
from stn_course.data.files import sum_of
from stn_course.training import datasets, run_folder
from stn_course.training.config import Config
from stn_course.training.loop import fit
from stn_course.training.record import loads

COLOURS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def folder_of(root, n=12, size=(10, 8), colours=COLOURS):
    for name, colour in colours.items():
        (root / name).mkdir(parents=True)
        for k in range(n):
            shade = tuple(min(255, c + k) for c in colour)
            Image.new("RGB", size, shade).save(root / name / f"{k}.png")
    return root


@pytest.fixture(autouse=True)
def nothing_is_known_before(monkeypatch):
    monkeypatch.setattr(own, "SETS", {})
    recipes.shape.cache_clear()
    recipes.answers.cache_clear()


def npz(path, **arrays):
    made = {"images": np.arange(20 * 36, dtype=np.uint8).reshape(20, 1, 6, 6)}
    made["labels"] = np.arange(20) % 4
    np.savez(path, **(made | arrays))
    return path


def test_a_folder_by_class_is_split_by_seed_and_no_picture_is_lost(tmp_path):
    folder = folder_of(tmp_path / "mine")
    name = own.read(folder, 3)
    assert recipes.shape(name) == (3, 8, 10) and recipes.answers(name) == (1, 3)
    assert own.SETS[name].classes == ("blue", "green", "red")
    parts = {split: own.part(name, split) for split in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 30,
        "valid": 3,
        "test": 3,
    }
    for part in parts.values():  # the colour's channel is the class: blue is the third
        assert torch.equal(part.images.flatten(2).amax(2).argmax(1), 2 - part.labels)
    seen = torch.cat([part.images[:, :, 0, 0] for part in parts.values()])
    assert len(seen.unique(dim=0)) == 36
    again, other = own.read(folder, 3), own.read(folder, 4)
    assert again == name and other != name and other[:-1] == name[:-1]
    assert not torch.equal(own.part(other, "valid").images, parts["valid"].images)
    Image.new("RGB", (10, 8), "white").save(folder / "red" / "0.png")
    assert own.read(folder, 3)[:-1] != name[:-1]


def test_splits_that_are_given_stay_and_grey_pictures_of_any_size_are_of_one(tmp_path):
    grey = {"a": (9, 9, 9), "b": (200, 200, 200)}
    folder_of(tmp_path / "train", 10, (8, 8), grey)
    folder_of(tmp_path / "val", 4, (12, 6), grey)
    name = own.read(tmp_path)
    assert recipes.shape(name) == (1, 8, 8)
    sizes = [len(own.part(name, split)) for split in ("train", "valid", "test")]
    assert sizes == [18, 8, 2]
    valid = own.part(name, "valid").labels
    assert valid.sort().values.tolist() == [0] * 4 + [1] * 4


def test_a_class_may_be_called_as_a_split_and_names_with_a_dot_are_passed_over(tmp_path):
    for split in ("train", "val", "test"):
        folder_of(tmp_path / split, 6, (2, 2), {"of-class": COLOURS["red"]})
        for picture in (tmp_path / split / "of-class").iterdir():
            picture.rename(tmp_path / split / picture.name)
        (tmp_path / split / "of-class").rmdir()
    (tmp_path / "train" / "._0.png").write_bytes(b"of macOS")
    (tmp_path / "val" / ".cache").mkdir()
    (tmp_path / "val" / ".cache" / "0.png").write_bytes(b"x")
    name = own.read(tmp_path)
    assert own.SETS[name].classes == ("test", "train", "val")
    assert sum(len(own.part(name, split)) for split in ("train", "valid", "test")) == 18


def test_the_first_few_of_every_split_are_of_many_classes(tmp_path):
    folder_of(tmp_path / "given" / "train", 20, (2, 2))
    for split in ("valid", "test"):
        folder_of(tmp_path / "given" / split, 20, (2, 2))
    folder_of(tmp_path / "alone", 60, (2, 2))
    for which in ("given", "alone"):
        name = own.read(tmp_path / which, 1)
        for split in ("train", "valid", "test"):
            part = own.part(name, split)
            assert len(part.labels[:8].unique()) > 1, (which, split)
            # a picture goes with its label: the colour's channel is the class
            assert torch.equal(part.images.flatten(2).amax(2).argmax(1), 2 - part.labels)


def test_what_data_draw_writes_is_learned_from_and_found_again(tmp_path, monkeypatch, capsys):
    few = mnist("test")
    few = Digits(few.images[:60], few.labels[:60], few.source)
    monkeypatch.setattr(recipes, "mnist", lambda split: few)
    out = tmp_path / "turned.npz"
    recipes.write_npz("hr", out)
    words = f"train --data {out} --model fc --epochs 1 --batch-size 16 --quiet --no-tensorboard"
    assert main.main([*words.split(), "--out", str(tmp_path / "run")]) == 0
    record = loads((tmp_path / "run" / "record.json").read_text())
    (name,) = own.SETS
    assert record.config["distort"] == name and record.config["tests"] == [name]
    assert record.results[f"test/{name}"]["total"] == 6 and name.startswith("turned-")
    assert str(tmp_path) not in (tmp_path / "run" / "record.json").read_text()
    own.SETS.clear()  # as another process
    net = run_folder.load(tmp_path / "run", device="cpu")
    assert net(torch.zeros(1, 1, 40, 40)).shape == (1, 10)
    assert main.main(["test", str(tmp_path / "run")]) == 0
    assert f"test/{name}" in capsys.readouterr().out
    own.SETS.clear()
    npz(out)
    assert main.main(["test", str(tmp_path / "run")]) == 2
    assert "is another set by now" in capsys.readouterr().err


def test_too_many_pictures_are_refused_before_one_is_read(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "mine")  # 36 of 3 x 8 x 10 bytes
    monkeypatch.setattr(pictures, "MOST_BYTES", 36 * 240)
    own.read(folder)
    monkeypatch.setattr(pictures, "MOST_BYTES", 36 * 240 - 1)
    monkeypatch.setattr(pictures, "_opened", None)
    with pytest.raises(ValueError, match=r"pictures are \(36, 3, 8, 10\); wanted less than 4 GB"):
        own.read(folder)


def test_pictures_on_their_side_are_measured_as_they_are_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    ramp = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    grey = [Image.fromarray(ramp), Image.fromarray(np.stack([ramp] * 3, 2))]
    for k, picture in enumerate(grey):
        picture.save(tmp_path / f"{k}.png", exif=exif)
    made = pictures.bytes_of(tmp_path / f"{k}.png" for k in range(2))
    assert made.shape == (2, 1, 6, 4)
    wanted = torch.from_numpy(np.rot90(ramp, -1).copy())
    assert torch.equal(made, wanted.expand(2, 1, 6, 4))


def _asked(words: str, folder):
    """Configuration and seed of the command `train` with these words."""
    parser = argparse.ArgumentParser()
    train.add_train(lambda *_: parser)
    return train._settings(parser.parse_args([*words.split(), "--out", str(folder)]))


def test_a_recipe_is_not_shadowed_by_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("hard", "addition", "clean", "mine"):
        folder_of(tmp_path / name, 4, (2, 2))
    for name in ("hard", "addition"):
        assert _asked(f"--data {name}", "run")[0].distort == name
    assert _asked("--data clean", "run")[0].distort is None
    for name in ("./hard", "./clean", "mine"):
        assert _asked(f"--data {name}", "run")[0].distort in own.SETS


def test_a_run_is_resumed_with_the_splits_of_its_own_seed(tmp_path):
    data, run = npz(tmp_path / "mine.npz"), tmp_path / "run"
    config, seed = _asked(f"--data {data} --seed 1", run)
    run.mkdir()
    run_folder.write_config(run, config, seed, None)
    for words in ("--resume", "--resume --seed 1"):
        assert _asked(f"{words} --data {data}", run) == (config, 1)
    with pytest.raises(ValueError, match="seed"):
        _asked(f"--resume --seed 2 --data {data}", run)


def test_colour_of_any_classes_is_learned(tmp_path):
    name = own.read(folder_of(tmp_path / "mine"))
    config = Config(
        model="stn-small", distort=name, frozen=True, tests=(name,), epochs=1, batch_size=10
    )
    model, record = fit(config)
    assert model(torch.zeros(2, 3, 8, 10)).shape == (2, 3)
    assert record.digits == f"own set {name}"
    with pytest.raises(ValueError, match="frozen=False; .*wanted frozen=True"):
        Config(distort=name, tests=(name,))
    with pytest.raises(ValueError, match="with_clean=True"):
        Config(distort=name, frozen=True, with_clean=True, tests=(name,))


def test_classes_are_told_by_their_own_names(tmp_path, capsys):
    colours = {"$_cat, large": (0, 0, 200), "dog": (200, 0, 0)}
    data, run = folder_of(tmp_path / "mine", n=20, colours=colours), tmp_path / "run"
    asked = f"train --model fc --data {data} --epochs 1 --batch-size 10 --quiet --out {run}"
    assert main.main([*asked.split(), "--no-tensorboard", "--precision", "float32"]) == 0
    own.SETS.clear()  # as in another process
    assert main.main(["test", str(run)]) == 0
    (out,) = (p for p in run.iterdir() if p.name.startswith("test-"))
    rows = list(csv.reader((out / "confusion.csv").open()))
    assert rows[0] == ["truth", *colours] and [row[0] for row in rows[1:]] == [*colours]
    shown = json.loads((out / "gallery.js").read_text().removeprefix("const GALLERY = ")[:-2])
    assert set(shown["truth"]) == set(colours) >= set(shown["read"])
    own.SETS.clear()
    assert main.main(["predict", str(run), str(data / "dog")]) == 0
    told = list(csv.DictReader((run / "predicted" / "predictions.csv").open()))
    assert {row["read"] for row in told} <= set(colours)


def test_labels_are_told_as_digits_and_words():
    assert own.words_of(np.array([3, 0]), None) == own.words_of(np.array([3, 0]), "mild")
    assert own.words_of(torch.tensor([[7, 5], [0, 1]]), None) == ["75", "01"]
    own.SETS["signs"] = own.Own(None, 0, (1, 2, 2), (2, 3), ("a", "b", "stop"))
    assert own.words_of(np.array([[0, 1], [2, 0]]), "signs") == ["a b", "stop a"]
    assert own.words_of(np.zeros((0, 2), int), "signs") == []


@pytest.mark.parametrize(
    ("arrays", "error", "told"),
    [
        ({"images": np.zeros((20, 1, 6, 6))}, TypeError, "images are float64; wanted uint8"),
        ({"images": np.zeros((20, 36), np.uint8)}, ValueError, r"\[20, 36\]; wanted \[N, C, H"),
        ({"images": np.zeros((20, 6, 6, 3), np.uint8)}, ValueError, r"3\], channels last; wanted"),
        ({"images": np.zeros((20, 6, 6, 1), np.uint8)}, ValueError, r"1\], channels last; wanted"),
        ({"labels": np.zeros(20)}, TypeError, "labels are float64; wanted whole"),
        ({"labels": np.zeros(19, int)}, ValueError, r"labels are \[19\]; wanted \[20\] or"),
        ({"labels": np.arange(20) - 1}, ValueError, "labels are -1 to 18; wanted 0"),
        ({"labels": np.zeros(20, int)}, ValueError, "labels are 0 to 0; wanted 0 up to 1"),
        ({"labels": np.array([{}] * 20)}, ValueError, "wanted images and labels in an .npz"),
    ],
)
def test_files_that_are_no_set_are_refused(arrays, error, told, tmp_path):
    with pytest.raises(error, match=told):
        own.read(npz(tmp_path / "x.npz", **arrays))


def test_a_set_that_tells_its_sha256_is_held_to_it(tmp_path):
    images, labels = np.arange(20 * 36, dtype=np.uint8).reshape(20, 1, 6, 6), np.arange(20) % 4
    told = sum_of({"images": images, "labels": labels})
    assert own.read(npz(tmp_path / "x.npz", sha256=told)) in own.SETS
    for other in ({"images": images + 1}, {"labels": labels[::-1]}, {"theta": labels}):
        with pytest.raises(ValueError, match="x.npz: it is damaged, .* not those of its SHA-256"):
            own.read(npz(tmp_path / "x.npz", sha256=told, **other))


def test_paths_that_are_no_set_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    (tmp_path / "torn.npz").write_bytes(b"PK")
    (tmp_path / "flat").mkdir()
    folder_of(tmp_path / "few", 1)
    folder_of(tmp_path / "strange" / "train")
    folder_of(tmp_path / "strange" / "test", 1, colours={"pink": (255, 100, 100)})
    folder_of(tmp_path / "torn")
    (tmp_path / "torn" / "red" / "0.png").write_bytes(b"x")
    for path, told in (
        ("nowhere.npz", "does not exist"),
        ("nowhere/else", "does not exist; wanted an .npz file or a folder"),
        ("other.npz", "it has no ['images', 'labels'], but ['pictures']"),
        ("torn.npz", "wanted images and labels in an .npz"),
        ("flat", "has 0 folders of pictures"),
        ("few", "has 3 pictures; wanted at least 10"),
        ("strange", "has ['pink']; wanted the classes of train"),
        ("torn", "red/0.png is no picture that can be read"),
    ):
        words = ["train", "--data", str(tmp_path / path), "--out", str(tmp_path / "run")]
        assert main.main(words) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_sets_own_name_is_no_recipe_before_it_is_read():
    with pytest.raises(ValueError, match="is unknown"):
        Config(distort="mine-01234567-0", frozen=True)
    assert datasets.test_set("valid", "clean", torch.device("cpu")).source
