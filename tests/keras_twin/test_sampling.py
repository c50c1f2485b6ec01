"""The sampler in Keras reproduces the golden file; the layer does what a Keras layer must do."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from tests.keras_twin.support import need_tensorflow
from tests.support import ROOT, bar, sides

need_tensorflow()

from stn_course import geometry, keras_twin, models  # noqa: E402
from stn_course.keras_twin import keras, parametrisations, sampling  # noqa: E402
from stn_course.keras_twin.loading import load_tensorflow  # noqa: E402
from stn_course.sampling import background_of, bilinear_sample, reference  # noqa: E402

tf = load_tensorflow()  # not by an import of its own: that one would speak
GOLDEN = json.loads((ROOT / "tests" / "sampling" / "golden" / "sampler.json").read_text())
GOLDEN["cases"] += json.loads(
    (ROOT / "tests" / "sampling" / "golden" / "mirrored.json").read_text()
)["cases"]
SHAPES = GOLDEN["shapes"]
SIZE = tuple(SHAPES["output"][2:])
GRIDS = {
    "affine": keras_twin.affine_grid,
    "homography": sampling.homography_grid,
    "tps": sampling.tps_grid,
}


def array(values, shape):
    return np.array(values).reshape(shape)


def last(values, shape):
    """An array [B, C, h, w] of the golden file with its channels last."""
    return array(values, shape).transpose(0, 2, 3, 1)


def differences(case) -> dict[str, float]:
    images = tf.Variable(last(GOLDEN["images"], SHAPES["images"]))
    params = tf.Variable(array(case["params"], SHAPES["params"][case["kind"]]))
    fill = array(GOLDEN["fill"], SHAPES["fill"]) if case["padding"] == "background" else None
    flags = {"padding": case["padding"], "fill": fill, "align_corners": case["align_corners"]}
    with tf.GradientTape() as tape:
        output = keras_twin.warp(images, params, SIZE, **flags)
        loss = tf.reduce_sum(output * last(GOLDEN["upstream"], SHAPES["upstream"]))
    grad_images, grad_params = tape.gradient(loss, [images, params])
    grid = GRIDS[case["kind"]](params, SIZE, case["align_corners"])
    found = {
        "grid": (grid, array(case["grid"], SHAPES["grid"])),
        "output": (output, last(case["output"], SHAPES["output"])),
        "grad_images": (
            tf.convert_to_tensor(grad_images),
            last(case["grad_images"], SHAPES["images"]),
        ),
        "grad_params": (grad_params, array(case["grad_params"], params.shape)),
    }
    return {name: float(np.abs(got.numpy() - want).max()) for name, (got, want) in found.items()}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_the_golden_file_values_and_both_gradients(case):
    for quantity, gap in differences(case).items():
        assert gap <= 1e-12, (quantity, gap)


# ---------------------------------------------------------------- as the torch sampler
def random_case(seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, channels, 7, 9, generator=generator)
    return images, 3 * torch.rand(3, 5, 6, 2, generator=generator) - 1.5


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", sampling.PADDINGS)
def test_it_reads_as_the_torch_sampler_does(padding, mode):
    images, grid = random_case()
    ours = bilinear_sample(images, grid, padding, mode=mode).permute(0, 2, 3, 1)
    theirs = keras_twin.bilinear_sample(
        images.permute(0, 2, 3, 1).numpy(), grid.numpy(), padding, mode=mode
    )
    assert np.abs(theirs.numpy() - ours.numpy()).max() < 1e-5


@pytest.mark.parametrize("size", [(7, 9), (1, 4), (1, 1)])
@pytest.mark.parametrize("flag", [False, True])
def test_it_mirrors_and_flows_back_as_the_torch_sampler_does(size, flag):
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(2, 3, *size, generator=generator, dtype=torch.float64).requires_grad_()
    grid = 9 * torch.rand(2, 4, 5, 2, generator=generator, dtype=torch.float64) - 4.5
    grid.requires_grad_()
    ours = bilinear_sample(images, grid, "reflection", align_corners=flag)
    wanted = torch.autograd.grad(ours.square().sum(), (images, grid))
    last = tf.constant(images.detach().permute(0, 2, 3, 1).numpy())
    places = tf.constant(grid.detach().numpy())
    with tf.GradientTape() as tape:
        tape.watch([last, places])
        theirs = keras_twin.bilinear_sample(last, places, "reflection", align_corners=flag)
        loss = tf.reduce_sum(theirs**2)
    to_images, to_grid = tape.gradient(loss, [last, places])
    assert np.abs(theirs.numpy() - ours.detach().permute(0, 2, 3, 1).numpy()).max() < 1e-12
    assert np.abs(to_images.numpy() - wanted[0].permute(0, 2, 3, 1).numpy()).max() < 1e-11
    assert np.abs(to_grid.numpy() - wanted[1].numpy()).max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
@pytest.mark.parametrize("padding", sampling.PADDINGS)
def test_labels_are_read_exactly(dtype, padding):
    images, grid = random_case()
    ends = torch.iinfo(dtype)
    labels = torch.from_numpy(
        np.random.default_rng(1).integers(ends.min, ends.max, (3, 2, 7, 9), str(dtype)[6:])
    )
    ours = bilinear_sample(labels, grid, padding, mode="nearest").permute(0, 2, 3, 1)
    last = labels.permute(0, 2, 3, 1).numpy()
    theirs = keras_twin.bilinear_sample(last, grid.numpy(), padding, mode="nearest").numpy()
    assert theirs.dtype == last.dtype and np.array_equal(theirs, ours.numpy())
    if padding == "background":
        with pytest.raises(ValueError, match="fill must be a whole number"):
            keras_twin.bilinear_sample(last, grid.numpy(), fill=0.5, mode="nearest")
        fill = keras_twin.bilinear_sample(last, 9 + 0 * grid.numpy(), fill=3, mode="nearest")
        assert (fill.numpy() == 3).all()


NUMBERS = [
    *(np.float16(0.5), np.float32(0.5), np.float64(0.5), np.array(0.5, "float32"), np.array(0.5)),
    *(tf.constant(0.5), tf.constant(0.5, tf.float64), torch.tensor(0.5)),
]


@pytest.mark.parametrize("fill", NUMBERS, ids=lambda n: f"{type(n).__name__} {n.dtype}")
def test_any_one_number_fills_what_lies_outside(fill):
    images, grid = random_case()
    last, grid = images.permute(0, 2, 3, 1).numpy(), grid.numpy()
    wanted = keras_twin.bilinear_sample(last, grid, fill=0.5).numpy()
    everywhere = keras_twin.bilinear_sample(last, grid, fill=np.full((3, 3), 0.5, "float32"))
    assert np.array_equal(wanted, everywhere.numpy())
    assert np.array_equal(keras_twin.bilinear_sample(last, grid, fill=fill).numpy(), wanted)
    traced = tf.function(lambda im, g: keras_twin.bilinear_sample(im, g, fill=fill))
    assert np.abs(traced(last, grid).numpy() - wanted).max() < 1e-6


@pytest.mark.parametrize("two", [2, np.int64(2), np.uint8(2), np.array(2), tf.constant(2.0)])
def test_a_whole_number_fills_too(two):
    images, grid = random_case()
    last, grid = images.permute(0, 2, 3, 1).numpy(), grid.numpy()
    found = keras_twin.bilinear_sample(last, grid, fill=two)
    assert np.array_equal(found.numpy(), keras_twin.bilinear_sample(last, grid, fill=2.0).numpy())


@pytest.mark.parametrize("fill", [True, np.bool_(True), tf.constant(True), "grey", 1j, object()])
def test_what_is_no_number_does_not(fill):
    images, grid = random_case()
    with pytest.raises(TypeError, match="fill must be a finite number or a tensor"):
        keras_twin.bilinear_sample(images.permute(0, 2, 3, 1).numpy(), grid.numpy(), fill=fill)


@pytest.mark.parametrize("fill", [float("nan"), np.float32("inf"), tf.constant(float("nan"))])
def test_nor_does_one_that_is_not_finite(fill):
    images, grid = random_case()
    with pytest.raises(ValueError, match="fill must be finite"):
        keras_twin.bilinear_sample(images.permute(0, 2, 3, 1).numpy(), grid.numpy(), fill=fill)


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint8, np.int8])
def test_sizes_are_whole_numbers_of_any_kind(kind, tmp_path):
    images, theta, size = np.ones((2, 7, 9, 1), "float32"), np.eye(2, 3)[None], (kind(4), kind(5))
    theta = theta.astype("float32").repeat(2, 0)
    assert keras_twin.warp(images, theta, size).shape == (2, 4, 5, 1)
    assert keras_twin.affine_grid(theta, size).shape == (2, 4, 5, 2)
    assert keras_twin.affine_grid(theta, np.array(size)).shape == (2, 4, 5, 2)
    layer = keras_twin.SpatialTransformer(localiser(), "affine", size=size)
    assert layer.size == (4, 5) and all(type(n) is int for n in layer.size)
    net = keras.Sequential([keras.Input((7, 9, 1)), layer])
    net.save(tmp_path / "net.keras")
    assert keras.models.load_model(tmp_path / "net.keras")(images).shape == (2, 4, 5, 1)


def test_truth_values_and_fractions_are_no_sizes():
    theta = np.eye(2, 3, dtype="float32")[None]
    for size in ((True, 4), (np.bool_(True), 4), (4.0, 4), (np.float32(4), 4)):
        with pytest.raises(TypeError, match="size must be two ints"):
            keras_twin.affine_grid(theta, size)


@pytest.mark.parametrize("n", [4, 5, 16])
def test_half_way_between_two_pixels_it_takes_torchs(n):
    images, half = torch.rand(1, 1, n, n), (n // 2, n // 2)
    theta = torch.eye(2, 3)[None]
    ours = reference.warp(images, theta, half, mode="nearest")[:, 0, :, :, None]
    theirs = keras_twin.warp(
        images.permute(0, 2, 3, 1).numpy(), theta.numpy(), half, mode="nearest"
    )
    assert np.array_equal(theirs.numpy(), ours.numpy())


def test_a_homography_of_any_scale_is_the_same_transform():
    theta = np.eye(3, dtype="float32")[None]
    plain = sampling.homography_grid(theta, (4, 5)).numpy()
    for scale in (1e-23, 1e23, -1.0):
        assert np.allclose(
            sampling.homography_grid(scale * theta, (4, 5)).numpy(), plain, atol=1e-6
        )


@pytest.mark.parametrize("size", [(1, 4), (2, 2), (4, 6), (7, 5)])
def test_the_background_is_the_same_number(size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    theirs = keras_twin.background_of(tf.constant(images.permute(0, 2, 3, 1).numpy()))
    assert np.array_equal(theirs.numpy(), background_of(images).numpy())


@pytest.mark.parametrize(
    "head",
    [
        geometry.Affine(),
        geometry.Affine(0.5),
        geometry.Translation(0.4),
        geometry.Attention(4.0),
        geometry.Similarity(),
        geometry.Rotation(),
        geometry.Rotation(0.3),
        geometry.Homography(),
        geometry.Corners(),
        geometry.Corners(None),
        geometry.ThinPlateSpline(),
        geometry.ThinPlateSpline((3, 4), 0.2),
    ],
    ids=str,
)
def test_every_parametrisation_is_the_same_transform(head):
    raw = head.identity() + 0.2 * torch.randn(4, head.n, generator=torch.Generator().manual_seed(2))
    theirs = parametrisations.to_theta(head, raw.numpy()).numpy()
    assert theirs.shape == tuple(head(raw).shape)
    assert np.abs(theirs - head(raw).numpy()).max() < 1e-6
    assert parametrisations.made(json.loads(json.dumps(parametrisations.described(head)))) == head


@pytest.mark.parametrize("size", [(40, 100), (9, 5), (28, 28)])
def test_a_similarity_turns_pixels_as_in_torch(size):
    raw = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    ours = geometry.Similarity().on(raw, size)
    for head, given in ((geometry.Similarity(), size), (geometry.Similarity(size=size), None)):
        theirs = parametrisations.to_theta(head, raw.numpy(), given).numpy()
        assert np.abs(theirs - ours.numpy()).max() < 1e-5
    described = json.loads(json.dumps(parametrisations.described(geometry.Similarity(size=size))))
    assert parametrisations.made(described) == geometry.Similarity(size=size)
    with pytest.raises(
        ValueError, match=rf"the pictures are {size[0]} x {size[1]} .* another shape"
    ):
        parametrisations.to_theta(geometry.Similarity(size=(30, 31)), raw.numpy(), size)


@pytest.mark.parametrize("size", [(40, 100), (9, 5), (28, 28)])
def test_a_rotation_turns_pixels_as_in_torch(size):
    raw = torch.randn(4, 1, generator=torch.Generator().manual_seed(2))
    ours = geometry.Rotation().on(raw, size)
    for head, given in ((geometry.Rotation(), size), (geometry.Rotation(size=size), None)):
        theirs = parametrisations.to_theta(head, raw.numpy(), given).numpy()
        assert np.abs(theirs - ours.numpy()).max() < 1e-5


@dataclass(frozen=True)
class Stretch(geometry.Parametrisation):
    """A user's own: how wide, up to `most` times."""

    most: float = 2.0
    n = 1

    def __call__(self, raw):
        wide = (self._raw(raw).tanh()[:, 0] * math.log(self.most)).exp()
        zero, one = torch.zeros_like(wide), torch.ones_like(wide)
        return torch.stack([wide, zero, zero, zero, one, zero], 1).view(-1, 2, 3)

    def in_keras(self, raw, ops, size):
        wide = ops.exp(ops.tanh(raw[:, 0]) * math.log(self.most))
        zero, one = ops.zeros_like(wide), ops.ones_like(wide)
        return ops.reshape(ops.stack([wide, zero, zero, zero, one, zero], 1), (-1, 2, 3))


