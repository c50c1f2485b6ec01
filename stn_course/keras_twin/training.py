"""Runs in Keras: plain `compile` and `fit`, and a record as the runs in torch have one."""

import dataclasses
import hashlib
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from stn_course.data import own
from stn_course.data.clutter.fresh import ROWS
from stn_course.data.seeding import FREEZE, INIT, ORDER, stream
from stn_course.keras_twin import pipeline
from stn_course.keras_twin.convert import from_torch
from stn_course.keras_twin.loading import load_tensorflow
from stn_course.keras_twin.parity import evaluate
from stn_course.keras_twin.sampling import keras
from stn_course.keras_twin.settings import settled
from stn_course.keras_twin.weights import weighted_layers
from stn_course.training.config import CLEAN, Config, build
from stn_course.training.datasets import first_of, pad_to, test_set, training_set
from stn_course.training.optimisation import rate
from stn_course.training.record import RunRecord, current_commit

tf = load_tensorflow()
CPU = torch.device("cpu")
UNUSED = {
    "pose_weight": 0.0,
    **dict.fromkeys(("clip", "lr_localiser", "patience", "augment", "epsilon")),
}


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """One learning rate a step, from a list; the last one for good."""

    def __init__(self, rates: list[float]):
        self.rates, self.table = rates, tf.constant(rates, tf.float32)

    def __call__(self, step):
        return tf.gather(self.table, tf.minimum(tf.cast(step, tf.int32), len(self.rates) - 1))

    def get_config(self):
        return {"rates": self.rates}


