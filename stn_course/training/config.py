"""What decides a run: `Config`, and the network it asks for.

Importing this loads no framework: the command line reads the fields and what they say.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

OPTIMIZERS = ("adam", "sgd", "rmsprop")
SCHEDULES = ("constant", "linear", "step", "cosine", "onecycle", "two-phase", "late-decay")
PRECISIONS = ("float32", "bf16", "auto")
CLEAN = "clean"
NEEDED = ("lr", "momentum", "weight_decay", "pose_weight")
LARGEST = 1e6  # of what multiplies or divides steps: more than that is a slip, and trains nothing
NUMBERS = (
    *NEEDED,
    "lr_localiser",
    "epsilon",
    "clip",
    "patience",
    "limit",
    "limit_measured",
)  # or None
LIMITS = ("limit", "limit_measured")
KEEP_SIZE = ("pose", "gentle")  # recipes for images of any size


def _setting(default, help_: str, default_text: str | None = None):
    """A field with the words that `stn-course train --help` has for it."""
    if default_text is None:
        no_value = default is None or default is False
        default_text = (
            "" if no_value else format(default, "g" if default.__class__ is float else "")
        )
    words = {"help": help_ + (f" (default: {default_text})" if default_text else "")}
    if default is dict:
        return dataclasses.field(default_factory=dict, metadata=words)
    return dataclasses.field(default=default, metadata=words)


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, apart from the seed and the machine.

    `distort` names a recipe of `data.DISTORTIONS` or `recipes.TASKS`; with `frozen`
    each image is distorted once, otherwise afresh at every visit; `with_clean` adds the
    clean images to the frozen ones. `augment` names one more recipe, one that keeps the
    images' size, drawn afresh at every visit after all that. `tests` lists the sets
    (`clean` or a recipe) measured at the end: sets with such labels as those trained on;
    images smaller than those get a black frame. `lr` is the highest rate of the schedule,
    `lr_localiser` that of spatial transformers (None: the same; 0: they stay as they start).
    Gradients longer than `clip` are shortened to it (None: none are). With `patience` a
    run stops after so many epochs without a better validation accuracy, and the weights of its
    best epoch are what is measured and saved.
    """

    model: str = _setting("cnn", "fc, cnn, stn-small, ...; `?` lists them all")
    options: dict = _setting(
        dict, "of the model, as JSON: '{\"down\": 2}'; any other key lists them", default_text=""
    )
    train_on: str = _setting("train", "train, or train+valid where nothing is selected")
    limit: int | None = _setting(None, "only the first so many training images")
    limit_measured: int | None = _setting(None, "and of each set that is measured")
    distort: str | None = _setting(
        None,
        "clean, hard, mild, sequences, ...: drawn afresh at every visit; or an .npz file, or a "
        "folder with a folder of pictures for each class",
        default_text="clean",
    )
    frozen: bool = _setting(False, "distort once an image")
    with_clean: bool = _setting(False, "add clean images")
    augment: str | None = _setting(None, "pose or gentle: drawn afresh after all that")
    tests: tuple[str, ...] = _setting((CLEAN,), "measured at the end", default_text="as --data")
    epochs: int = _setting(5, "passes over the training images")
    batch_size: int = _setting(64, "images a step")
    lr: float = _setting(1e-3, "highest learning rate")
    lr_localiser: float | None = _setting(None, "of transformers", default_text="as --lr")
    optimizer: str = _setting("adam", "adam, sgd or rmsprop")
    momentum: float = _setting(0.0, "of sgd and rmsprop")
    weight_decay: float = _setting(0.0, "of weights; biases and norms have none")
    epsilon: float | None = _setting(
        None, "added to the root by which adam and rmsprop divide", default_text="1e-8"
    )
    schedule: str = _setting(
        "constant",
        "constant, linear, step, cosine, onecycle, late-decay, or two-phase: the last quarter at "
        "a tenth of the rate",
    )
    precision: str = _setting("auto", "float32, bf16 or auto")
    pose_weight: float = _setting(
        0.0, "weight in the loss of how far the pose is from the true motion"
    )
    clip: float | None = _setting(None, "longest gradient", default_text="any length")
    patience: int | None = _setting(None, "stop after so many epochs without a better one")

    def __post_init__(self):
        object.__setattr__(self, "tests", tuple(self.tests))  # JSON gives a list
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        check_config(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images trained on."""
        return shape(self.distort or CLEAN)


def _plain(value):
    """`value` with Python's numbers for NumPy's and torch's: a record is written as JSON."""
    from stn_course.geometry import as_number, is_number

    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    number = as_number(value) if is_number(value) else None
    return value if number is None else number


def check_config(config: Config) -> None:
    """ValueError for settings that no run can have, or not together; the first that is wrong."""
    from stn_course.data import DISTORTIONS, TASKS, own
    from stn_course.geometry import one_of
    from stn_course.models import MODELS

    c = config
    one_of("model", c.model, MODELS)
    if made := {"size", "channels", "classes"} & set(c.options):
        raise ValueError(f"options has {sorted(made)}, which the data decide; wanted others")
    one_of("train_on", c.train_on, ("train", "train+valid"))
    one_of("optimizer", c.optimizer, OPTIMIZERS)
    one_of("schedule", c.schedule, SCHEDULES)
    one_of("precision", c.precision, PRECISIONS)
    for name in c.tests + ((c.distort,) if c.distort else ()):
        one_of("data (distort) or tests", name, (CLEAN, *DISTORTIONS, *TASKS, *own.SETS))
    if c.augment is not None:
        one_of("augment", c.augment, KEEP_SIZE)
    for wrong, told in chain(
        _wrong_tests(c), _wrong_numbers(c), _wrong_together(c, (*TASKS, *own.SETS))
    ):
        if wrong:
            raise ValueError(told)


def _wrong_tests(c: Config) -> Iterator[tuple[bool, str]]:
    """Whether a set that is measured at the end is of another kind than what is trained on."""
    channels, height, width = c.shape
    ours = answers(c.distort or CLEAN)
    for name in c.tests:
        (k, h, w), theirs = shape(name), answers(name)
        yield (
            k != channels or h > height or w > width,
            f"tests={name!r} is {k}x{h}x{w}; wanted what fits {channels}x{height}x{width}, as "
            f"distort={c.distort!r} makes them",
        )
        yield (
            theirs != ours,
            f"tests={name!r} has {theirs[0]} of {theirs[1]} classes to an image; wanted {ours[0]} "
            f"of {ours[1]}, as distort={c.distort!r} has",
        )


def _wrong_numbers(c: Config) -> Iterator[tuple[bool, str]]:
    """Whether a number lies where it cannot."""
    from stn_course.geometry import as_whole, is_number

    for name in NUMBERS:
        value, whole = getattr(c, name), name in ("patience", *LIMITS)
        good = as_whole(value) is not None if whole else is_number(value)
        good = good or (value is None and name not in NEEDED)
        yield not good, f"{name}={value!r}; wanted a {'whole ' if whole else ''}number"
    for name in ("epochs", "batch_size"):
        value = getattr(c, name)
        whole = as_whole(value) is not None and value >= 1
        yield not whole, f"{name}={value!r}; wanted a whole number, at least 1"
    most, rate = f"at most {LARGEST:g}", c.lr_localiser
    yield not 0 < c.lr <= LARGEST, f"lr={c.lr}; wanted a positive rate, {most}"
    yield not 0 <= c.momentum < 1, f"momentum={c.momentum}; wanted 0 or more, and below 1"
    decay = c.weight_decay
    yield not 0 <= decay <= LARGEST, f"weight_decay={decay}; wanted 0 or more, {most}"
    yield (
        rate is not None and not 0 <= rate <= LARGEST,
        f"lr_localiser={rate}; wanted a rate, 0 or None; {most}",
    )
    yield (
        c.clip is not None and not 0 < c.clip <= LARGEST,
        f"clip={c.clip}; wanted a positive length, or None for no limit; {most}",
    )
    for name in LIMITS:
        few = getattr(c, name)
        yield few is not None and few < 1, f"{name}={few}; wanted at least 1 image, or None"


def _wrong_together(c: Config, tasks) -> Iterator[tuple[bool, str]]:
    """Whether two settings exclude each other."""
    yield (
        c.momentum and c.optimizer == "adam",
        f"momentum={c.momentum}, optimizer='adam'; wanted sgd or rmsprop, or 0: Adam's own is not "
        "this one",
    )
    yield (
        c.epsilon is not None and not (0 < c.epsilon <= LARGEST and c.optimizer != "sgd"),
        f"epsilon={c.epsilon}, optimizer={c.optimizer!r}; wanted None, or a number above 0 for "
        f"adam or rmsprop, at most {LARGEST:g}",
    )
    yield (
        c.patience is not None and (c.patience < 1 or "valid" in c.train_on),
        f"patience={c.patience}, train_on={c.train_on!r}; wanted None, or at least 1 epoch and "
        "train_on='train', so that validation images are left to judge by",
    )
    from stn_course.data import own

    yield (
        c.distort in own.SETS and not c.frozen,
        f"frozen={c.frozen}; distort={c.distort!r} is a set of its own, which is as it is: "
        "wanted frozen=True",
    )
    fresh = c.distort and not c.frozen
    yield (
        not 0 <= c.pose_weight <= LARGEST or (c.pose_weight and not fresh),
        f"pose_weight={c.pose_weight}; wanted 0, or up to {LARGEST:g} with a fresh distort: its "
        "true motion is what the pose is compared with",
    )
    yield (
        (c.frozen or c.with_clean) and not c.distort,
        "frozen and with_clean need distort, which is None",
    )
    yield c.with_clean and not c.frozen, "with_clean=True needs frozen=True"
    yield (
        c.augment is not None and c.pose_weight,
        f"augment={c.augment!r} and pose_weight: the pose is not known",
    )
    yield (
        c.with_clean and c.distort in tasks,
        f"with_clean=True; distort={c.distort!r} has no clean images",
    )


def shape(name: str) -> tuple[int, int, int]:
    """(C, H, W) of the set `name`: `clean` or a recipe."""
    from stn_course.data import recipes

    return (1, recipes.SIDE, recipes.SIDE) if name == CLEAN else recipes.shape(name)


def answers(name: str) -> tuple[int, int]:
    """How many labels an image of the set `name` has, and of how many classes each."""
    from stn_course.data import recipes

    return (1, 10) if name == CLEAN else recipes.answers(name)


def build(config: Config) -> "nn.Module":
    """The network of `config`, made for its images and classes.

    Raises ValueError for options that the model does not have, and for a model that gives an
    image one label where the images have rows of them, or the other way round.
    """
    from stn_course import models

    digits, classes = answers(config.distort or CLEAN)
    rows = digits > 1
    if rows != (config.model in models.ROW_MODELS):
        given, wanted = ("one label", "a row of labels")[:: 1 if rows else -1]
        raise ValueError(
            f"model={config.model!r} gives an image {given}; wanted one that gives {wanted}, as "
            f"distort={config.distort!r} has"
        )
    channels, *size = config.shape
    made_for = {"size": tuple(size)}
    if channels != 1:
        made_for["channels"] = channels
    if classes != 10:
        made_for["classes"] = classes
    if digits not in (1, 3):  # of a row, three unless it is told
        made_for["digits"] = digits
    try:
        return models.build(config.model, **made_for | config.options)
    except TypeError as error:  # an option that it does not have, or of a wrong kind
        raise ValueError(
            f"options={config.options!r} do not fit model={config.model!r}: {error}; it takes "
            + ", ".join(models.options_of(config.model))
        ) from error
