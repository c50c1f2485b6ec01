"""A trained run in other hands: loaded in Python, asked about pictures, exported."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import stn_course
from stn_course import data
from stn_course.cli import main
from stn_course.models.transformers import first_transformer

FAST = ["--epochs", "1", "--precision", "float32", "--quiet", "--no-tensorboard"]
FORMATS = {"onnx": ".onnx", "torch": ".pt2", "keras": ".keras", "safetensors": ".safetensors"}


def run(*words):
    return main.main([str(w) for w in words])


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folders of runs, each trained once."""
    return tmp_path_factory.mktemp("runs"), {}


@pytest.fixture
def trained(few_digits, kept, tmp_path):
    """The folder of a short run: a copy, for this test alone."""

    def make(*words):
        where, made = kept
        if words not in made:
            made[words] = where / str(len(made))
            assert run("train", "--model", *words, *FAST, "--out", made[words]) == 0
        return shutil.copytree(made[words], tmp_path / "run")

    return make


def picture(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def digit(k=0):
    return 255 - data.mnist("test").images[k, 0].numpy()  # ink dark on light paper


def table(folder):
    return list(csv.DictReader((folder / "predictions.csv").open()))


# ---------------------------------------------------------------- load
def test_what_is_loaded_is_what_was_trained_and_measured(trained):
    folder = trained("stn-small")
    net = stn_course.load(folder)
    assert not net.training
    seen = data.to_float(data.mnist("test").images[:300])
    right = (net(seen).argmax(1) == data.mnist("test").labels[:300]).sum().item()
    from stn_course.training.record import loads

    record = loads((folder / "record.json").read_text())
    assert record.results["test/clean"]["correct"] == right


def test_a_folder_without_a_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing was trained there"):
        stn_course.load(tmp_path)


# ---------------------------------------------------------------- predict
def test_pictures_of_digits_are_read_laid_out_as_mnist_and_straightened(trained, tmp_path, capsys):
    folder = trained("stn-small")
    paths = [
        picture(tmp_path / f"{k}.png", np.kron(digit(k), np.ones((3, 3), np.uint8))) for k in (0, 1)
    ]
    assert run("predict", folder, *paths) == 0
    out = capsys.readouterr().out
    rows = table(folder / "predicted")
    net = stn_course.load(folder)
    for path, row in zip(paths, rows, strict=True):
        p = net(data.from_picture(path)[None]).softmax(1)[0]
        assert row["read"] == str(p.argmax().item())
        assert float(row["probability"]) == pytest.approx(p.max().item(), abs=1e-4)
        theta = first_transformer(net).theta.flatten().tolist()
        assert list(map(float, row["theta"].split())) == pytest.approx(theta, abs=1e-4)
        assert Image.open(row["straightened"]).size[0] > 0
        assert f"picture={path}" in out and f"read={row['read']}" in out
    assert "taken as: digit" in out


def test_a_folder_for_each_class_is_read_as_train_reads_it(trained, tmp_path, capsys):
    for name in ("zero", "one", "one/more"):
        (tmp_path / "own" / name).mkdir(parents=True)
        picture(tmp_path / "own" / name / "a.png", digit())
    (tmp_path / "own" / ".trash").mkdir()
    picture(tmp_path / "own" / ".trash" / "b.png", digit())
    assert run("predict", trained("fc"), tmp_path / "own", "--out", tmp_path / "said") == 0
    read = [row["picture"] for row in table(tmp_path / "said")]
    assert read == [str(tmp_path / "own" / n / "a.png") for n in ("one", "one/more", "zero")]


def test_a_folder_of_pictures_is_read_whole_by_a_run_on_distorted_digits(trained, tmp_path):
    folder, pictures = trained("fc", "--data", "mild"), tmp_path / "pictures"
    pictures.mkdir()
    for name in ("b.PNG", "a.jpg"):
        picture(pictures / name, np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8))
    (pictures / "notes.txt").write_text("no picture")
    assert run("predict", folder, pictures, "--out", tmp_path / "said") == 0
    rows = table(tmp_path / "said")
    assert [row["picture"] for row in rows] == [str(pictures / n) for n in ("a.jpg", "b.PNG")]
    assert all(row["theta"] == row["straightened"] == "" for row in rows)  # it has no transformer


