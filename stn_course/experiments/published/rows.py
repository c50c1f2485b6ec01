"""All rows of the scoreboard, and where each published number stands in its source."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from stn_course.experiments.published.terms import RANDOM, Terms, learned_on, without

# Four kinds of row, never mixed: their network, data and budget, in torch or in Keras; their
# network and data at a budget for CPUs; and anything goes.
AS_PUBLISHED, CPU_BUDGET, OURS = "as published", "CPU budget", "ours"
IN_KERAS = "as published, in Keras"


@dataclass(frozen=True)
class Row:
    """One number of one published system, and the experiment that answers it (if any)."""

    row: str
    task: str
    variant: str
    published: str  # accuracy in percent unless it says otherwise
    experiment: str | None = None
    which: str = "test/clean"
    kind: str = AS_PUBLISHED  # or whose network and recipe else
    target: str = ""  # what ours is meant to reach
    theirs: Terms | None = None  # of the published number; None where there is none


_HARD = "hard distortion, distorted test"
_MILD = "mild distortion, distorted test"
_CLEAN, _CLEAN_HARD = (f"clean test, trained on the {name} mixture" for name in ("mild", "hard"))
_ANEW = "CNN + STN, epochs chosen on validation, other seeds"
_SEQ = "three digits in clutter 100x100, per digit"
_ALONE_OR_FRESH = (("", ""), (", fresh sequences", "-fresh"))  # the set alone, or new rows
_ROWS, _DOWN = "test/sequences", "sequences against downsampling"
_S1 = {"": "at least 98.3", "-fresh": "at least 98.8"}
_TABLE1 = {  # error in percent: R, RTS, P, E (STN paper, table 1)
    "FCN": ("2.1", "5.2", "3.1", "3.2"),
    "CNN": ("1.2", ".8", "1.5", "1.4"),
    "ST-FCN affine": ("1.2", ".8", "1.5", "2.7"),
    "ST-FCN projective": ("1.3", ".9", "1.4", "2.6"),
    "ST-FCN thin-plate": ("1.1", ".8", "1.4", "2.4"),
    "ST-CNN affine": (".7", ".5", ".8", "1.2"),
    "ST-CNN projective": (".8", ".6", ".8", "1.3"),
    "ST-CNN thin-plate": (".7", ".5", ".8", "1.1"),
}
_SE_RUNS = ("98.70", "98.84", "98.55", "98.54", "98.86", "99.06", "98.84")
_PROJECTIVE = {
    "none": "no transformer",
    "affine": "affine",
    "homography": "homography, eight numbers",
    "corners": "homography, four corners",
    "se-01": "SE's plan: homography before the tutorial net",
    "se-05": "SE's plan: and a CoordConv classifier",
    "se-06": "SE's plan: and a CoordConv localiser",
    "se-07": "SE's plan: and CoordConv in both",
}
_CLEVR = {  # of classification
    ("conv", "uniform"): "at most 86",
    ("conv", "quadrant"): "0",
    ("coordconv", "uniform"): "100",
    ("coordconv", "quadrant"): "100",
}

_CLUTTER, _C40 = "cluttered 40x40, 1 000 test", ("test/cluttered", "at 40x40")
_CLUTTER_28, _C28 = "cluttered, shrunk to 28x28, 1 000 test", "test/cluttered-28"
_HR = "padded and distorted 40x40"
_TC = "translated and cluttered 60x60"
_SHORT = {  # of the experiments' names
    "FCN": "fcn",
    "CNN": "cnn",
    **{
        f"ST-{net} {kind}": f"st-{net.lower()}-{short}"
        for net in ("FCN", "CNN")
        for kind, short in (("affine", "aff"), ("projective", "proj"), ("thin-plate", "tps"))
    },
}


# ---------------------------------------------------------------- where the numbers stand
_LJ = Terms(split="validation", runs="one run", where="README, Final Result")
_SK = Terms(runs="one run", where="arXiv 1509.05329, results")
_README = Terms(runs="one run", where="README, table (there called validation)")
_BLOG = Terms(runs="one run", where="its blog post (not found again)")
_NOTEBOOK = Terms(runs="one run", where="spatial_transformer.ipynb, evaluate")
_FOUND = Terms(
    start="start not stated",
    after="the highest of its last five epochs",
    runs="one run",
    where="AlexHex7/Spatial-Transformer-Networks_pytorch, README",
)
_HR_ROW = Terms(start=RANDOM, runs="one run", where="data_20190702/confusion_matrix.csv")
_HY = Terms(after="mean over batches", runs="one run", where="README, Results")
_BARS = Terms(runs="one run", where="README, read off the bar chart at its end")
_PAPER = Terms(runs="mean of 3 runs", where="arXiv 1506.02025, table 1")
_BEST = "the best of affine, projective, thin-plate"
_TC_TEXT = Terms(
    transformer="kind not stated", runs="mean of 3 runs", where="arXiv 1506.02025, section 4.1"
)
_SUMS = Terms(runs="runs not stated", where="arXiv 1506.02025, table 4 (appendix A.1)")
_TWO = replace(_SUMS, transformer="2 x affine")
_PLACES = Terms(
    transformer="zoom and shift",
    start="start not stated",
    after="as found",
    runs="of ten classes",
    where="arXiv 1506.02025, table 5 (appendix A.2)",
)
_SQUARES = without(Terms(after="the best of a search", where="arXiv 1807.03247, classification"))


def _by_name(terms: Terms, variant: str) -> Terms:
    """`terms` of a network whose name tells whether it has a transformer."""
    return terms if "STN" in variant or "SPN" in variant else without(terms)


def _ours(row, task, variant, published, experiment, test, target="", theirs=None) -> Row:
    which = f"test/{test}"
    return Row(row, task, variant, published, experiment, which, OURS, target, theirs)


def _xq(row, task, variant, published, experiment, test, source=_README) -> tuple[Row, Row]:
    """A number of XQ's, in torch and in Keras."""
    theirs = None if published == "none" else _by_name(source, variant)
    there = _keras(row, task, variant, published, experiment, test, theirs)
    which = f"test/{test}"
    here = Row(row, task, variant, published, f"xq-{experiment}", which, theirs=theirs)
    return here, there


