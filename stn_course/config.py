"""What decides a run: ``Config``, the seeded streams, and the learning rate along the way."""

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from torch import nn

from stn_course import models
from stn_course.data import DISTORTIONS, TASKS, recipes

OPTIMIZERS = ("adam", "sgd", "rmsprop")
SCHEDULES = ("constant", "linear", "step", "cosine", "onecycle", "two-phase", "late-decay")
PRECISIONS = ("float32", "bf16", "auto")
CLEAN = "clean"
KEEP_SIZE = ("pose", "gentle")  # recipes for images of any size


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, apart from the seed and the machine.

    ``distort`` names a recipe of ``data.DISTORTIONS`` or ``data.TASKS``; with ``frozen``
    each image is distorted once, otherwise afresh at every visit; ``with_clean`` adds the
    clean images to the frozen ones.  ``augment`` names one more recipe, one that keeps the
    images' size, drawn afresh at every visit after all that.  ``tests`` lists the sets
    (``clean`` or a recipe) measured at the end: sets with such labels as those trained on;
    images smaller than those get a black frame.  ``lr`` is the highest rate of the schedule,
    ``lr_localiser`` that of spatial transformers (None: the same; 0: they stay as they start).
    Gradients longer than ``clip`` are shortened to it (None: none are).  With ``patience`` a
    run stops after so many epochs without a better validation accuracy, and the weights of its
    best epoch are what is measured and saved.
    """

    model: str = "cnn"
    options: dict = dataclasses.field(default_factory=dict)  # of the model's builder
    train_on: str = "train"  # or "train+valid": all 60 000, where nothing is selected
    limit: int | None = None  # use only the first so many training images
    distort: str | None = None
    frozen: bool = False
    with_clean: bool = False
    augment: str | None = None
    tests: tuple[str, ...] = (CLEAN,)
    epochs: int = 5
    batch_size: int = 64
    lr: float = 1e-3
    lr_localiser: float | None = None
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0  # of weights; biases and norms have none
    epsilon: float | None = None  # added to the root by which Adam and RMSprop divide
    schedule: str = "constant"
    precision: str = "auto"
    pose_weight: float = 0.0  # of `pose.pose_error` in the loss: the true motion is known
    clip: float | None = None
    patience: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "tests", tuple(self.tests))  # JSON gives a list
        _one_of("model", self.model, models.MODELS)
        if made := {"size", "channels", "classes"} & set(self.options):
            raise ValueError(f"options has {sorted(made)}, which the data decide; wanted others")
        _one_of("train_on", self.train_on, ("train", "train+valid"))
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("precision", self.precision, PRECISIONS)
        for name in self.tests + ((self.distort,) if self.distort else ()):
            _one_of("data (distort) or tests", name, (CLEAN, *DISTORTIONS, *TASKS))
        for name in self.tests:
            (c, h, w), (channels, height, width) = shape(name), self.shape
            if c != channels or h > height or w > width:
                raise ValueError(
                    f"tests={name!r} is {c}x{h}x{w}; wanted what fits "
                    f"{channels}x{height}x{width}, as distort={self.distort!r} makes them"
                )
            theirs, ours = answers(name), answers(self.distort or CLEAN)
            if theirs != ours:
                raise ValueError(
                    f"tests={name!r} has {theirs[0]} of {theirs[1]} classes to an image; wanted "
                    f"{ours[0]} of {ours[1]}, as distort={self.distort!r} has"
                )
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name}={value!r}; wanted a whole number, at least 1")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr={self.lr}; wanted a positive rate")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum}; wanted 0 or more, and below 1")
        if self.momentum and self.optimizer == "adam":
            raise ValueError(
                f"momentum={self.momentum}, optimizer='adam'; wanted sgd or rmsprop, or 0: Adam's "
                "own is not this one"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay={self.weight_decay}; wanted 0 or more")
        if self.epsilon is not None and not (
            0 < self.epsilon < math.inf and self.optimizer != "sgd"
        ):
            raise ValueError(
                f"epsilon={self.epsilon}, optimizer={self.optimizer!r}; wanted None, or a number "
                "above 0 for adam or rmsprop"
            )
        if self.lr_localiser is not None and not 0 <= self.lr_localiser < float("inf"):
            raise ValueError(f"lr_localiser={self.lr_localiser}; wanted a rate, 0 or None")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip={self.clip}; wanted a positive length, or None")
        if self.patience is not None and (self.patience < 1 or "valid" in self.train_on):
            raise ValueError(
                f"patience={self.patience}, train_on={self.train_on!r}; wanted None, or at least "
                "1 epoch and train_on='train', so that validation images are left to judge by"
            )
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit={self.limit}; wanted at least 1 image, or None")
        if not 0 <= self.pose_weight < math.inf or (
            self.pose_weight and (self.frozen or not self.distort)
        ):
            raise ValueError(
                f"pose_weight={self.pose_weight}; wanted 0, or more with a fresh distort: its "
                "true motion is what the pose is compared with"
            )
        if (self.frozen or self.with_clean) and not self.distort:
            raise ValueError("frozen and with_clean need distort, which is None")
        if self.with_clean and not self.frozen:
            raise ValueError("with_clean=True needs frozen=True")
        if self.augment is not None:
            _one_of("augment", self.augment, KEEP_SIZE)
            if self.pose_weight:
                raise ValueError(f"augment={self.augment!r} and pose_weight: the pose is not known")
        if self.with_clean and self.distort in TASKS:
            raise ValueError(f"with_clean=True; distort={self.distort!r} has no clean images")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images trained on."""
        return shape(self.distort or CLEAN)


