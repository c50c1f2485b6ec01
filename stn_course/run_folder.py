"""A run's folder: what training leaves in it, and how it is read again."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stn_course import models, records
from stn_course.checkpoints import FILE, kept_checkpoints, refuse_another, save_weights
from stn_course.config import build
from stn_course.looks import look
from stn_course.sets import test_set
from stn_course.train import CLEAN, Config, Watch, fit

CONFIG = "config.json"
SHOWN = 8  # images of the validation set that TensorBoard shows


def train(
    config: Config,
    seed: int,
    folder: Path,
    *,
    name: str | None = None,
    device: str | None = None,
    resume: bool = False,
    log_every: int = 0,
    tensorboard: bool | None = False,
    **options,
) -> records.RunRecord:
    """Train into ``folder``: config.json, checkpoints, weights, record, history CSV and PNG.

    ``log_every`` steps a line goes to ``steps.csv``; with ``tensorboard`` scalars and images
    go to ``tensorboard/`` (None: where that package is installed; else a line on stderr says
    that there are none).  ``name`` is the record's experiment (default: the folder's name),
    ``options`` are `fit`'s.  Raises FileExistsError where there is a
    run already and ``resume`` is not asked for, ValueError for a device that is not here.
    """
    from stn_course import plots_run

    folder = Path(folder)
    if ((folder / FILE).exists() or kept_checkpoints(folder)) and not resume:
        raise FileExistsError(f"{folder} holds a run; add --resume to go on, or name another --out")
    called = name or folder.resolve().name
    if not re.fullmatch(records.NAME, called):
        given = f"name={name!r}" if name else f"folder {folder} names the run {called!r}"
        raise ValueError(f"{given}; wanted letters, digits, dots and dashes, as records have them")
    where = chosen_device(device)
    build(config)  # what it refuses is refused before anything is written
    watch = FolderWatch(folder, config, seed, where, log_every, tensorboard, name)
    try:
        model, record = fit(
            config,
            seed,
            name=called,
            folder=folder,
            resume=resume,
            device=where,
            watch=watch,
            **options,
        )
    finally:
        watch.close()
    save_weights(folder / "weights.safetensors", model)
    records.write_atomically(folder / "record.json", records.dumps(record).encode())
    records.write_atomically(folder / "history.csv", records.history_csv(record).encode())
    plots_run.save(plots_run.history(record.curves, folder.name), folder / "history.png")
    return record


def chosen_device(name: str | None = None) -> torch.device:
    """The device called ``name``; None: ``cuda`` if there is one, else ``cpu``.

    Raises ValueError for another name, and for a GPU that is not there.
    """
    if name is None:
        return models.device()
    kind, _, number = name.partition(":")
    known = name in ("cpu", "cuda") or (kind == "cuda" and number.isdecimal())
    if not known:
        raise ValueError(f"device={name!r} is unknown; wanted cpu, cuda, or cuda:1 and so on")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count() or "none"
        raise ValueError(f"device={name!r} was asked for and this machine has {count}; wanted cpu")
    return torch.device(name)


class FolderWatch(Watch):
    """Writes down how a run goes, in its folder; a resumed run goes on where it stopped."""

    def __init__(
        self,
        folder,
        config: Config,
        seed: int,
        device,
        log_every: int = 0,
        tensorboard: bool | None = False,
        name: str | None = None,
    ):
        self.folder, self.config, self.seed, self.device = Path(folder), config, seed, device
        self.log_every, self.tensorboard, self.name = log_every, tensorboard, name
        self.steps = self.events = self.probe = None

    def start(self, step: int) -> None:
        asked = dataclasses.asdict(self.config) | {"seed": self.seed, "experiment": self.name}
        records.write_atomically(self.folder / CONFIG, json.dumps(asked, indent=1).encode())
        if self.log_every:
            path = self.folder / "steps.csv"
            # What came after the checkpoint is about to happen again.
            rows = path.read_text().splitlines()[1:] if path.exists() and step else []
            rows = [row for row in rows if row.count(",") == 2 and int(row.split(",")[0]) <= step]
            lines = "\n".join(["step,loss,rate", *rows]) + "\n"
            records.write_atomically(path, lines.encode())
            self.steps = open(path, "a", buffering=1)
        if self.tensorboard is not False:
            self.events = self._event_log(step)
        if self.events:
            split = "test" if "valid" in self.config.train_on else "valid"
            held = test_set(split, self.config.distort or CLEAN, self.device)
            self.probe = held.images[:SHOWN].clone(), held.labels[:SHOWN]  # let go of the rest

    def _event_log(self, step: int):
        from stn_course.event_log import EventLog

        try:
            return EventLog(self.folder / "tensorboard", step)
        except ModuleNotFoundError as error:
            if self.tensorboard:
                raise
            print(f"no event files for TensorBoard: {error}", file=sys.stderr)

    def step(self, step: int, loss: Tensor, rate: float) -> None:
        if not self.log_every or step % self.log_every:
            return
        loss = loss.item()
        self.steps.write(f"{step},{loss:.6g},{rate:.6g}\n")
        if self.events:
            self.events.scalar("step/loss", loss, step)
            self.events.scalar("step/rate", rate, step)

    def epoch(self, step: int, model: nn.Module, curves: dict) -> None:
        if not self.events:
            return
        for name, values in records.numbers_of(curves).items():
            self.events.scalar(f"epoch/{name}", values[-1], step)
        seen = look(model, *self.probe)
        self.events.image("input", np.hstack(seen.inputs), step)
        if seen.outputs is not None:
            self.events.image("warped", np.hstack(seen.outputs), step)
            self.events.image("sampled box", np.hstack([*with_boxes(seen)]), step)
        self.events.flush()

    def close(self) -> None:
        for file in (self.steps, self.events):
            if file:
                file.close()


OUTLINES = ("#ef4444", "#0d9488", "#d97706", "#7c3aed", "#64748b")  # first, second, third, ...


def with_boxes(seen, zoom: int = 4):
    """Each input, ``zoom`` times as large, with the outline of what was read.

    Red; of several the second is teal, the third amber, as in the gallery.
    """
    from PIL import Image, ImageDraw

    for image, polygons in zip(seen.inputs, seen.boxes, strict=True):
        h, w = zoom * image.shape[0], zoom * image.shape[1]
        picture = Image.fromarray(image).resize((w, h), Image.Resampling.NEAREST).convert("RGB")
        draw = ImageDraw.Draw(picture)
        for channel in range(seen.channels):
            wide = w / seen.channels
            for nth, polygon in enumerate(polygons):
                places = (polygon + 1) / 2 * (wide, h) + (channel * wide, 0)
                colour = OUTLINES[nth % len(OUTLINES)]
                draw.polygon([tuple(p) for p in places.tolist()], outline=colour, width=2)
        yield np.asarray(picture)


def resumed(folder: Path, given: dict, seed: int | None) -> tuple[Config, int]:
    """Configuration and seed with which the run in ``folder`` goes on.

    They are the folder's.  ``given`` fields and ``seed`` must be too, apart from ``epochs``
    where the rate is constant: ValueError.
    """
    config, its_seed = read_config(folder)
    theirs = dataclasses.asdict(config) | {"seed": its_seed}
    refuse_another(Path(folder) / CONFIG, theirs, given | ({} if seed is None else {"seed": seed}))
    return dataclasses.replace(config, **given), its_seed


def counts(result: dict) -> str:
    """What `measure.evaluate` counted, for a line: of rows, digits and whole rows."""
    if "words" not in result:
        return f"{result['correct']} / {result['total']}"
    words = 100 * result["words"] / result["rows"]
    return (
        f"{result['correct']} / {result['total']} digits, "
        f"{result['words']} / {result['rows']} words ({words:.2f} %)"
    )


def experiment_of(folder: Path) -> str | None:
    """The experiment as which the run in ``folder`` began; None for a run of its own.

    Raises as `read_config`.
    """
    return _read(folder)[2]


def read_config(folder: Path) -> tuple[Config, int]:
    """Configuration and seed of the run in ``folder``.

    Raises FileNotFoundError where nothing was trained, ValueError for a damaged file.
    """
    return _read(folder)[:2]


def _read(folder: Path) -> tuple[Config, int, str | None]:
    """Configuration, seed and experiment, as `FolderWatch` wrote them."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: nothing was trained there")
    try:
        settings = json.loads(path.read_text())
        seed, experiment = settings.pop("seed"), settings.pop("experiment", None)
        return Config(**settings), seed, experiment
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not the configuration of a run: {error}") from None