def _xq_clutter() -> Iterator[Row]:
    """XQ's numbers on clutter: shrunk to 28x28 as it has them, and on the images as they are."""
    hard, mild = (learned_on(name) for name in ("hard", "mild"))
    found = {  # network: experiment's short name, published, its terms
        "FC": ("fc", "75.20", without(_README)),  # its notebook's losses are of one begun anew
        "CNN (script)": ("cnn", "none", None),
        "FC + STN": ("stn-fc", "91.40", replace(_README, start=hard)),
        "CNN + STN": ("stn-cnn", "97.10", replace(_NOTEBOOK, start=mild)),
    }
    for net, (short, published, theirs) in found.items():
        variant, name = f"{net} (XQ, at 28x28)", f"xq-{short}-cluttered"
        yield Row("S7", _CLUTTER, variant, published, name, *_C40, theirs=theirs)
    alone = {"FC, trained on clean digits": ("xq-fc-clean-28", "17.50", without(_README))}
    alone |= {
        net: (f"xq-{short}-cluttered-28", published, theirs)
        for net, (short, published, theirs) in found.items()
        if "script" not in net
    }
    read_before = replace(without(_NOTEBOOK), start=mild)
    alone["CNN (notebook)"] = "xq-cnn-cluttered-28", "93.30", read_before
    for net, (name, published, theirs) in alone.items():
        yield Row("S7", _CLUTTER_28, net, published, name, _C28, theirs=theirs)
    asked = "FC, from the hard mixture", "none", "xq-fc-cluttered-28-hard"
    yield _ours("S7", _CLUTTER_28, *asked, "cluttered-28")


def _notebook(row, task, variant, published, experiment, test) -> Row:
    """A number that XQ's notebook prints."""
    theirs = _by_name(_NOTEBOOK, variant)
    return Row(row, task, variant, published, experiment, f"test/{test}", theirs=theirs)


def _of_table_1(net: str) -> Terms:
    """The terms of a network of the STN paper's table 1, by its name there."""
    name, _, kind = net.partition(" ")
    return replace(_PAPER, transformer=kind) if "ST-" in name else without(_PAPER)