def test_a_parametrisation_of_ones_own_in_both(tmp_path, monkeypatch):
    """The interface that `geometry.Parametrisation` describes, in torch, Keras and files."""
    net = models.SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(168, 1)), Stretch(3.0))
    nn.init.normal_(net.head[0].weight, 0, 0.2)
    images = torch.rand(3, 1, 12, 14, generator=torch.Generator().manual_seed(0))
    twin = keras_twin.from_torch(nn.Sequential(net), (1, 12, 14))
    last = images.permute(0, 2, 3, 1).numpy()
    ours = net(images).detach().permute(0, 2, 3, 1).numpy()
    assert np.abs(twin(last).numpy() - ours).max() < 1e-5
    assert (net.theta[:, 0, 0] - 1).abs().max() > 1e-3
    with pytest.raises(TypeError, match=r"Stretch, which has no name .* models.TRANSFORMS\["):
        twin.save(tmp_path / "net.keras")
    monkeypatch.setitem(models.TRANSFORMS, "stretch", Stretch)
    twin.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert np.array_equal(loaded(last).numpy(), twin(last).numpy())
    assert parametrisations.made("stretch") == Stretch()
    assert models.build("stn", transform="stretch")(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_one_that_keras_cannot_calculate_is_refused_by_name():
    class Mine(geometry.Affine):
        def __call__(self, raw):
            return 2 * super().__call__(raw)

    with pytest.raises(TypeError, match=r"transform is Mine, which has no in_keras\("):
        parametrisations.to_theta(Mine(), np.zeros((1, 6), "float32"))


def test_a_transformer_that_averages_has_no_twin():
    local = nn.Sequential(nn.Flatten(), nn.Linear(168, 6))
    net = models.SpatialTransformer(local, geometry.Affine(), antialias=True)
    with pytest.raises(TypeError, match="antialias=True has no twin"):
        keras_twin.from_torch(nn.Sequential(net), (1, 12, 14))


def test_a_layer_knows_the_shape_of_its_pictures():
    image = bar()
    layer = keras_twin.SpatialTransformer(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]), "similarity"
    )
    images = image.permute(0, 2, 3, 1).numpy()
    layer(images)
    layer.head.bias.assign(np.array([0, np.pi / 2, 0, 0], "float32"))
    out = np.moveaxis(layer(images).numpy(), -1, 1)
    assert sides(torch.from_numpy(out)) == (4, 20)


