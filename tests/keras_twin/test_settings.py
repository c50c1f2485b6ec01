"""Whatever the user's keras.json says of layout and types, the twin is what torch's network is."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.keras_twin.support import need_tensorflow

need_tensorflow()

from stn_course import keras_twin, models  # noqa: E402
from stn_course.analysis.accuracy import evaluate  # noqa: E402
from stn_course.keras_twin import keras, pipeline, settings  # noqa: E402
from stn_course.keras_twin.loading import load_tensorflow  # noqa: E402
from stn_course.keras_twin.training import fit  # noqa: E402
from stn_course.training.config import Config  # noqa: E402

tf = load_tensorflow()

# Among them every layer that has a layout.
NETWORKS = {
    "fc": ("fc", (1, 28, 28), {}),
    "cropped and subsampled": ("cnn", (1, 29, 31), {"pool": "subsample", "width": 0.5}),
    "padded": ("hr-padded", (1, 40, 40), {}),
    "dropout of maps": ("tutorial", (1, 28, 28), {}),
    "pooled": ("paper-st-cnn", (1, 42, 42), {"pool": True}),
    "two transformers": (
        "paper-st-fcn",
        (2, 42, 42),
        {"transformers": 2, "pool": True, "classes": 19},
    ),
    "coordinates": ("tutorial-coord-both", (1, 28, 30), {"transform": "corners"}),
    "batch norm": ("ffn-spn", (1, 100, 100), {"design": "ours"}),
}


@pytest.fixture
def otherwise(request):
    """Keras set as a keras.json would set it; afterwards as it was."""
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.epsilon()
    policy = keras.config.dtype_policy()
    told = {"image_data_format": "channels_first", "floatx": "float32", "epsilon": 0.1}
    told |= getattr(request, "param", {})
    keras.config.set_image_data_format(told["image_data_format"])
    keras.config.set_floatx(told["floatx"])
    keras.config.set_epsilon(told["epsilon"])
    keras.config.set_dtype_policy(told["floatx"])
    yield told
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_epsilon(before[2])
    keras.config.set_dtype_policy(policy)


DOUBLE = pytest.param({"floatx": "float64"}, id="float64")
HALF = pytest.param({"floatx": "float16"}, id="float16")
EITHER = pytest.mark.parametrize(
    "otherwise", [pytest.param({}, id="float32"), DOUBLE], indirect=True
)


def logits(model, shape, n=3):
    """Of torch's network and of its twin, called and in `predict`."""
    images = torch.rand(n, *shape, generator=torch.Generator().manual_seed(4))
    last = images.permute(0, 2, 3, 1).numpy()
    twin = keras_twin.from_torch(model.eval(), shape)
    with torch.no_grad():
        return model(images).numpy(), np.array(twin(last)), twin.predict(last, verbose=0), twin


@EITHER
@pytest.mark.parametrize("key", NETWORKS)
def test_the_logits_are_torchs(otherwise, key):
    name, shape, options = NETWORKS[key]
    torch.manual_seed(0)
    made_for = {"size": shape[1:]} | ({"channels": shape[0]} if shape[0] > 1 else {})
    model = models.build(name, **made_for | options)
    ours, called, predicted, twin = logits(model, shape)
    assert np.abs(called - ours).max() < 1e-4 and np.abs(predicted - ours).max() < 1e-4
    assert called.dtype == predicted.dtype == np.float32
    assert {v.dtype for v in twin.weights} <= {"float32", "int64", "uint32"}
    back = keras_twin.to_torch(twin, models.build(name, **made_for | options))
    assert all(
        torch.equal(a, b) for a, b in zip(back.parameters(), model.parameters(), strict=True)
    )
    assert keras.config.image_data_format() == "channels_first"  # the user's, still
    assert keras.config.floatx() == otherwise["floatx"] == keras.config.dtype_policy().name


