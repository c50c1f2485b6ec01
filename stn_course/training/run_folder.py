"""A run's folder: what training leaves in it, and how it is read again."""

import csv
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from stn_course import models
from stn_course.data import own
from stn_course.extras import needs
from stn_course.files import only_writer, write_atomically
from stn_course.training.checkpoints import (
    RATES,
    begin_from,
    checkpoint_path,
    has_checkpoint,
    kept_checkpoints,
    load_weights,
    read_checkpoint,
    read_weights,
    refuse_another,
    save_weights,
)
from stn_course.training.config import Config, build
from stn_course.training.listeners import Checkpoints, HistoryCsv, Listener, StepsCsv
from stn_course.training.loop import fit
from stn_course.training.record import NAME, RunRecord, dumps
from stn_course.training.tensorboard import TensorBoard

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def train(
    config: Config,
    seed: int,
    folder: Path,
    listeners: Sequence[Listener] = (),
    *,
    name: str | None = None,
    device: str | None = None,
    resume: bool = False,
    save_every: int = 0,
    keep_every: int = 0,
    log_every: int = 0,
    tensorboard: bool | None = False,
    start_from=None,
    only: Sequence[str] = (),
    freeze: Sequence[str] = (),
) -> RunRecord:
    """Train into `folder`: config.json, checkpoints, weights, record.json, history.csv and .png.

    `save_every` steps and after each epoch a checkpoint is written; that of every `keep_every`-th
    epoch is kept. `log_every` steps a line goes to `steps.csv`; with `tensorboard` scalars and
    images go to `tensorboard/` (None: where that package is installed; else a line on stderr says
    that there are none). `name` is the record's experiment (default: the folder's name).
    `start_from`, `only` and `freeze` as in `loop.steps`. Raises
    FileExistsError where there is a run already and `resume` is not asked for, BusyError where
    another process trains into it, ValueError for a device that is not here, and at the end
    RemovedError where the folder was removed meanwhile: all but kept epochs and logs is there.
    """
    with needs("course"):  # for its history, at the end
        from stn_course.analysis import run_plots  # noqa: F401

    folder = Path(folder)
    called = name_of(folder, name)
    options = {"device": chosen_device(device), "resume": folder if resume else None}
    start = {"start_from": start_from, "only": only, "freeze": freeze}
    begin_from(build(config), **start)  # what is refused is refused before anything is written
    told = [*listeners, ConfigJson(folder, name), HistoryCsv(folder)]
    if log_every:
        told.append(StepsCsv(folder, log_every))
    if tensorboard is not False:
        told.append(TensorBoard(folder, log_every, wanted=bool(tensorboard)))
    told.append(Checkpoints(folder, save_every, keep_every))
    with only_writer(folder):
        if resume:
            _refuse_keras(folder)
        else:
            refuse_used(folder)
        model, record = fit(config, seed, told, name=called, **options, **start)
        write_results(folder, model, record)
    return record


def way_of(folder: Path, config: Config) -> str:
    """What the run in `folder` did, or does if it goes on by `config`, that no setting says.

    Words for where it started, the parts it left or froze, and its rates; empty: nothing. Raises
    ValueError for a damaged checkpoint.
    """
    if not has_checkpoint(folder):
        return ""
    found = read_checkpoint(folder)
    start, phases = (found["state"].get(name) for name in ("start", "phases"))
    told = [
        f"{name}={start[name]!r}" for name in ("run", "only", "freeze") if start and start[name]
    ]
    rates = [{name: each.get(name) for name in RATES} for each in (found["config"], vars(config))]
    if phases or rates[0] != rates[1]:
        told.append("it was trained at more than one rate")
    return ", ".join(told)


def name_of(folder: Path, name: str | None) -> str:
    """What the run in `folder` is called; ValueError for a name that no record can have."""
    called = name or folder.resolve().name
    if not re.fullmatch(NAME, called):
        given = f"name={name!r}" if name else f"folder {folder} names the run {called!r}"
        raise ValueError(f"{given}; wanted letters, digits, dots and dashes, as records have them")
    return called


def refuse_used(folder: Path) -> None:
    """FileExistsError where `folder` holds a run."""
    goes_on = has_checkpoint(folder) or bool(kept_checkpoints(folder))
    if not goes_on and not (folder / WEIGHTS).exists():
        return
    if in_keras(folder):
        raise FileExistsError(f"{folder} holds a run in Keras; name another --out")
    raise FileExistsError(f"{folder} holds a run; add --resume to go on, or name another --out")


def in_keras(folder: Path) -> bool:
    """Whether `folder` holds a run in Keras, finished or not; ValueError for a damaged file."""
    if (Path(folder) / CONFIG).is_file() and _settings_in(folder).get("framework") == "keras":
        return True
    # A folder from before config.json said so: runs in torch write a checkpoint first.
    return not has_checkpoint(folder) and (Path(folder) / WEIGHTS).is_file()


def _refuse_keras(folder: Path) -> None:
    if in_keras(folder):
        raise ValueError(f"cannot resume from {folder}: it is a run in Keras, which keeps no state")