BAD = [
    (lambda im, g: keras_twin.bilinear_sample(im, g, "wrap"), ValueError, "padding"),
    (lambda im, g: keras_twin.bilinear_sample(im, g, mode="cubic"), ValueError, "mode"),
    (lambda im, g: keras_twin.bilinear_sample(im, g, "zeros", fill=1.0), ValueError, "fill"),
    (lambda im, g: keras_twin.bilinear_sample(im, g[..., :1]), ValueError, "grid must have shape"),
    (lambda im, g: keras_twin.bilinear_sample(im, g * np.nan), ValueError, "grid must be finite"),
    (lambda im, g: keras_twin.bilinear_sample(im > 0.5, g), TypeError, "floating point"),
    (lambda im, g: keras_twin.bilinear_sample(im[0], g), ValueError, "images must have shape"),
    (lambda im, g: keras_twin.bilinear_sample(im, g[:1]), ValueError, "one batch size, got 3, 1"),
    (
        lambda im, g: keras_twin.bilinear_sample(im, g, fill=np.ones((2, 3), "float32")),
        ValueError,
        "images and fill must have one batch size",
    ),
    (
        lambda im, g: keras_twin.warp(im, np.eye(2, 3, dtype="float32")[None]),
        ValueError,
        "got 3, 1",
    ),
    (lambda im, g: tf.function(keras_twin.bilinear_sample)(im, g[:2]), ValueError, "got 3, 2"),
    (lambda im, g: keras_twin.warp(im, g[:, :, :, 0]), ValueError, "transform must have shape"),
    (lambda im, g: keras_twin.affine_grid(g, (2, 2)), ValueError, "theta must have shape"),
    (
        lambda im, g: sampling.homography_grid(
            np.float32([[[1, 0, 0], [0, 1, 0], [2, 0, 1]]]), (3, 3)
        ),
        ValueError,
        "horizon",
    ),
]