def shape(name: str) -> tuple[int, int, int]:
    """(C, H, W) of the set ``name``: ``clean`` or a recipe."""
    return (1, recipes.SIDE, recipes.SIDE) if name == CLEAN else recipes.shape(name)


def answers(name: str) -> tuple[int, int]:
    """How many labels an image of the set ``name`` has, and of how many classes each."""
    return (1, 10) if name == CLEAN else recipes.answers(name)


def build(config: Config) -> nn.Module:
    """The network of ``config``, made for its images and classes.

    Raises ValueError for options that the model does not have, and for a model that gives an
    image one label where the images have rows of them, or the other way round.
    """
    rows = answers(config.distort or CLEAN)[0] > 1
    if rows != (config.model in models.SEQUENCE_MODELS):
        given, wanted = ("one label", "a row of labels")[:: 1 if rows else -1]
        raise ValueError(
            f"model={config.model!r} gives an image {given}; wanted one that gives {wanted}, as "
            f"distort={config.distort!r} has"
        )
    channels, *size = config.shape
    made_for = {"size": tuple(size)}
    if channels != 1:
        made_for["channels"] = channels
    if config.distort in recipes.CLASSES:
        made_for["classes"] = recipes.CLASSES[config.distort]
    try:
        return models.build(config.model, **made_for | config.options)
    except TypeError as error:  # an option that it does not have, or of a wrong kind
        raise ValueError(
            f"options={config.options!r} do not fit model={config.model!r}: {error}; it takes "
            + ", ".join(models.options_of(config.model))
        ) from error


def _one_of(argument: str, value: str, wanted) -> None:
    if value not in wanted:
        raise ValueError(f"{argument}={value!r} is unknown; wanted one of {', '.join(wanted)}")


def stream(*key: int) -> int:
    """A 63-bit seed for the random stream called ``key``; near keys give unrelated streams."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


INIT, ORDER, STEP, FREEZE, TEST = range(5)  # purposes, always the first part of a key


def rate(config: Config, progress: float) -> float:
    """Learning rate at ``progress`` in [0, 1) of the run."""
    if config.schedule == "linear":
        factor = 1 - progress
    elif config.schedule == "step":
        factor = 0.1 ** int(3 * progress)  # divided by 10 after each third
    elif config.schedule == "cosine":
        factor = 0.5 * (1 + np.cos(np.pi * progress))
    elif config.schedule == "onecycle":
        factor = progress / 0.3 if progress < 0.3 else (1 - progress) / 0.7
        factor = max(float(factor), 1e-2)
    elif config.schedule == "two-phase":
        factor = 1.0 if progress < 0.75 else 0.1  # LJ: 60 epochs, then 20
    elif config.schedule == "late-decay":
        # SK: nothing for 32 epochs, then divided by 1.5 after every 12th.
        epoch = int(progress * config.epochs + 1e-9)  # (step / steps) * epochs is just below it
        factor = 1.5 ** -(max(0, epoch - 20) // 12)
    else:
        factor = 1.0
    return config.lr * float(factor)
