"""The experiments of notebook 01, and those that XQ published."""

from collections.abc import Iterator
from dataclasses import replace

from stn_course.experiments.experiment import Experiment, robustness_on_test
from stn_course.training.config import Config


def published_by_xq() -> Iterator[tuple[str, Experiment]]:
    # Their budget: 5 epochs of Adam 1e-3, batch 32, on all 60 000 digits, nothing selected.
    base = Config(train_on="train+valid", batch_size=32, epochs=5, precision="float32")
    tests = ("clean", "hard", "mild")
    for model, minutes in (("fc", 1.0), ("cnn", 2.0)):
        clean = replace(base, model=model, tests=tests)
        yield (
            f"xq-{model}-clean",
            Experiment(clean, "as published, trained on clean digits", minutes=minutes / 2),
        )
        for recipe in ("hard", "mild"):
            # The CNN beside the MILD numbers is the blog's, the one beside HARD the script's.
            net = "cnn-blog" if (model, recipe) == ("cnn", "mild") else model
            mixed = replace(clean, model=net, distort=recipe, frozen=True, with_clean=True)
            about = f"as published, trained on 60 000 {recipe} + 60 000 clean digits"
            yield f"xq-{model}-{recipe}", Experiment(mixed, about, minutes=minutes)
    # With a transformer: the script's in front of the FC net, the notebook's of the blog's CNN.
    clean = replace(base, model="stn-fc", tests=tests)
    yield "xq-stn-fc-clean", Experiment(clean, "XQ's FC net with its transformer, clean", minutes=2)
    for model, recipe in (("stn-fc", "hard"), ("stn-cnn", "mild")):
        mixed = replace(
            base, model=model, tests=tests, distort=recipe, frozen=True, with_clean=True
        )
        about = f"as published, trained on 60 000 {recipe} + 60 000 clean digits"
        yield f"xq-{model}-{recipe}", Experiment(mixed, about, minutes=5.0)


def invariance() -> Iterator[tuple[str, Experiment]]:
    base = Config(batch_size=128, epochs=5, schedule="onecycle", lr=4e-3)

    def named(name: str, about: str, minutes: float, seeds: int = 5, **changes):
        config = replace(base, **changes)
        return f"invariance-{name}", Experiment(config, about, seeds, minutes, robustness_on_test)

    yield named("fc", "notebook 01: the fully connected baseline", 0.4, model="fc")
    yield named("cnn", "notebook 01: the CNN", 0.8)
    yield named(
        "cnn-subsample",
        "notebook 01: the CNN with every second pixel kept instead of max pooling",
        0.8,
        options={"pool": "subsample"},
    )
    yield named(
        "cnn-pose",
        "notebook 01: the CNN on freshly turned, zoomed and shifted digits",
        2.0,
        distort="pose",
        epochs=15,
        tests=("clean", "pose"),
    )
    for width in (16, 512):
        changes = {"model": "fc", "options": {"width": width}}
        yield named(f"fc-{width}", f"notebook 01: the FC net, {width} units", 0.4, 3, **changes)
    for width in (0.25, 2.0):
        changes = {"options": {"width": width}}
        yield named(f"cnn-x{width:g}", f"notebook 01: the CNN, {width:g} x wide", 1.0, 3, **changes)


def page() -> Iterator[tuple[str, Experiment]]:
    # The four networks that read what is drawn on the book's first page. One seed and the weights
    # of the last epoch: nothing is selected. In float32, so that no processor's bfloat16 is in it;
    # five epochs each, which one core makes in a few minutes. The last two see the same digits.
    base = Config(batch_size=128, epochs=5, schedule="onecycle", lr=4e-3, precision="float32")
    turned = replace(base, distort="pose", tests=("clean", "pose"))
    before = {"classifier": "cnn"}  # the same CNN behind a transformer
    for name, config, about in (
        ("fc", replace(base, model="fc"), "the fully connected network"),
        ("cnn", base, "the CNN"),
        ("cnn-pose", turned, "the CNN on freshly turned, zoomed and shifted digits"),
        (
            "stn",
            replace(turned, model="stn", options=before, pose_weight=1.0),
            "a transformer before the CNN, on the same digits, the pose in its loss",
        ),
    ):
        about = f"the book's first page: {about}"
        yield f"page-{name}", Experiment(config, about, 1, 3.0, robustness_on_test)


EXPERIMENTS = dict([*published_by_xq(), *invariance(), *page()])
