"""Experiments of notebook 05: homographies on tilted digits, splines on bent ones."""

from collections.abc import Iterator
from dataclasses import replace

from stn_course.analysis.perspective import measure_perspective
from stn_course.experiments.catalogue.coordconv import MNIST, SE_RUNS
from stn_course.experiments.experiment import Experiment
from stn_course.training.config import Config

# This course's recipe, as in notebook 03 but half as long.
OURS = Config(model="stn-small", batch_size=128, lr=4e-3, schedule="onecycle", epochs=15)
FRONTS = {
    "affine": ("affine", "an affine transformer"),
    "homography": ("homography", "a homography of eight bounded numbers"),
    "corners": ("corners", "a homography by its four corners"),
}


def homographies() -> Iterator[tuple[str, Experiment]]:
    on_p = replace(OURS, distort="p", tests=("p",))
    none = replace(on_p, model="small")
    probe = measure_perspective
    yield "proj-none", Experiment(none, "ours on P without a transformer", 5, 2, probe)
    for name, (transform, what) in FRONTS.items():
        config = replace(on_p, options={"transform": transform}, lr_localiser=4e-4)
        yield f"proj-{name}", Experiment(config, f"ours on P with {what}", 5, 5, probe)
        if name != "affine":
            short = replace(config, limit=5000, epochs=2, tests=("p",))
            about = f"20 short runs: {what} never meets its horizon"
            yield f"steady-{name}", Experiment(short, about, 20, 0.3, probe)
            # Ten times the localiser's rate drives the raw numbers against their bounds.
            hard = replace(short, lr_localiser=4e-3)
            about = f"20 short runs at ten times the localiser's rate: {what}"
            yield f"stress-{name}", Experiment(hard, about, 20, 0.3, probe)
    # What SE planned: a homography before the tutorial net, CoordConv in each place.
    well = replace(on_p, lr=5e-3, lr_localiser=5e-4, epochs=8)
    for number in ("01", "05", "06", "07"):
        model, what = SE_RUNS[number]
        options = {"normalise": list(MNIST), "transform": "homography"}
        config = replace(well, model=model, options=options)
        about = f"what SE planned: a homography on P, {what}"
        yield f"proj-se-{number}", Experiment(config, about, 5, 1.5, probe)


def splines() -> Iterator[tuple[str, Experiment]]:
    on_e = replace(OURS, distort="e", tests=("e",))
    none = replace(on_e, model="small")
    yield "elastic-none", Experiment(none, "ours on E without a transformer", 5, 2)
    for transform, what in (("affine", "an affine transformer"), ("tps", "a thin-plate spline")):
        config = replace(on_e, options={"transform": transform}, lr_localiser=4e-4)
        yield f"elastic-{transform}", Experiment(config, f"ours on E with {what}", 5, 4)


EXPERIMENTS = dict([*homographies(), *splines()])
