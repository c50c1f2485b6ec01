"""Experiments beside the scoreboard's: what the museum of notebook 03 claims, over many seeds."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from stn_course.analysis.glimpses import glimpses
from stn_course.analysis.pose import pose_probe
from stn_course.experiments.experiment import Experiment
from stn_course.training.config import Config


def museum() -> Iterator[tuple[str, Experiment]]:
    # HR's net on a fifth of the digits in batches a fifth as large: as many steps as published.
    short = Config(
        model="hr",
        distort="hr",
        frozen=True,
        tests=("hr",),
        train_on="train+valid",
        limit=10_000,
        epochs=20,
        batch_size=100,
    )
    about = "museum: HR's net, unpadded, tanh on theta and no identity start"
    yield "museum-hr-start", Experiment(short, about, seeds=20, minutes=0.6, probe=pose_probe("hr"))
    # The same classifier; the identity is out of reach of HR's tanh, so the localiser is ours.
    options = {"localiser": "paper-fc", "classifier": "hr-cnn"}
    ours = replace(short, model="stn", options=options)
    about = "museum: HR's classifier behind a transformer that starts at the identity"
    yield (
        "museum-hr-identity",
        Experiment(ours, about, seeds=20, minutes=0.6, probe=pose_probe("hr")),
    )
    # XQ's notebook's net; it says that without the identity in the bias everything is turned.
    xq = Config(
        model="stn-cnn",
        options={"identity_start": False},
        distort="mild",
        frozen=True,
        with_clean=True,
        tests=("mild",),
        train_on="train+valid",
        limit=10_000,
        batch_size=32,
    )
    about = "museum: XQ's CNN and transformer without the identity start, a sixth of its digits"
    yield "museum-xq-start", Experiment(xq, about, seeds=20, minutes=0.4, probe=pose_probe("mild"))
    # The tutorial's net on turned digits, [-1, 1] as in HY: what is outside, grey or background.
    turned = Config(
        model="tutorial",
        distort="r",
        tests=("r",),
        train_on="train+valid",
        limit=10_000,
        epochs=10,
        batch_size=64,
    )
    for padding in ("zeros", "background"):
        grey = replace(turned, options={"normalise": (0.5, 0.5), "padding": padding})
        about = f"museum: the tutorial's net, inputs in [-1, 1], outside {padding}"
        probe = partial(glimpses, name="r")
        yield f"museum-{padding}", Experiment(grey, about, minutes=0.4, probe=probe)


EXPERIMENTS = dict(museum())