def write_results(folder: Path, model: nn.Module, record: RunRecord) -> None:
    """What stands in the folder at the end of a run, beside its logs: weights, record, chart."""
    with needs("course"):
        from stn_course.analysis import run_plots

    save_weights(folder / WEIGHTS, model)
    write_atomically(folder / "record.json", dumps(record).encode())
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
    drawn = run_plots.history(columns.pop("epoch"), columns, folder.name)
    run_plots.save(drawn, folder / "history.png")


def write_config(folder: Path, config: Config, seed: int, name: str | None, **more) -> None:
    """Write down what is trained; `more`: what a run of another kind says of itself."""
    asked = dataclasses.asdict(config) | {"seed": seed, "experiment": name} | more
    if found := own.SETS.get(config.distort):
        told = {k: v for k, v in vars(found).items() if k != "splits"}
        asked["own"] = told | {"path": str(found.path.resolve())}
    write_atomically(folder / CONFIG, json.dumps(asked, indent=1).encode())


class ConfigJson(Listener):
    """Writes down what is trained, once it is sure that it can begin."""

    def __init__(self, folder: Path, name: str | None):
        self.folder, self.name = folder, name

    def start(self, run) -> None:
        write_config(self.folder, run.config, run.seed, self.name)

    def epoch(self, run) -> None:
        if not (self.folder / CONFIG).exists():  # the folder was removed: what follows needs it
            self.start(run)


def chosen_device(name: str | None = None) -> torch.device:
    """The device called `name`; None: `cuda` if there is one, else `cpu`.

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


def resumed(folder: Path, given: dict, seed: int | None) -> tuple[Config, int]:
    """Configuration and seed with which the run in `folder` goes on.

    They are the folder's. `given` fields and `seed` must be too, apart from more `epochs` where
    the rate is constant, and then another rate, which begins a new phase: ValueError.
    """
    config, its_seed = read_config(folder)
    _refuse_keras(folder)
    theirs = dataclasses.asdict(config) | {"seed": its_seed}
    refuse_another(Path(folder) / CONFIG, theirs, given | ({} if seed is None else {"seed": seed}))
    return dataclasses.replace(config, **given), its_seed


def counts(result: dict) -> str:
    """What `accuracy.evaluate` found, for a line: counts (of rows two of them) and the loss."""
    loss = f", loss {result['loss']:.4f}" if "loss" in result else ""
    if "words" not in result:
        return f"{result['correct']} / {result['total']}{loss}"
    words = 100 * result["words"] / result["rows"]
    return (
        f"{result['correct']} / {result['total']} digits, "
        f"{result['words']} / {result['rows']} words ({words:.2f} %){loss}"
    )


def load(folder, checkpoint=None, device: str | None = None) -> nn.Module:
    """The network that the run in `folder` learned, in eval mode: images [B, C, h, w] -> logits.

    Of a run with patience it is the best; `checkpoint` names another file of it. `device`: a GPU
    if there is one. Raises FileNotFoundError where nothing was trained, ValueError for a damaged
    file, one of another network, and a device that is not here.
    """
    config, _ = read_config(folder)
    return network_of(config, Path(checkpoint or folder), chosen_device(device))[0]


def network_of(config: Config, where: Path, device: torch.device) -> tuple[nn.Module, int]:
    """The network of `config` with the weights of a checkpoint, and its complete epochs.

    Of a run's folder the weights that its record is about: of a run with patience its best.
    Raises ValueError where the checkpoint is broken or of another network.
    """
    if Path(where).is_dir() and not has_checkpoint(where) and (Path(where) / WEIGHTS).is_file():
        model = read_weights(Path(where) / WEIGHTS, build(config))  # a run in Keras
        return model.to(device).eval(), config.epochs
    found = read_checkpoint(where)
    theirs = found["config"].get("model")
    if theirs != config.model:
        raise ValueError(
            f"{checkpoint_path(where)} is of model={theirs!r}; this run has {config.model!r}"
        )
    model = build(config).to(device)
    best = found["state"].get("best")
    if best is not None and Path(where).is_dir():
        found = found | {"model": best}
    load_weights(model, found, where)
    return model.eval(), len(found["state"]["curves"]["train_loss"])


def experiment_of(folder: Path) -> str | None:
    """The experiment as which the run in `folder` began; None for a run of its own.

    Raises as `read_config`.
    """
    return _read(folder)[2]


def read_config(folder: Path) -> tuple[Config, int]:
    """Configuration and seed of the run in `folder`.

    Raises FileNotFoundError where nothing was trained, ValueError for a damaged file.
    """
    return _read(folder)[:2]


def _read(folder: Path) -> tuple[Config, int, str | None]:
    """Configuration, seed and experiment, as `ConfigJson` wrote them."""
    settings = _settings_in(folder)
    try:
        seed, experiment = settings.pop("seed"), settings.pop("experiment", None)
        settings.pop("framework", None)
        if found := settings.pop("own", None):
            own.tell(settings["distort"], **found)
        return Config(**settings), seed, experiment
    except (TypeError, KeyError, AttributeError) as error:
        raise _no_configuration(folder, error) from None


def _settings_in(folder: Path) -> dict:
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: nothing was trained there")
    try:
        settings = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _no_configuration(folder, error) from None
    if not isinstance(settings, dict):
        raise _no_configuration(folder, f"a {type(settings).__name__}; wanted a dict")
    return settings


def _no_configuration(folder: Path, why) -> ValueError:
    return ValueError(f"{Path(folder) / CONFIG} is not the configuration of a run: {why}")