def test_a_saved_twin_is_the_same_elsewhere(otherwise, tmp_path):
    """Its file says the layout: who loads it may have the other one."""
    name, shape, options = NETWORKS["pooled"]
    *_, said, twin = logits(models.build(name, size=shape[1:], **options), shape)
    twin.save(tmp_path / "twin.keras")
    images = torch.rand(3, *shape, generator=torch.Generator().manual_seed(4))
    for layout in ("channels_last", "channels_first"):
        keras.config.set_image_data_format(layout)
        loaded = keras.models.load_model(tmp_path / "twin.keras")
        assert np.array_equal(loaded.predict(images.permute(0, 2, 3, 1).numpy(), verbose=0), said)


def flat_localiser():
    return keras.Sequential([keras.layers.Flatten("channels_last"), keras.layers.Dense(4)])


@pytest.mark.parametrize(
    "otherwise", [{}, {"floatx": "float16"}, {"floatx": "float64"}], indirect=True
)
def test_a_pooling_transformer_halves_height_and_width(otherwise):
    images = np.random.default_rng(0).random((3, 28, 30, 4), "float32")
    layer = keras_twin.SpatialTransformer(flat_localiser(), pool=True)
    out = np.array(layer(images), "float64")
    mean = images.reshape(3, 14, 2, 15, 2, 4).mean((2, 4))
    assert out.shape == (3, 14, 15, 4) == layer.compute_output_shape(images.shape)
    assert np.abs(out - mean).max() < (2e-3 if otherwise["floatx"] == "float16" else 1e-5)
    # Numbers without a type of their own are no halves: theta in 16 bits would miss by pixels.
    theta = [[[1.0, 0.0, 0.1234567], [0.0, 1.0, 0.0]]]
    grid = np.array(keras_twin.affine_grid(theta, (2, 3)))
    assert grid.dtype == np.float32
    assert np.abs(grid - keras_twin.affine_grid(np.float32(theta), (2, 3))).max() == 0


@pytest.mark.parametrize("otherwise", [HALF], indirect=True)
def test_where_predict_would_round_the_images_there_is_no_twin(otherwise):
    with pytest.raises(ValueError, match="floatx='float16'.*wanted keras.config.set_floatx"):
        keras_twin.from_torch("fc")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_mixed_precision_may_be_chosen_and_narrow_weights_may_not(policy):
    keras.config.set_dtype_policy(policy)
    try:
        twin = keras_twin.from_torch("fc")
    finally:
        keras.config.set_dtype_policy("float32")
    computes = policy.removeprefix("mixed_") if "mixed" in policy else "float32"
    assert {v.dtype for v in twin.trainable_weights} == {"float32"}
    assert all(layer.compute_dtype == computes for layer in twin.layers)


@pytest.mark.filterwarnings("ignore:the fast warp handed over")  # it has no float64
def test_a_network_in_float64_keeps_its_digits():
    model = models.build("stn-small", size=(20, 22)).double()
    torch.nn.init.normal_(model[0].head[0].weight, std=0.05)
    images = torch.rand(2, 1, 20, 22, dtype=torch.float64)
    twin = keras_twin.from_torch(model.eval(), (1, 20, 22))
    with torch.no_grad():
        gap = np.array(twin(images.permute(0, 2, 3, 1).numpy())) - model(images).numpy()
    assert gap.dtype == np.float64 and np.abs(gap).max() < 1e-6


# ---------------------------------------------------------------- what others made
def first(layers):
    return keras.Sequential([keras.Input((1, 12, 12)), *layers])


def test_channels_first_is_refused_where_it_would_be_read_otherwise():
    kl, words = keras.layers, "data_format='channels_first'; wanted 'channels_last'"
    pool = kl.AveragePooling2D(2, data_format="channels_first")
    with pytest.raises(ValueError, match=words):
        keras_twin.SpatialTransformer(first([pool, kl.Flatten("channels_last"), kl.Dense(6)]))
    with pytest.raises(ValueError, match=words):
        keras_twin.SpatialTransformer(kl.Flatten("channels_first"))
    net = first(
        [kl.Conv2D(3, 3, data_format="channels_first"), kl.Flatten("channels_first"), kl.Dense(2)]
    )
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.Flatten(), torch.nn.Linear(300, 2)
    )
    with pytest.raises(ValueError, match=words):
        keras_twin.to_torch(net, theirs)
    with pytest.raises(ValueError, match=words):
        keras_twin.layer_differences(theirs, net, torch.rand(1, 1, 12, 12))