@pytest.mark.parametrize(("wrong", "error", "words"), BAD, ids=[row[2] for row in BAD])
def test_what_is_wrong_is_named(wrong, error, words):
    images, grid = random_case()
    with pytest.raises(error, match=words):
        wrong(images.permute(0, 2, 3, 1).numpy(), grid.numpy())


# ---------------------------------------------------------------- the layer
def localiser():
    flat = [keras.layers.Flatten(), keras.layers.Dense(16, "relu")]
    return keras.Sequential([keras.layers.AveragePooling2D(2), *flat])


def network(transform="affine", **options):
    front = keras_twin.SpatialTransformer(localiser(), transform, **options)
    rest = [keras.layers.Flatten(), keras.layers.Dense(10)]
    net = keras.Sequential([keras.Input((12, 14, 1)), front, *rest])
    net.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return net


def batch(n=32):
    generator = np.random.default_rng(3)
    return generator.random((n, 12, 14, 1), "float32"), generator.integers(10, size=n)


TRANSFORMS = ["affine", "attention", "homography", "corners", "tps", "similarity", "translation"]
TRANSFORMS += ["rotation"]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_untrained_it_hands_on_what_it_gets(transform):
    images, _ = batch(4)
    front = network(transform).layers[0]
    assert np.abs(front(images).numpy() - images).max() < 1e-5
    small = network(transform, size=(5, 8)).layers[0]
    assert small(images).shape == (4, 5, 8, 1) == small.compute_output_shape((4, 12, 14, 1))
    half = network(transform, down=2, pool=True).layers[0]
    assert half(images).shape == (4, 3, 3, 1) == half.compute_output_shape((4, 12, 14, 1))


