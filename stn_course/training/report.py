"""Measuring a trained run: counts, confusion matrix, galleries, the learning chart."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stn_course.analysis import gallery
from stn_course.analysis.accuracy import evaluate
from stn_course.analysis.predictions import Predictions, predict
from stn_course.data.own import words_of
from stn_course.extras import needs
from stn_course.files import only_writer, write_atomically
from stn_course.training.checkpoints import (
    kept_checkpoints,
)
from stn_course.training.config import CLEAN
from stn_course.training.datasets import test_set, training_set
from stn_course.training.run_folder import chosen_device, counts, network_of, read_config
from stn_course.training.tensorboard import show_learning


def measure_run(
    folder: Path,
    split: str = "test",
    checkpoint: Path | None = None,
    images: bool = False,
    limit: int | None = None,
    device: str | None = None,
    into: Path | None = None,
) -> Iterator[str]:
    """Measure a run on its `tests`; each set's files go to `into`/<split>-<set>/.

    `into` is the run's folder unless another is named; those of a `checkpoint` of its own
    have its name behind the set's.

    They are confusion.csv and .png (rows are the truth), by_class.png and the gallery
    index.html; with `images` a PNG of every input and output too. Yields lines to print.
    Raises FileNotFoundError or ValueError for a wrong path, checkpoint or device.
    """
    with needs("course"):  # before the work
        from stn_course.analysis import run_plots  # noqa: F401

    config, _ = read_config(folder)
    limit = limit or config.limit_measured
    where = chosen_device(device)
    model, epoch = network_of(config, checkpoint or folder, where)
    if config.patience and checkpoint is None:
        yield f"checkpoint: the best of {epoch} epochs"
    elif epoch < config.epochs:
        yield f"checkpoint: {epoch} of {config.epochs} epochs are complete"
    of = f"-{Path(checkpoint).stem}" if checkpoint is not None else ""
    outs = {name: Path(into or folder) / f"{split}-{name}{of}" for name in config.tests}
    with only_writer(*outs.values()):
        for name, out in outs.items():
            held = test_set(split, name, where, config.shape)
            seen = predict(model, held.images[:limit], held.labels[:limit])
            result, page = _measured(
                seen, out, f"{Path(folder).name}: {split}/{name}", name, images
            )
            yield f"{split}/{name:<9} {counts(result)}   {page}"
    yield f"digits: {held.source}"


def _measured(seen: Predictions, out: Path, title: str, data: str, images: bool):
    """Write what was seen of the set `data` to the folder `out`; (counts, the gallery's page)."""
    with needs("course"):
        from stn_course.analysis import run_plots

    matrix = seen.confusion()
    names = words_of(np.arange(len(matrix)), data)
    write_atomically(out / "confusion.csv", confusion_csv(matrix, names).encode())
    run_plots.save(run_plots.confusion(matrix, title, names), out / "confusion.png")
    truth, read = seen.labels, seen.read
    result = {"correct": int(matrix.trace()), "total": int(matrix.sum())}
    result["loss"] = float(seen.losses.mean(dtype=float))
    if truth.ndim == 2:  # rows of digits: by their first, and read as none if any is wrong
        whole = (truth == read).all(1)
        result |= {"words": int(whole.sum()), "rows": len(whole)}
        truth, read = truth[:, 0], np.where(whole, truth[:, 0], -1)
    digits = run_plots.by_class(seen.inputs, seen.outputs, truth, read, names=names)
    run_plots.save(digits, out / "by_class.png")
    page = gallery.write(out, seen, title, data)
    if images:
        gallery.write_images(out, seen)
    return result, page


def all_checkpoints(
    folder: Path,
    limit: int | None = None,
    device: str | None = None,
    also_test: bool = False,
    into: Path | None = None,
) -> Iterator[str]:
    """Measure every kept checkpoint on train and valid; draw learning.png beside learning.csv.

    With `also_test` on test as well: nothing may be chosen by what it says. The same curves go to
    tensorboard/checkpoints, against the epoch, where that package is installed.

    Training images are those trained on where they are frozen, else a drawing of their own.
    Validation is left out where it was trained on. Raises LookupError where none was kept.
    """
    with needs("course"):
        from stn_course.analysis import run_plots

    config, seed = read_config(folder)
    limit = limit or config.limit_measured
    paths, where = kept_checkpoints(folder), chosen_device(device)
    if not paths:
        raise LookupError(f"{folder} holds no epoch_*.pt; train with --keep-every N to keep some")
    if config.frozen:
        sets = {"train": training_set(config, seed, where)[:2]}
    else:
        held = test_set("train", config.distort or CLEAN, where)
        sets = {"train": (held.images[: config.limit], held.labels[: config.limit])}
    if "valid" not in config.train_on:
        held = test_set("valid", config.distort or CLEAN, where)
        sets["valid"] = (held.images, held.labels)
    else:
        yield "validation digits were trained on: left out"
    if also_test:
        held = test_set("test", config.distort or CLEAN, where)
        sets["test"] = (held.images, held.labels)
    rows, out = [], Path(into or folder)
    with only_writer(file=out / "learning.csv"):
        for path in paths:
            model, epoch = network_of(config, path, where)
            for split, (x, y) in sets.items():
                result = evaluate(model, x[:limit], y[:limit])
                rows.append({"epoch": epoch, "split": split} | result)
                yield f"epoch {epoch:>4}  {split:<6} {counts(result)}"
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        write_atomically(out / "learning.csv", ("\n".join(lines) + "\n").encode())
        run_plots.save(run_plots.learning_chart(rows), out / "learning.png")
        show_learning(rows, out / "tensorboard" / "checkpoints")
    yield str(out / "learning.png")


def confusion_csv(matrix, names: Sequence[str]) -> str:
    """Rows are the truth, columns what was read, by the classes' names."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["truth", *names])
    table.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
    return text.getvalue()