def _keras(row, task, variant, published, experiment, test, theirs) -> Row:
    which = f"test/{test}"
    return Row(row, task, variant, published, f"keras-{experiment}", which, IN_KERAS, theirs=theirs)


_SE = "https://github.com/spatial-transformer-experiments/spatial-transformer-experiments"
# Who published each row's numbers, under the short names that this course uses.
SOURCES = {
    "S1": "[LJ](https://github.com/LevinJ/cluttered_mnist_sequence)",
    "S2": "[SK](https://github.com/skaae/recurrent-spatial-transformer-code)",
    "S3": "[LJ](https://github.com/LevinJ/cluttered_mnist_sequence)",
    "S4": "[XQ](https://github.com/xeonqq/spatial_transformer_network)",
    "S5": "[XQ](https://github.com/xeonqq/spatial_transformer_network)",
    "S6": "[XQ](https://github.com/xeonqq/spatial_transformer_network)",
    "S7": "[XQ](https://github.com/xeonqq/spatial_transformer_network) and others",
    "S8": "[HR](https://github.com/hrichii/spatial_transformer_net)",
    "S9": "[HY](https://github.com/hanyoseob/pytorch-STN)",
    "S10": f"[SE]({_SE})",
    "S11": f"[SE]({_SE})",
    "S12": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S13": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S14": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S15": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S16": "[CoordConv paper](https://arxiv.org/abs/1807.03247)",
}