def test_rows_of_digits_are_read_as_words(trained, tmp_path):
    folder = trained("ffn-spn", "--data", "sequences", "--frozen", "--batch-size", "20")
    path = picture(tmp_path / "row.png", np.zeros((100, 100), np.uint8))
    assert run("predict", folder, path) == 0
    assert len(table(folder / "predicted")[0]["read"]) == 3


@pytest.mark.parametrize("fit", ["digit", "whole"])
def test_the_way_a_picture_is_taken_can_be_said(trained, tmp_path, fit, capsys):
    folder, path = trained("fc"), picture(tmp_path / "d.png", digit())
    assert run("predict", folder, path, "--fit", fit) == 0
    image = data.from_picture(path) if fit == "digit" else data.whole_picture(path, 1, (28, 28))
    p = stn_course.load(folder)(image[None]).softmax(1)
    assert float(table(folder / "predicted")[0]["probability"]) == pytest.approx(
        p.max().item(), abs=1e-4
    )


def test_two_pictures_of_one_name_do_not_overwrite_each_other(trained, tmp_path):
    folder, paths = trained("stn-small"), []
    for where in ("one", "two"):
        (tmp_path / where).mkdir()
        paths.append(picture(tmp_path / where / "d.png", digit(len(paths))))
    paths.append(picture(tmp_path / "d-2.png", digit(2)))
    assert run("predict", folder, *paths) == 0
    assert len({row["straightened"] for row in table(folder / "predicted")}) == 3


def test_what_is_no_picture_is_refused_before_the_work(trained, tmp_path, capsys):
    folder, good = trained("fc"), picture(tmp_path / "d.png", digit())
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for bad, told in [
        (tmp_path / "bad.png", "is no picture"),
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / "empty", "holds no picture"),
    ]:
        for fit in ("digit", "whole"):
            assert run("predict", folder, good, bad, "--fit", fit) == 2
            said = capsys.readouterr().err
            assert told in said and str(bad) in said
    assert not (folder / "predicted").exists()


def test_a_whole_picture_keeps_its_colours_and_is_shrunk_by_means(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2, :2, 0], pixels[0, 2, 2] = 255, 200
    path = picture(tmp_path / "c.png", pixels)
    image = data.whole_picture(path, 3, (2, 3))
    assert image.shape == (3, 2, 3)
    assert image[:, 0, 0].tolist() == [1, 0, 0]
    assert image[2, 0, 1].item() == pytest.approx(50 / 255)
    with pytest.raises(ValueError, match="channels=2; wanted 1 or 3"):
        data.whole_picture(path, 2, (2, 3))


# ---------------------------------------------------------------- export
@pytest.mark.parametrize("kind", FORMATS)
def test_an_exported_network_says_what_the_run_does_for_any_batch(trained, kind, capsys):
    if kind == "onnx":
        for name in ("onnxruntime", "onnxscript"):
            pytest.importorskip(name, reason=f"{name} IS NOT INSTALLED: ONNX was not tried")
    if kind == "keras":
        pytest.importorskip("keras", reason="KERAS IS NOT INSTALLED")
    folder = trained("stn-small")
    assert run("export", folder, "--format", kind) == 0
    path = folder / f"network{FORMATS[kind]}"
    assert str(path) in capsys.readouterr().out
    net = stn_course.load(folder)
    for n in (1, 5):
        images = data.to_float(data.mnist("test").images[:n])
        assert (_read_by(kind, path, images) - net(images)).abs().max() < 1e-4


def _read_by(kind, path, images):
    if kind == "torch":
        return torch.export.load(path).module()(images)
    if kind == "keras":
        from stn_course.keras_twin import keras

        return torch.from_numpy(
            keras.models.load_model(path).predict(images.movedim(1, 3).numpy(), verbose=0)
        )
    if kind == "safetensors":
        from stn_course import models
        from stn_course.training.checkpoints import read_weights

        return read_weights(path, models.build("stn-small")).eval()(images)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def test_an_export_by_a_name_of_another_kind_is_refused(trained, tmp_path, capsys):
    folder = trained("fc")
    assert run("export", folder, "--format", "torch", "--out", tmp_path / "net.onnx") == 2
    assert "wants a name with .pt2" in capsys.readouterr().err
    assert not (tmp_path / "net.onnx").exists()


def test_without_onnxscript_the_export_says_what_to_install(trained, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    folder = trained("fc")
    assert run("export", folder, "--format", "onnx") == 2
    assert "extra `onnx`" in capsys.readouterr().err
    assert not list(folder.glob("*network*"))