class Pooled(keras.layers.Layer):
    """A localiser of one's own, whose pooling is made at once or when it is built."""

    def __init__(self, at_once):
        super().__init__()
        self.pool = keras.layers.GlobalAveragePooling2D() if at_once else None

    def build(self, shape):
        self.pool = self.pool or keras.layers.GlobalAveragePooling2D()
        self.pool.build(shape)

    def call(self, x):
        return self.pool(x)

    def compute_output_shape(self, shape):
        return self.pool.compute_output_shape(shape)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_layer_that_a_layer_of_ones_own_keeps_is_looked_at_too(otherwise, at_once):
    images = np.zeros((2, 6, 7, 1), "float32")
    with pytest.raises(ValueError, match="data_format='channels_first'; wanted 'channels_last'"):
        keras_twin.SpatialTransformer(Pooled(at_once)).build(images.shape)
    keras.config.set_image_data_format("channels_last")
    assert keras_twin.SpatialTransformer(Pooled(at_once))(images).shape == images.shape


# ---------------------------------------------------------------- data and training
def test_the_pipeline_makes_the_same_images(otherwise):
    images = np.random.default_rng(1).random((4, 28, 28, 1), "float32")
    made = pipeline.distort(images, "hr", [1, 2])
    keras.config.set_image_data_format("channels_last")
    assert made.shape == (4, 40, 40, 1) and made.dtype == tf.float32
    assert np.array_equal(made, pipeline.distort(images, "hr", [1, 2]))


SHORT = Config(model="fc", epochs=1, limit=192, distort="mild", lr=2e-3, precision="float32")


@pytest.mark.parametrize("otherwise", [HALF], indirect=True)
def test_a_run_has_the_same_bits(otherwise, monkeypatch):
    few = lambda *_: {}  # what is measured at the end is measured elsewhere  # noqa: E731
    monkeypatch.setattr("stn_course.keras_twin.training._results", few)
    monkeypatch.setattr("stn_course.keras_twin.training._valid", lambda _: None)
    there = fit(SHORT, 3)[1]
    keras.config.set_image_data_format("channels_last")
    with settings.settled("float32", floatx="float32"):
        keras.config.set_epsilon(1e-7)
        here = fit(SHORT, 3)[1]
    assert there.hashes == here.hashes and there.curves == here.curves
    assert keras.config.floatx() == otherwise["floatx"]


def test_what_a_run_sets_is_set_back_when_it_fails():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pytest.raises(ValueError, match="pose_weight"):
            fit(Config(distort="mild", model="stn-small", pose_weight=1.0))
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


# ---------------------------------------------------------------- labels
KINDS = ["uint8", "int8", "int16", "int32", "uint16", "int64"]


def test_narrow_labels_are_the_same_labels():
    labels = torch.tensor([3, 0, 9, 9, 5, 1, 7])
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = models.build("stn-small", size=(28, 28)).eval()
    twin = keras_twin.from_torch(model)
    wanted = [keras_twin.evaluate(twin, images[:n], labels[:n]) for n in (7, 1)]
    slopes = keras_twin.theta_gradients(model, twin, images, labels)[0]
    for kind in KINDS:
        narrow = torch.from_numpy(labels.numpy().astype(kind))
        for n, found in zip((7, 1), wanted, strict=True):
            assert keras_twin.evaluate(twin, images[:n], narrow[:n]) == found
            here = evaluate(model, images[:n], narrow[:n])
            assert found["loss"] == pytest.approx(here["loss"], rel=1e-5)
            assert found["correct"] == here["correct"]
        found = keras_twin.theta_gradients(model, twin, images, narrow)[0]
        assert all(np.array_equal(a, b) for a, b in zip(found, slopes, strict=True))
        rows = np.zeros((7, 28, 28, 1), "uint8")
        x, y = next(iter(pipeline.batches(rows, narrow.numpy(), 7, 0)))
        assert y.dtype == tf.int64 and sorted(y.numpy()) == sorted(labels.tolist())


