"""The experiments of notebook 03: HY's, HR's, XQ's and the STN paper's tables, and ours."""

from collections.abc import Iterator
from dataclasses import replace

from stn_course.analysis.pose import pose_probe
from stn_course.experiments.experiment import AS_ITS_SOURCE, Experiment
from stn_course.training.config import Config

# This course's recipe for its own small net: distortions drawn afresh at every visit.
OURS = Config(
    model="stn-small",
    options={"width": 1.5},
    batch_size=128,
    lr=4e-3,
    schedule="onecycle",
    epochs=40,
)


def hy() -> Iterator[tuple[str, Experiment]]:
    # Adam 1e-3 for both parts, batch 64, 10 epochs, inputs in [-1, 1], grey outside.
    base = Config(train_on="train+valid", epochs=10, precision="float32")
    grey = {"normalise": [0.5, 0.5], "padding": "zeros"}
    stn = replace(base, model="tutorial", options=grey)
    cnn = replace(base, model="tutorial-cnn", options={"normalise": [0.5, 0.5]})
    yield "hy-stn", Experiment(stn, "the tutorial net on clean digits, torch's start", minutes=1.5)
    yield "hy-cnn", Experiment(cnn, "the same without its transformer", minutes=0.8)
    # Their classifier starts from N(0, .02), their transformer as torch has it.
    for name, config, what in (("stn", stn, "with"), ("cnn", cnn, "without")):
        narrow = replace(
            config, model="tutorial-narrow" if name == "stn" else "tutorial-cnn-narrow"
        )
        about = f"as published: the tutorial net {what} its transformer, a narrow start"
        yield f"hy-{name}-source", Experiment(narrow, about, minutes=1.5)
    # Chosen on validation; then all 60 000 are learned from, as HY does.
    ours = replace(OURS, distort="gentle", tests=("clean",), options={}, epochs=24)
    ours = replace(ours, train_on="train+valid")
    yield "clean-stn", Experiment(ours, "ours on clean digits, gently distorted afresh", minutes=5)


def hr() -> Iterator[tuple[str, Experiment]]:
    published = Config(
        model="hr", distort="hr", frozen=True, tests=("hr",), epochs=20, batch_size=500
    )
    # Not taken over: 55 000 digits in the order of the file (here 50 000, shuffled).
    about = "tanh on theta and no identity start, unpadded convolutions"
    yield "hr-published", Experiment(published, about, minutes=5, probe=pose_probe("hr"))
    source = replace(published, model="hr-padded", precision="float32")
    about = "as published: tanh on theta and no identity start"
    yield "hr-source", Experiment(source, about, minutes=7, probe=pose_probe("hr"))
    ours = replace(OURS, distort="hr", tests=("hr",), epochs=20)
    yield (
        "hr-stn",
        Experiment(ours, "ours, from the identity", 3, minutes=6, probe=pose_probe("hr")),
    )
    about = "ours, and the pose is part of the loss: upright and centred"
    upright = replace(ours, pose_weight=1.0)
    yield "hr-upright", Experiment(upright, about, minutes=6, probe=pose_probe("hr"))


def xq() -> Iterator[tuple[str, Experiment]]:
    hard = replace(OURS, distort="hard", tests=("clean", "hard"), epochs=30)
    fc = replace(hard, model="stn", options={"classifier": "fc"}, lr=2e-3)
    yield "hard-fc-stn", Experiment(fc, "ours: a transformer before XQ's FC net", 3, 3)
    # Chosen on validation; then all 60 000 are learned from, as XQ does.
    hard = replace(hard, train_on="train+valid")
    yield "hard-stn", Experiment(hard, "ours on the hard mixture", 3, 9)
    mild = replace(hard, distort="mild", tests=("clean", "mild"), epochs=60)
    mild = replace(mild, options={"width": 2.0})
    yield "mild-stn", Experiment(mild, "ours on the mild mixture", 5, 28)
    yield from mild_anew(mild)
    base = Config(distort="cluttered", frozen=True, tests=("cluttered",), batch_size=32, epochs=20)
    for name, model in (("fc", "fc"), ("cnn", "cnn"), ("stn-fc", "stn-fc"), ("stn-cnn", "stn-cnn")):
        config = replace(base, model=model, precision="float32")
        about = "XQ's network on the published 40x40 clutter, from scratch, 20 epochs"
        yield f"xq-{name}-cluttered", Experiment(config, about, 3, 2)
    yield from xq_shrunk(base)
    ours = replace(OURS, distort="cluttered", tests=("cluttered",))
    alone = replace(ours, frozen=True, augment="gentle", epochs=60, batch_size=64, lr=2e-3)
    yield "cluttered-stn", Experiment(alone, "ours, the published 10 000 images alone", 3, 5)
    yield "cluttered-stn-fresh", Experiment(ours, "ours, fresh clutter", 3, 8)
    cnn = replace(alone, model="small")
    yield "cluttered-cnn", Experiment(cnn, "ours without a transformer, its images alone", 3, 4)