@pytest.mark.parametrize("down", [1, 3, 100 / 83, (4, 1), [1.5, 2.5]])
def test_a_size_is_divided_as_in_torch(down):
    layer = keras_twin.SpatialTransformer(localiser(), down=down)
    assert layer.output_size((100, 100)) == geometry.shrunk_size((100, 100), down)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_it_learns_in_fit_and_agrees_in_every_mode(transform, recwarn):
    net, (images, labels) = network(transform), batch()
    net.fit(images, labels, epochs=2, verbose=0)  # in graph mode, as predict is
    head = net.layers[0].head
    assert np.abs(head.kernel.numpy()).max() > 1e-4, "no gradient reached the head"
    assert not [w for w in recwarn if "Gradients do not exist" in str(w.message)]
    eager = net(images).numpy()
    assert np.abs(tf.function(net)(images).numpy() - eager).max() < 1e-5
    if transform == "affine":  # a tf.function too
        assert np.abs(net.predict(images, verbose=0) - eager).max() < 1e-5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_theta_and_grid_in_float32(policy):
    images, labels = batch()
    keras.config.set_dtype_policy(policy)
    try:
        net = network()
        front = net.layers[0]
        assert front.compute_dtype == policy.removeprefix("mixed_") == net(images).dtype.name
        theta = front.locate(images)
        assert theta.dtype == "float32" and front.head.compute_dtype == "float32"
        net.fit(images, labels, verbose=0)
        assert np.abs(front.head.kernel.numpy()).max() > 0
    finally:
        keras.config.set_dtype_policy("float32")
    # A third of a pixel to the right: as exact as float32 places and bfloat16 pixels allow.
    theta = np.float32([[[1, 0, 2 / 3 / 14], [0, 1, 0]]]).repeat(32, 0)
    got = front.read(tf.cast(images, front.compute_dtype), theta)
    exact = keras_twin.warp(images, theta)
    assert got.dtype == front.compute_dtype
    assert np.abs(tf.cast(got, "float32") - exact).max() < 1 / 128


