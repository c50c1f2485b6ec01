"""Experiments of notebook 08: words on bent, tilted labels, and the choices of who reads them."""

from collections.abc import Iterator
from dataclasses import replace

from stn_course.analysis.words import measure_signs
from stn_course.experiments.experiment import Experiment
from stn_course.training.config import Config

# Small enough for a minute on one slow core: 12 000 words, each in two scenes.
READER = {"width": 0.75}
NONE = Config(
    model="word-cnn",
    options=READER,
    distort="words",
    tests=("words",),
    limit=12_000,
    epochs=2,
    batch_size=64,
    lr=3e-3,
    schedule="onecycle",
)
SEEN = READER | {"sees": [16, 48]}
SPLINE = SEEN | {"transform": "tps", "grid": [2, 5]}
STN = replace(NONE, model="word-stn", options=SPLINE, lr_localiser=6e-4)
CHOSEN = (
    "on validation, seed 0: of localiser rates 3e-3 and 6e-4 a spline ended at 89.2 and 89.3 %, so "
    "the lower, for every family; width, batch and rate of the reader by its own first runs"
)
FRONTS = {
    "affine": (SEEN | {"transform": "affine"}, "an affine transformer"),
    "homography": (SEEN | {"transform": "homography"}, "a homography"),
    "tps": (SPLINE, "a thin-plate spline of 2 x 5 points"),
}


def families() -> Iterator[tuple[str, Experiment]]:
    """Without a transformer, with each family, and read at the true places."""

    def made(config: Config, about: str, probe=measure_signs) -> Experiment:
        return Experiment(config, f"words, {about}", 3, 1, probe, chosen=CHOSEN)

    yield "words-cnn", made(NONE, "without a transformer")
    for name, (options, about) in FRONTS.items():
        yield f"words-{name}", made(replace(STN, options=options), about)
    straight = replace(NONE, distort="words-straight", tests=("words-straight",))
    yield "words-straight", made(straight, "read at their true places", None)


def fixed() -> Iterator[tuple[str, Experiment]]:
    """As many steps on 1 500 pictures that stay as they are, with and without augmentation."""
    for name, base in (("cnn", NONE), ("tps", STN)):
        config = replace(base, frozen=True, limit=1500, epochs=16)
        about = "1 500 fixed pictures, " + ("no transformer" if name == "cnn" else "a spline")
        yield f"words-fixed-{name}", Experiment(config, about, 3, 1, measure_signs, chosen=CHOSEN)
        config = replace(config, augment="gentle")
        about += ", augmented"
        made = Experiment(config, about, 3, 1, measure_signs, chosen=CHOSEN)
        yield f"words-augmented-{name}", made


def longer() -> Iterator[tuple[str, Experiment]]:
    """Four times as long: is there still something to gain?"""
    for name, base in (("cnn", NONE), ("tps", STN)):
        config, about = replace(base, limit=None, epochs=5), f"words-{name}, four times as long"
        yield f"words-long-{name}", Experiment(config, about, 3, 4, measure_signs, chosen=CHOSEN)


# One choice changed at a time, of the spline's: what the option is, or the setting.
CHOICES: dict[str, tuple[str, dict]] = {
    "sees-small": ("the localiser sees 8 x 24 pixels", {"sees": [8, 24]}),
    "sees-all": ("the localiser sees all 32 x 96 pixels", {"sees": [32, 96]}),
    "sees-grey": ("the localiser sees grey", {"grey": True}),
    "localiser-dense": ("three dense layers of 32", {"localiser": "paper-fc"}),
    "localiser-narrow": ("convolutions of 6 and 16 channels", {"localiser": "xq-script"}),
    "points-few": ("2 x 2 control points", {"grid": [2, 2]}),
    "points-many": ("4 x 8 control points", {"grid": [4, 8]}),
    "bound-tight": ("no point moves further than 0.1", {"bound": 0.1}),
    "bound-wide": ("no point moves further than 0.8", {"bound": 0.8}),
    "outside-black": ("black lies outside", {"padding": "zeros"}),
    "outside-border": ("the nearest pixel lies outside", {"padding": "border"}),
    "small-gaps": ("16 x 48 are read, in gaps", {"glimpse": [16, 48]}),
    "small-means": ("32 x 96 are read, then averaged to 16 x 48", {"pool": True}),
    "features": ("behind the first convolution", {"features": True, "padding": "border"}),
}
RATES = {"rate-same": 3e-3, "rate-low": 6e-5, "rate-none": 0.0}


def choices() -> Iterator[tuple[str, Experiment]]:
    """Two seeds each: enough to see what matters much, not what matters little."""

    def made(config: Config, about: str) -> Experiment:
        return Experiment(config, f"words, {about}", 2, 1, measure_signs, chosen=CHOSEN)

    for name, (about, change) in CHOICES.items():
        yield f"words-{name}", made(replace(STN, options=SPLINE | change), about)
    for name, rate in RATES.items():
        yield f"words-{name}", made(replace(STN, lr_localiser=rate), f"localiser's rate {rate:g}")
    twice = FRONTS["affine"][0] | {"in_sequence": 2}
    yield "words-twice", made(replace(STN, options=twice), "two affine transformers in sequence")


EXPERIMENTS = dict([*families(), *fixed(), *longer(), *choices()])