def xq_shrunk(base: Config) -> Iterator[tuple[str, Experiment]]:
    # As published: shrunk to 28x28, and by networks that had read a mixture before, except for its
    # FC net: the losses that the notebook prints (1.95, then 1.24) are of one that begins anew.
    # The epochs are the notebook's. Not taken over: Keras' second `fit` goes on with its Adam.
    small = replace(base, distort="cluttered-28", tests=("cluttered-28",), precision="float32")
    for name, model, first, epochs, minutes in (
        ("fc-cluttered-28", "fc", "", 5, 0.1),
        ("fc-cluttered-28-hard", "fc", "xq-fc-hard", 5, 1.1),
        ("stn-fc-cluttered-28", "stn-fc", "xq-stn-fc-hard", 5, 5.3),
        ("cnn-cluttered-28", "cnn-blog", "xq-cnn-mild", 6, 2.2),
        ("stn-cnn-cluttered-28", "stn-cnn", "xq-stn-cnn-mild", 6, 5.5),
    ):
        about = f"XQ's clutter, shrunk to 28x28, from {first or 'nothing'}"
        config = replace(small, model=model, epochs=epochs)
        told = {"minutes": minutes, "chosen": AS_ITS_SOURCE, "start_from": first}
        yield f"xq-{name}", Experiment(config, about, **told)
    clean = Config(
        model="fc",
        train_on="train+valid",
        batch_size=32,
        epochs=5,
        precision="float32",
        tests=("clean", "cluttered-28"),
    )
    about = "as published, trained on clean digits alone; 28x28 clutter"
    yield "xq-fc-clean-28", Experiment(clean, about, minutes=0.6, chosen=AS_ITS_SOURCE)


MILD_EPOCHS = 60  # what `runner.check_choice` holds to the records of the choice


def mild_anew(mild: Config) -> Iterator[tuple[str, Experiment]]:
    # The epochs of mild-stn were doubled after its test result. Here they are chosen on
    # validation digits alone, and other seeds are tested.
    among = []
    for epochs, minutes in ((30, 12), (60, 24)):
        config = replace(mild, epochs=epochs, train_on="train", tests=())
        among.append(f"mild-choice-{epochs}")
        about = f"validation alone: {epochs} epochs for mild-stn?"
        how = "one of those that are compared"
        yield among[-1], Experiment(config, about, 3, minutes, first_seed=100, chosen=how)
    config = replace(mild, epochs=MILD_EPOCHS)
    about = "ours on the mild mixture, its epochs chosen on validation, other seeds"
    how = f"best mean validation accuracy of {' and '.join(among)}"
    anew = Experiment(config, about, 5, 28, first_seed=10, chosen=how, among=tuple(among))
    yield "mild-stn-anew", anew


KINDS = ("r", "rts", "p", "e")
TRANSFORMS = {"aff": "affine", "proj": "homography", "tps": "tps"}


def stn_paper() -> Iterator[tuple[str, Experiment]]:
    # The paper's networks and sets, at a budget for CPUs: 10 epochs of fresh distortion with
    # Adam instead of 640 epochs of SGD.  Batch 256 as there.
    base = Config(batch_size=256, epochs=10, lr=2e-3, schedule="onecycle")
    for kind in KINDS:
        # "2x average pooling after the transformer" for RTS and TC; below for addition, too,
        # whose digits are RTS: our reading.
        pool = {"pool": True} if kind == "rts" else {}
        on = replace(base, distort=kind, tests=(kind,))
        about = f"the STN paper's net on {kind.upper()}, CPU budget"
        for net in ("fcn", "cnn"):
            yield f"paper-{net}-{kind}", Experiment(replace(on, model=f"paper-{net}"), about, 3, 4)
            for short, transform in TRANSFORMS.items():
                options = {"transform": transform, **pool}
                config = replace(on, model=f"paper-st-{net}", options=options, lr_localiser=5e-4)
                yield f"paper-st-{net}-{short}-{kind}", Experiment(config, about, 3, 6)
            if (net, kind) == ("cnn", "rts"):  # the same but for a transformer that stays put
                options = {"transform": "affine", **pool}
                fixed = replace(on, model="paper-st-cnn", options=options, lr_localiser=0.0)
                how = "the recipe of paper-st-cnn-aff-rts"
                about_it = f"{about}; its transformer stays the identity"
                yield "paper-st-cnn-fixed-rts", Experiment(fixed, about_it, 3, 6, chosen=how)
        ours = replace(OURS, distort=kind, tests=(kind,))
        yield f"ours-{kind}", Experiment(ours, f"ours on {kind.upper()}", 3, 8)
    for task, name, extra in (
        ("tc", "TC", {"pool": True}),
        ("addition", "addition", {"pool": True}),
    ):
        # Sums are learned late: after 10 epochs three of ten are right, with one or two.
        epochs = 10 if task == "tc" else 60
        on = replace(base, distort=task, tests=(task,), epochs=epochs)
        about = f"the STN paper's net on {name}, CPU budget"
        for net in ("fcn", "cnn"):
            yield f"paper-{net}-{task}", Experiment(replace(on, model=f"paper-{net}"), about, 3, 8)
        st_fcn = replace(on, model="paper-st-fcn", options=extra, lr_localiser=5e-4)
        yield f"paper-st-fcn-{task}", Experiment(st_fcn, about, 3, 6)
        if task == "tc":
            st_cnn = replace(st_fcn, model="paper-st-cnn")
            yield f"paper-st-cnn-{task}", Experiment(st_cnn, about, 3, 10)
        else:
            two = replace(st_fcn, options={"transformers": 2, **extra})
            yield f"paper-2st-fcn-{task}", Experiment(two, about, 3, 8)
    yield "ours-tc", Experiment(replace(OURS, distort="tc", tests=("tc",)), "ours on TC", 3, 10)
    two = replace(
        OURS, distort="addition", tests=("addition",), options=OURS.options | {"transformers": 2}
    )
    yield "ours-addition", Experiment(two, "ours: two transformers, two digits", 3, 20)


EXPERIMENTS = dict([*hy(), *hr(), *xq(), *stn_paper()])
