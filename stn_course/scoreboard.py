"""The scoreboard: published numbers beside ours, ours computed from run records alone."""

from dataclasses import dataclass
from pathlib import Path

from stn_course import records
from stn_course.tables import markdown

__all__ = ["NOT_YET", "ROWS", "SOURCES", "Row", "markdown", "mean_sd_text", "rows"]

NOT_YET = "not yet run"


@dataclass(frozen=True)
class Row:
    """One number of one published system, and the experiment that answers it (if any)."""

    row: str
    task: str
    variant: str
    published: str  # accuracy in percent unless it says otherwise
    experiment: str | None = None
    which: str = "test/clean"


_HARD = "hard distortion, distorted test"
_MILD = "mild distortion, distorted test"
_CLEAN = "trained on the mild mixture, clean test"
_SEQ = "three digits in clutter 100x100, per digit"
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
    "S10": "SE",
    "S11": "SE",
    "S12": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S13": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S14": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S15": "[STN paper](https://arxiv.org/abs/1506.02025)",
    "S16": "[CoordConv paper](https://arxiv.org/abs/1807.03247)",
}

ROWS: tuple[Row, ...] = (
    Row("S1", _SEQ, "FFN-SPN (published on validation)", "98.26"),
    Row("S2", _SEQ, "CNN", "2.9 % error"),
    Row("S2", _SEQ, "FFN-SPN", "2.0 % error"),
    Row("S2", _SEQ, "RNN-SPN", "1.5 % error"),
    Row("S3", "sequences against downsampling", "d = 1, 2, 3, 4; output height 1/4", "none"),
    Row("S4", _HARD, "FC", "75.69", "xq-fc-hard", "test/hard"),
    Row("S4", _HARD, "CNN (script)", "88", "xq-cnn-hard", "test/hard"),
    Row("S4", _HARD, "FC + STN", "89.28", "xq-stn-fc-hard", "test/hard"),
    Row("S5", _MILD, "FC", "83.88", "xq-fc-mild", "test/mild"),
    Row("S5", _MILD, "CNN (blog)", "94.34", "xq-cnn-mild", "test/mild"),
    Row("S5", _MILD, "CNN (blog) + STN", "96.46", "xq-stn-cnn-mild", "test/mild"),
    Row("S6", _CLEAN, "FC", "97.67", "xq-fc-mild", "test/clean"),
    Row("S6", _CLEAN, "CNN (blog)", "98.74", "xq-cnn-mild", "test/clean"),
    Row("S6", _CLEAN, "CNN (blog) + STN", "98.89", "xq-stn-cnn-mild", "test/clean"),
    Row("S7", "cluttered 40x40", "best found, STN", "97.62"),
    Row("S8", "padded and distorted 40x40", "STN", "97.06"),
    Row("S9", "plain MNIST", "with STN", "98.8654"),
    Row("S9", "plain MNIST", "without STN", "98.5868"),
    *(Row("S10", "plain MNIST, seven runs", f"run {i:02d}", p) for i, p in enumerate(_SE_RUNS, 1)),
    Row("S11", "homography on projective digits", "homography, affine, none", "none"),
    *(
        Row("S12", f"STN paper, {kind}", net, f"{cells[k]} % error")
        for net, cells in _TABLE1.items()
        for k, kind in enumerate(("R", "RTS", "P", "E"))
    ),
    *(
        Row("S13", "translated and cluttered 60x60", net, f"{error} % error")
        for net, error in (("FCN", "13.2"), ("CNN", "3.5"), ("ST-FCN", "2.0"), ("ST-CNN", "1.7"))
    ),
    *(
        Row("S14", "MNIST addition", net, f"{error} % error")
        for net, error in (
            ("FCN", "47.7"),
            ("CNN", "14.7"),
            ("ST-FCN", "18.5"),
            ("2xST-FCN", "5.8"),
        )
    ),
    Row("S15", "co-localisation, translated", "IoU > .5", "100"),
    Row("S15", "co-localisation, cluttered", "IoU > .5", "75-93"),
    Row("S16", "Not-so-Clevr, uniform split", "convolution", "at most 86"),
    Row("S16", "Not-so-Clevr, quadrant split", "convolution", "0"),
    Row("S16", "Not-so-Clevr, both splits", "CoordConv", "100"),
)


def rows(folder: Path | None = None) -> list[dict]:
    """The scoreboard as dicts: row, task, variant, source, published, ours, n, params and command.

    ``ours`` is ``mean ± sd %`` over n seeds, in the published number's own sense
    (accuracy, or error where that was published), or ``not yet run``.
    """
    table = []
    for row in ROWS:
        runs = records.load(row.experiment, folder) if row.experiment else []
        error = row.published.endswith("error")
        values = [100 - r.accuracy(row.which) if error else r.accuracy(row.which) for r in runs]
        table.append(
            {
                "row": row.row,
                "task": row.task,
                "variant": row.variant,
                "source": SOURCES[row.row],
                "published": row.published if error else _percent(row.published),
                "ours": mean_sd_text(values, " % error" if error else " %"),
                "n": len(runs),
                "params": f"{runs[0].parameters:,}".replace(",", " ") if runs else "-",
                "command": f"stn-course run {row.experiment}" if row.experiment else "-",
            }
        )
    return table


def _percent(published: str) -> str:
    return published if published == "none" else f"{published} %"


def mean_sd_text(values: list[float], unit: str = " %") -> str:
    """``97.12 ± 0.08 %``; one value alone has no ±, none at all is ``not yet run``."""
    if not values:
        return NOT_YET
    mean, sd, n = records.mean_sd(values)
    return f"{mean:.2f} ± {sd:.2f}{unit}" if n > 1 else f"{mean:.2f}{unit} (one seed)"