ROWS: tuple[Row, ...] = (
    Row("S1", _SEQ, "FFN-SPN", "98.26", "lj-ffn", _ROWS, theirs=_LJ),
    _keras("S1", _SEQ, "FFN-SPN", "98.26", "lj-ffn", "sequences", _LJ),
    *(  # the targets ask for any reader of ours with at most a million parameters
        _ours("S1", _SEQ, net + more, "98.26", f"seq-{short}{end}", "sequences", _S1[end], _LJ)
        for net, short in (("FFN-SPN", "ffn"), ("RNN-SPN from strips", "rnn"))
        for more, end in _ALONE_OR_FRESH
    ),
    Row("S2", _SEQ, "FFN-SPN", "2.0 % error", "sk-ffn", _ROWS, theirs=_SK),
    Row("S2", _SEQ, "RNN-SPN", "1.5 % error", "sk-rnn", _ROWS, theirs=_SK),
    *(
        _ours(
            "S2",
            _SEQ,
            net + more,
            f"{error} % error",
            f"seq-{short}{end}",
            "sequences",
            target,
            _by_name(_SK, net),
        )
        for net, error, short, target in (
            ("CNN", "2.9", "cnn", ""),
            ("FFN-SPN", "2.0", "ffn", ""),
            ("RNN-SPN from strips", "1.5", "rnn", "at most 1.0"),
        )
        for more, end in _ALONE_OR_FRESH
    ),
    _ours(
        "S2",
        _SEQ,
        "RNN-SPN from the whole picture, fresh sequences",
        "1.5 % error",
        "seq-rnn-order",
        "sequences",
        theirs=_SK,
    ),
    *(
        _ours("S3", _DOWN, what, "none", f"seq-{name}", "sequences")
        for what, name in (
            *((f"d = {d}", f"down-{d}") for d in (1, 2, 3, 4)),
            *((f"output height 1/{d}", f"strip{e}") for d, e in ((2, "-2"), (3, "-3"), (4, ""))),
        )
    ),
    *_xq("S4", _HARD, "FC, trained on clean digits", "51.80", "fc-clean", "hard"),
    *_xq("S4", _HARD, "FC", "75.69", "fc-hard", "hard"),
    *_xq("S4", _HARD, "CNN (script)", "88", "cnn-hard", "hard", _BLOG),
    *_xq("S4", _HARD, "FC + STN", "89.28", "stn-fc-hard", "hard"),
    _ours("S4", _HARD, "FC + STN", "89.28", "hard-fc-stn", "hard", "at least 94", _README),
    _ours("S4", _HARD, "CNN + STN", "none", "hard-stn", "hard", "at least 98.5"),
    *_xq("S5", _MILD, "FC", "83.88", "fc-mild", "mild"),
    _notebook("S5", _MILD, "CNN (notebook)", "94.34 (blog: 93.67)", "xq-cnn-mild", "mild"),
    _notebook("S5", _MILD, "CNN (notebook) + STN", "96.46", "xq-stn-cnn-mild", "mild"),
    _ours("S5", _MILD, "CNN + STN", "96.46", "mild-stn", "mild", "at least 99.4", _NOTEBOOK),
    _ours("S5", _MILD, _ANEW, "96.46", "mild-stn-anew", "mild", "at least 99.4", _NOTEBOOK),
    *_xq("S6", "clean test, trained on clean digits", "FC", "97.83", "fc-clean", "clean"),
    *_xq("S6", "clean test, trained on clean digits", "CNN (script)", "none", "cnn-clean", "clean"),
    *_xq("S6", "clean test, trained on clean digits", "FC + STN", "none", "stn-fc-clean", "clean"),
    *_xq("S6", _CLEAN_HARD, "FC", "97.67", "fc-hard", "clean"),
    *_xq("S6", _CLEAN_HARD, "FC + STN", "98.67", "stn-fc-hard", "clean"),
    _notebook("S6", _CLEAN, "CNN (notebook)", "98.74 (blog: 98.72)", "xq-cnn-mild", "clean"),
    _notebook("S6", _CLEAN, "CNN (notebook) + STN", "98.89", "xq-stn-cnn-mild", "clean"),
    _ours("S6", _CLEAN, "CNN + STN", "98.89", "mild-stn", "clean", "at least 99.5", _NOTEBOOK),
    _ours("S6", _CLEAN, _ANEW, "98.89", "mild-stn-anew", "clean", "at least 99.5", _NOTEBOOK),
    *_xq_clutter(),
    _ours(
        "S7",
        _CLUTTER,
        "CNN, its 10 000 images",
        "92",
        "cluttered-cnn",
        "cluttered",
        theirs=without(_FOUND),
    ),
    _ours(
        "S7",
        _CLUTTER,
        "STN, its 10 000 images",
        "97.62",
        "cluttered-stn",
        "cluttered",
        "at least 98.5",
        _FOUND,
    ),
    _ours(
        "S7",
        _CLUTTER,
        "STN, fresh clutter",
        "97.62",
        "cluttered-stn-fresh",
        "cluttered",
        theirs=_FOUND,
    ),
    *(
        row
        for end, what in (("source", "STN"), ("published", "STN, unpadded convolutions"))
        for row in (
            Row("S8", _HR, what, "97.06", f"hr-{end}", "test/hr", theirs=_HR_ROW),
            _keras(
                "S8", _HR, what, "97.06", "hr-source" if end == "source" else "hr", "hr", _HR_ROW
            ),
        )
    ),
    _ours("S8", _HR, "from the identity", "97.06", "hr-stn", "hr", theirs=_HR_ROW),
    _ours("S8", _HR, "upright and centred", "97.06", "hr-upright", "hr", "at least 99.3", _HR_ROW),
    *(
        Row("S9", "plain MNIST", f"{what} STN{start}", published, f"hy-{name}{end}", theirs=theirs)
        for what, name, published, theirs in (
            ("with", "stn", "98.8654 % (loss .0350)", _HY),
            ("without", "cnn", "98.5868 % (loss .0457)", without(_HY)),
        )
        for start, end in (("", "-source"), (", torch's start", ""))
    ),
    _ours("S9", "plain MNIST", "CNN + STN", "98.8654", "clean-stn", "clean", "at least 99.6", _HY),
    Row("S10", "plain MNIST, seven runs", "run 01", _SE_RUNS[0], "se-01", theirs=_BARS),
    Row("S10", "plain MNIST, seven runs", "run 02", _SE_RUNS[1], "se-02", theirs=_BARS),
    *(
        Row(
            "S10",
            "plain MNIST, seven runs",
            f"run {i:02d}{variant}",
            published,
            f"se-{i:02d}{suffix}",
            "test/clean",
            kind,
            theirs=without(_BARS) if i in (3, 4) else _BARS,
        )
        for suffix, variant, kind in (
            ("-source", "", AS_PUBLISHED),
            ("", ", 20 epochs (theirs: 30)", AS_PUBLISHED),
            ("-well", ", trained well", OURS),
        )
        for i, published in enumerate(_SE_RUNS, 1)
        if i > 2 or suffix == "-well"
    ),
    *(
        _ours("S10", "RTS, seven runs", f"run {i:02d}{variant}", "none", f"se-{i:02d}{end}", "rts")
        for end, variant in (("-rts", ", SE's recipe"), ("-well-rts", ", trained well"))
        for i in range(1, 8)
    ),
    *(
        _ours("S11", "homography on projective digits", variant, "none", f"proj-{name}", "p")
        for name, variant in _PROJECTIVE.items()
    ),
    *(
        Row(
            "S12",
            f"STN paper, {kind}",
            net,
            f"{cells[k]} % error",
            f"paper-{_SHORT[net]}-{kind.lower()}",
            f"test/{kind.lower()}",
            CPU_BUDGET,
            theirs=_of_table_1(net),
        )
        for net, cells in _TABLE1.items()
        for k, kind in enumerate(("R", "RTS", "P", "E"))
    ),
    *(
        _ours(
            "S12",
            f"STN paper, {kind}",
            "CNN + STN",
            f"{best} % error",
            f"ours-{k}",
            k,
            target,
            replace(_PAPER, transformer=_BEST),
        )
        for kind, k, best, target in (
            ("R", "r", ".7 (later .61)", "at most .55"),
            ("RTS", "rts", ".5 (later .54)", "at most .45"),
            ("P", "p", ".8", "at most .7"),
            ("E", "e", "1.1", "at most .9"),
        )
    ),
    *(
        _ours(
            "S12",
            "STN paper, E",
            f"CNN, {what}",
            f"{best} % error",
            f"elastic-{what}",
            "e",
            theirs=_of_table_1(paper),
        )
        for what, best, paper in (
            ("none", "1.4", "CNN"),
            ("affine", "1.2", "ST-CNN affine"),
            ("tps", "1.1", "ST-CNN thin-plate"),
        )
    ),
    *(
        Row(
            "S13",
            _TC,
            net,
            f"{error} % error",
            f"paper-{net.lower()}-tc",
            "test/tc",
            CPU_BUDGET,
            theirs=_TC_TEXT if "ST-" in net else without(_TC_TEXT),
        )
        for net, error in (("FCN", "13.2"), ("CNN", "3.5"), ("ST-FCN", "2.0"), ("ST-CNN", "1.7"))
    ),
    _ours("S13", _TC, "CNN + STN", "1.7 % error", "ours-tc", "tc", "at most 1.2", _TC_TEXT),
    *(
        Row(
            "S14",
            "MNIST addition",
            net,
            f"{error} % error",
            f"paper-{name}-addition",
            "test/addition",
            CPU_BUDGET,
            theirs=theirs,
        )
        for net, name, error, theirs in (
            ("FCN", "fcn", "47.7", without(_SUMS)),
            ("CNN", "cnn", "14.7", without(_SUMS)),
            ("ST-FCN affine", "st-fcn", "22.6 (best of three kinds: 18.5)", _SUMS),
            ("2ST-FCN affine", "2st-fcn", "9.0 (best of three kinds: 5.8)", _TWO),
        )
    ),
    _ours(
        "S14",
        "MNIST addition",
        "two transformers, affine",
        "9.0 (best of three kinds: 5.8; again, affine: 8.8) % error",
        "ours-addition",
        "addition",
        "at most 4",
        _TWO,
    ),
    *(
        _ours(
            "S15",
            f"co-localisation, {name}",
            "IoU > .5, after centring",
            published,
            f"coloc-{name}",
            name,
            target,
            theirs,
        )
        for name, published, target, theirs in (
            ("translated", "100", "100", replace(_PLACES, runs="each of ten classes")),
            ("cluttered", "75-93", "at least 95", replace(_PLACES, runs="ten classes, a range")),
        )
    ),
    *(
        _ours(
            "S16",
            f"Not-so-Clevr, {split} split",
            f"{task}, {network}",
            published,
            f"clevr-{task}-{network}-{split}",
            split,
            theirs=None if published == "none" else _SQUARES,
        )
        for (network, split), answer in _CLEVR.items()
        for task, published in (
            ("classification", answer),
            ("rendering", "none"),
            ("regression", "none"),
        )
    ),
)