FRESH = """
import sys
import numpy as np
from stn_course.keras_twin.sampling import keras  # noqa: E402
(folder,) = sys.argv[1:]
net = keras.models.load_model(f"{folder}/net.keras")
images, labels, before = (np.load(f"{folder}/{n}.npy") for n in ("images", "labels", "before"))
print(np.array_equal(net.predict(images, verbose=0), before), net.layers[0].transform)
net.fit(images, labels, epochs=1, verbose=0)
"""


def test_a_saved_file_gives_the_same_bits_in_a_fresh_process_without_a_word(tmp_path):
    """And TensorFlow says nothing there: not when it is imported, loads, predicts or trains."""
    transform = geometry.ThinPlateSpline((3, 4), 0.7)
    net, (images, labels) = network(transform, size=(9, 8), padding="border"), batch()
    net.fit(images, labels, verbose=0)
    net.save(tmp_path / "net.keras")
    before = net.predict(images, verbose=0)
    for what, values in {"images": images, "labels": labels, "before": before}.items():
        np.save(tmp_path / f"{what}.npy", values)
    command = [sys.executable, "-c", FRESH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stderr, done.stdout, done.returncode) == ("", f"True {transform}\n", 0)


def test_parallel_transformers_and_coordinates_are_saved_too(tmp_path):
    two = keras_twin.ParallelTransformers(
        [keras_twin.SpatialTransformer(localiser(), size=(4, 4)) for _ in range(2)]
    )
    layers = [two, keras_twin.AddCoords(radius=True), keras_twin.HighestRow()]
    net, (images, _) = keras.Sequential([keras.Input((12, 14, 1)), *layers]), batch(2)
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert net(images).shape == (2, 4, 5)  # two images, x, y, r
    assert np.array_equal(again(images).numpy(), net(images).numpy())


WRONG = [
    (lambda: keras_twin.SpatialTransformer("cnn"), TypeError, "localiser is str"),
    (lambda: keras_twin.SpatialTransformer(localiser(), "afine"), ValueError, "transform='afine'"),
    (lambda: keras_twin.SpatialTransformer(localiser(), padding="x"), ValueError, "padding='x'"),
    (lambda: keras_twin.SpatialTransformer(localiser(), down=0), ValueError, "down=0"),
    (
        lambda: keras_twin.SpatialTransformer(keras.layers.ReLU()).build((None, 8, 8, 1)),
        ValueError,
        "wanted features",
    ),
    (lambda: keras_twin.SpatialTransformer(localiser(), size=(3, 3), down=2), ValueError, "one of"),
    (lambda: keras_twin.SpatialTransformer(localiser(), down="2"), TypeError, "down='2'"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG, ids=[row[2] for row in WRONG])
def test_a_wrong_option_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()