def twin_of(config: Config, seed: int) -> keras.Model:
    """The network of `config` in Keras, with the very first weights of torch's run `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(INIT, seed))
        return from_torch(build(config), config.shape)


def check(config: Config) -> None:
    """ValueError for a setting that runs in Keras do not have: none is silently left out."""
    for name, usual in UNUSED.items():
        if (got := getattr(config, name)) != usual:
            raise ValueError(f"{name}={got!r}; runs in Keras have only {usual!r}")
    if config.optimizer != "adam" or config.precision != "float32":
        raise ValueError(
            f"optimizer={config.optimizer!r}, precision={config.precision!r}; "
            "runs in Keras have only adam and float32"
        )


def training_data(config: Config, seed: int) -> tuple[Callable, int, str]:
    """(what makes the batches, how many images, source of the digits), distorted by TensorFlow.

    The published rows of digits are as they are. Every call of the first begins anew.
    """
    published = config.frozen and (config.distort in ROWS or config.distort in own.SETS)
    plain = (
        config
        if published
        else dataclasses.replace(
            config, distort=None, frozen=False, with_clean=False, tests=(CLEAN,)
        )
    )
    images, labels, source = training_set(plain, seed, CPU)
    x, y = pipeline.digits(images), labels.numpy()
    if config.distort and config.frozen and not published:
        made = pipeline.frozen(x, config.distort, _small(FREEZE, seed))
        clean = [pipeline.digits(pad_to(images, config.shape))] if config.with_clean else []
        x, y = np.concatenate([made, *clean]), np.tile(y, 1 + len(clean))
    fresh = config.distort if config.distort and not config.frozen else None
    x, y, order = tf.constant(x), tf.constant(y), _small(ORDER, seed)
    return partial(pipeline.batches, x, y, config.batch_size, order, fresh), len(x), source


def _small(*key: int) -> int:
    return stream(*key) % 2**31


def compile_twin(twin: keras.Model, config: Config, steps: int) -> None:
    """`twin.compile` with the loss, Adam, its schedule and its weight decay.

    The loss of a row of digits is the sum over its digits, as in torch; weight decay is the
    gradient of a square, on kernels alone, as LJ had it, and joins the loss.
    """
    for layer, _ in weighted_layers(twin, tuple(twin.input_shape)):
        if config.weight_decay and hasattr(layer, "kernel"):
            layer.kernel_regularizer = keras.regularizers.L2(config.weight_decay / 2)
            layer.kernel.regularizer = layer.kernel_regularizer

    def loss(truth, logits):
        each = keras.losses.sparse_categorical_crossentropy(truth, logits, from_logits=True)
        return each if each.shape.rank == 1 else tf.reduce_sum(each, 1)

    total = config.epochs * steps

    rates = [rate(config, step / total) for step in range(total)]
    adam = keras.optimizers.Adam(Rates(rates), epsilon=1e-8)  # torch's; Keras's own is 1e-7
    twin.compile(adam, loss, metrics=["sparse_categorical_accuracy"])


@settled("float32", floatx="float32")
def fit(
    config: Config,
    seed: int = 0,
    name: str = "unnamed",
    log_dir: Path | None = None,
    watch: Callable[[int, dict], None] | None = None,
) -> tuple[keras.Model, RunRecord]:
    """Train `config` in Keras with `seed`: the twin and its record.

    The first weights and the test images are those of torch's run; order, dropout and
    distortions are TensorFlow's own. `log_dir`: where TensorBoard's files go. `watch` is told, of
    epoch 0 and after each, loss and accuracy of training and validation. Raises ValueError for
    settings that runs in Keras do not have.
    """
    check(config)
    start = time.perf_counter()
    keras.utils.set_random_seed(_small(ORDER, seed))  # of dropout
    twin = twin_of(config, seed)
    data, n, source = training_data(config, seed)
    compile_twin(twin, config, -(-n // config.batch_size))
    first, _ = next(iter(data()))
    valid = _valid(config)
    curves = {"train_loss": [], "valid_accuracy": []}

    callbacks = [_each_epoch(twin, valid, curves, watch)]
    callbacks += [keras.callbacks.TensorBoard(str(log_dir))] if log_dir else []
    twin.fit(data(), epochs=config.epochs, callbacks=callbacks, shuffle=False, verbose=0)
    return twin, RunRecord(
        experiment=name,
        seed=seed,
        config=dataclasses.asdict(config) | {"framework": "keras"},
        digits=source,
        parameters=int(sum(np.prod(v.shape) for v in twin.trainable_variables)),
        curves=curves,
        results=_results(twin, config),
        hashes={
            "first_batch": sha256(first.numpy()),
            "weights": sha256(*(v.numpy() for v in twin.weights)),
        },
        commit=current_commit(),
        versions={
            **{"keras": keras.__version__, "tensorflow": tf.__version__},
            **{"torch": torch.__version__, "numpy": np.__version__},
        },
        device="cpu" if not tf.config.list_physical_devices("GPU") else "gpu",
        threads=threads(),
        seconds=round(time.perf_counter() - start, 3),
    )


def _each_epoch(twin: keras.Model, valid, curves: dict, watch) -> keras.callbacks.Callback:
    """What validates after each epoch: `curves` grow, and `watch` is told, of epoch 0 now."""

    def validated() -> dict:
        if valid is None:
            return {}
        got = evaluate(twin, valid.images, valid.labels)
        return {"valid_loss": got["loss"], "valid_accuracy": 100 * got["correct"] / got["total"]}

    def epoch_ends(epoch, logs):
        row = {"train_loss": float(logs["loss"])}
        row["train_accuracy"] = 100 * float(logs["sparse_categorical_accuracy"])
        row |= validated()
        for curve in curves.keys() & row.keys():
            curves[curve].append(row[curve])
        if watch:
            watch(epoch + 1, row)

    if watch:
        watch(0, {"train_loss": math.nan, "train_accuracy": math.nan} | validated())
    return keras.callbacks.LambdaCallback(on_epoch_end=epoch_ends)


def threads() -> int:
    """How many threads TensorFlow gives to one operation, decided in the order in which it does."""
    if told := tf.config.threading.get_intra_op_parallelism_threads():
        return told
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else os.cpu_count() or 0


def record(name: str, seed: int, config: Config) -> RunRecord:
    """The record of one run: what an experiment's `run` gives."""
    return fit(config, seed, name)[1]


def _valid(config: Config):
    if "valid" in config.train_on:
        return None
    return first_of(test_set("valid", config.distort or CLEAN, CPU), config.limit_measured)


def _results(twin: keras.Model, config: Config) -> dict[str, dict]:
    splits = ("test",) if "valid" in config.train_on else ("valid", "test")
    return {
        f"{split}/{name}": evaluate(twin, held.images, held.labels)
        for split in splits
        for name in config.tests
        for held in [first_of(test_set(split, name, CPU, config.shape), config.limit_measured)]
    }


def sha256(*arrays: np.ndarray) -> str:
    """SHA-256 of the arrays' bytes, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