WRONG = {
    "floats": (torch.ones(3), TypeError, "labels .*whole numbers, got torch.float32"),
    "one more axis": (torch.ones(3, 1).long(), ValueError, "do not belong together"),
    "one for all": (torch.ones(1).long(), ValueError, "labels"),
    "no class": (
        torch.tensor([0, 1, 10]),
        ValueError,
        "labels are 0 to 10; wanted classes, 0 to 9",
    ),
    "none": (torch.ones(0).long(), ValueError, "labels"),
}


@pytest.mark.parametrize("labels, error, words", WRONG.values(), ids=WRONG)
def test_what_is_no_label_is_refused(labels, error, words):
    images = torch.rand(3, 1, 28, 28)
    model = models.build("stn-small", size=(28, 28))
    twin = keras_twin.from_torch(model)
    with pytest.raises(error, match=words):
        keras_twin.evaluate(twin, images, labels)
    with pytest.raises(error, match=words):
        keras_twin.theta_gradients(model, twin, images, labels)


def test_the_pipeline_refuses_them_too():
    images = np.zeros((3, 28, 28, 1), "uint8")
    with pytest.raises(TypeError, match="labels are float64; wanted whole numbers"):
        pipeline.batches(images, np.ones(3), 2, 0)
    for labels in (np.ones(2, int), np.ones((3, 1, 1), int), np.int64(3)):
        with pytest.raises(ValueError, match=r"labels have shape .* wanted \[3\] or \[3, digits\]"):
            pipeline.batches(images, labels, 2, 0)


def test_no_images_have_no_mean():
    twin = keras_twin.from_torch("fc")
    with pytest.raises(ValueError, match="labels has no images"):
        keras_twin.evaluate(twin, torch.zeros(0, 1, 28, 28), torch.zeros(0).long())


# ---------------------------------------------------------------- a real keras.json
PROGRAM = """
import json, numpy as np, torch
from stn_course import keras_twin, models
from stn_course.keras_twin import keras, pipeline
torch.manual_seed(0)
model = models.build("tutorial", size=(28, 28)).eval()
images = torch.rand(3, 1, 28, 28)
twin = keras_twin.from_torch(model)
last = images.permute(0, 2, 3, 1).numpy()
turned = np.ravel(pipeline.distort(last, "rts", [1, 2]))
said = np.concatenate([twin.predict(last, verbose=0).ravel(), turned])
with torch.no_grad():
    gap = float(np.abs(said[:30].reshape(3, 10) - model(images).numpy()).max())
print(json.dumps([keras.config.image_data_format(), keras.config.floatx(), gap, said.sum().item()]))
"""


def test_a_process_with_such_a_keras_json_says_the_same(tmp_path):
    told = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.5}
    (tmp_path / "keras.json").write_text(json.dumps(told | {"backend": "torch"}))
    (tmp_path / "default").mkdir()
    pipe, started = subprocess.PIPE, []
    for home in (tmp_path, tmp_path / "default"):
        where = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
        where |= {"KERAS_HOME": str(home)}
        command = [sys.executable, "-c", PROGRAM]
        started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=where))
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    (layout, floatx, gap, total), (*usual, _, wanted) = (json.loads(out) for out, _ in said)
    assert (layout, floatx) == ("channels_first", "float64")
    assert usual == ["channels_last", "float32"]
    assert gap < 1e-5 and total == pytest.approx(wanted, rel=1e-6)
