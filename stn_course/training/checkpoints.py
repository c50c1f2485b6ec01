"""Checkpoints: written atomically, complete enough to go on bit for bit, checked on reading."""

import dataclasses
import hashlib
import io
import json
import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from stn_course.extras import needs
from stn_course.files import write_atomically
from stn_course.models import parts

FILE = "checkpoint.pt"
RATES = ("lr", "lr_localiser")
# What torch.load says of files that are cut short or damaged.
BROKEN = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def save_checkpoint(
    folder, config, seed: int, model: nn.Module, optimizer, state: dict, keep: int = 0
) -> Path:
    """Write `folder/checkpoint.pt`: the old file stays whole until the new one is.

    `keep`: an epoch, whose checkpoint later ones leave alone, in `epoch_0001.pt` and so on. That
    file comes first: of a run that is killed between the two the epoch is made once more.
    """
    path = Path(folder) / FILE
    buffer = io.BytesIO()
    torch.save(
        {
            "config": dataclasses.asdict(config),
            "seed": seed,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "state": state,
        },
        buffer,
    )
    if keep:
        write_atomically(path.with_name(f"epoch_{keep:04d}.pt"), buffer.getvalue())
    write_atomically(path, buffer.getvalue())
    return path


def has_checkpoint(folder) -> bool:
    """Whether a run's `folder` holds a checkpoint to go on from."""
    return (Path(folder) / FILE).exists()


def kept_checkpoints(folder) -> list[Path]:
    """The checkpoints that were kept in `folder`, by epoch."""
    return sorted(Path(folder).glob("epoch_*.pt"))


def checkpoint_path(where) -> Path:
    """`where` itself, or the latest checkpoint if it is a run's folder."""
    where = Path(where)
    return where / FILE if where.is_dir() or not where.suffix else where


def read_checkpoint(where) -> dict:
    """The checkpoint `where` (a file, or a run's folder) on the CPU.

    Raises FileNotFoundError where there is none, ValueError where it cannot be read.
    """
    path = checkpoint_path(where)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: nothing was trained there")
    data = path.read_bytes()  # an OSError from here on is about the content
    try:
        if damaged := zipfile.ZipFile(io.BytesIO(data)).testzip():  # torch checks no sum
            raise zipfile.BadZipFile(f"the sum of {damaged}")
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except BROKEN as error:
        raise ValueError(
            f"{path} is not a whole checkpoint ({type(error).__name__}); delete it and train again"
        ) from None
    wanted = {"config", "seed", "model", "optimizer", "state"}
    if not isinstance(found, dict) or set(found) != wanted:
        raise ValueError(f"{path} is not a checkpoint of this course; wanted the keys {wanted}")
    return found


def load_checkpoint(found, folder, config, seed: int, model: nn.Module, optimizer) -> dict:
    """Put weights and optimiser back as `found` in `folder`; return the run's state.

    Raises ValueError if the checkpoint is of another configuration or seed.
    """
    ours = dataclasses.asdict(config) | {"seed": seed}
    refuse_another(Path(folder) / FILE, found["config"] | {"seed": found["seed"]}, ours)
    load_weights(model, found, folder)
    scales = [group.get("scale") for group in optimizer.param_groups]
    optimizer.load_state_dict(found["optimizer"])
    for group, scale in zip(optimizer.param_groups, scales, strict=True):
        if scale is not None:  # of the rates now: a new phase has others
            group["scale"] = scale
    if not next(model.parameters()).is_cuda:  # a checkpoint from a GPU has what its graph needs
        for group in optimizer.param_groups:
            group["lr"] = float(group["lr"])
            if "capturable" in group:
                group["capturable"] = False
    return found["state"]


def refuse_another(where: Path, theirs: dict, ours: dict) -> None:
    """ValueError unless `ours`, settings and seed, are those of the run that wrote `where`."""
    differ = [k for k in ours if plain(ours[k]) != plain(theirs.get(k))]
    wrong = [k for k in differ if k not in _may_differ(theirs, ours)]
    if wrong:
        what = ", ".join(f"{k}={theirs.get(k)!r} there and {ours[k]!r} here" for k in wrong)
        more = theirs | ours | {"epochs": theirs["epochs"] + 1}
        can = set(wrong) <= set(RATES) & set(_may_differ(theirs, more))
        phase = "; with more epochs it would be a new phase" if can else ""
        raise ValueError(f"cannot resume from {where}: {what}{phase}")


def _may_differ(theirs: dict, ours: dict) -> tuple[str, ...]:
    """A finished run can be made longer where the rate is constant, by another rate as well.

    Not by a rate of the localiser's own where it had none, or none where it had: the optimiser
    keeps its state in other groups then.
    """
    if theirs["schedule"] != "constant":
        return ()
    if ours.get("epochs", theirs["epochs"]) <= theirs["epochs"]:
        return ("epochs",)
    was = theirs.get("lr_localiser")
    alike = (was is None) == (ours.get("lr_localiser", was) is None)
    return ("epochs", *RATES) if alike else ("epochs", "lr")


def load_weights(model: nn.Module, found: dict, where) -> None:
    """Put the checkpoint's weights into `model`; ValueError if they do not fit it."""
    try:
        model.load_state_dict(found["model"])
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ValueError(f"{checkpoint_path(where)} does not fit this model: {first}") from None


def save_weights(path, model: nn.Module) -> None:
    """Write the weights alone, as safetensors, with their SHA-256: the format has no sum."""
    write_atomically(Path(path), weights_bytes(model))


def weights_bytes(model: nn.Module) -> bytes:
    """What `save_weights` writes."""
    with needs("course"):
        from safetensors.torch import save  # not on every machine that trains

    # Channels-last weights are stored in the usual order: the format knows no other.
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return save(weights, {"sha256": weights_sha256(model)})


def read_weights(path, model: nn.Module, sha: str = "") -> nn.Module:
    """`model` with the weights that `save_weights` wrote to `path`.

    `sha`: their SHA-256 as a record has it; files older than their own sum are held to that.
    Raises FileNotFoundError without the file, ValueError where it is damaged or of another net.
    """
    with needs("course"):
        from safetensors import SafetensorError
        from safetensors.torch import load

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"{path} {what}: no weights were kept there")
    try:
        data = path.read_bytes()
        model.load_state_dict(load(data))
        told = _told_sum(data)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit this network: {error}") from None
    found = weights_sha256(model)
    for wanted in filter(None, (told, sha)):
        if found != wanted:
            raise ValueError(f"{path} is damaged: SHA-256 {found[:16]}..., not {wanted[:16]}...")
    return model


def weights_sum(path) -> str:
    """The SHA-256 that `save_weights` wrote into the file; empty where it did not."""
    return _told_sum(Path(path).read_bytes())


def _told_sum(data: bytes) -> str:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {}).get("sha256", "")


# ---------------------------------------------------------------- what a run starts from
def begin_from(model: nn.Module, start_from=None, only=(), freeze=()) -> dict:
    """Put what `start_from` has learned into `model` and freeze parts; a record's `start`.

    `start_from`: a run's folder (of a run with patience its best weights), one of its checkpoints,
    a file of weights, a network, or a run's name and its network. `only` and `freeze` name parts of
    `model` (`models.parts`). Raises FileNotFoundError, TypeError or ValueError for what is not
    there or does not fit.
    """
    if start_from is None and len(only):
        raise ValueError(f"only={[*only]}; wanted start_from as well: whose parts are they?")
    frozen = parts.tensors_of(model, parts.paths_of(model, freeze, "freeze"))
    run, weights = ("", {}) if start_from is None else _known(start_from, list(model.state_dict()))
    loaded = [] if start_from is None else parts.take_over(model, weights, only)
    if not (loaded or frozen):
        return {}
    parts.freeze(model, parts.paths_of(model, freeze, "freeze"))
    left = [name for name in model.state_dict() if name not in loaded]
    of = {"loaded": loaded, "left": left, "frozen": frozen}
    return {
        "run": run,
        "weights": sha256(*weights.values()) if weights else "",
        "only": [*only],
        "freeze": [*freeze],
        **{what: parts.covering(model, names) for what, names in of.items()},
    }


def _known(start_from, order: list[str]) -> tuple[str, dict[str, Tensor]]:
    """The name of a run, or of a network's class, and the weights that it has learned.

    `order`: how the weights stand in the network that begins: a file of weights keeps none.
    """
    if isinstance(start_from, tuple):  # a run's name and its network
        run, start_from = start_from
        return run, start_from.state_dict()
    if isinstance(start_from, nn.Module):
        return type(start_from).__name__, start_from.state_dict()
    if not isinstance(start_from, str | Path):
        raise TypeError(f"start_from is a {type(start_from).__name__}; wanted a run or a network")
    path = Path(start_from)
    kept = path.suffix == ".safetensors" and path.stem != "weights"  # under the run's own name
    run = path.stem if kept else (path if path.is_dir() else path.parent).resolve().name
    if path.suffix == ".safetensors":
        return run, _weights_in(path, order)
    found = read_checkpoint(path)
    best = found["state"].get("best")
    return run, best if best is not None and path.is_dir() else found["model"]


def _weights_in(path: Path, order: list[str]) -> dict[str, Tensor]:
    """The weights that `save_weights` wrote; ValueError for a damaged file and another network."""
    with needs("course"):
        from safetensors import SafetensorError
        from safetensors.torch import load

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: no weights were kept there")
    data = path.read_bytes()
    try:
        weights = load(data)
        wanted = _told_sum(data)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole file of weights: {error}") from None
    if set(weights) != set(order):
        raise ValueError(
            f"{path} is of another network; wanted its run's folder: there, parts can be taken"
        )
    weights = {name: weights[name] for name in order}
    if wanted and sha256(*weights.values()) != wanted:
        raise ValueError(f"{path} is damaged: its weights are not those that were written")
    return weights


def refuse_another_start(where, theirs: dict, ours: dict) -> None:
    """ValueError where a run that is resumed is asked to start from something else than it did."""
    if ours and ours != theirs:
        told = {k: (theirs.get(k, "nothing"), v) for k, v in ours.items() if v != theirs.get(k)}
        what = ", ".join(f"{k}={a!r} there and {b!r} here" for k, (a, b) in told.items())
        raise ValueError(f"cannot resume from {where}: {what}; its start is the checkpoint's own")


def sha256(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' bytes, one after the other."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_sha256(model: nn.Module) -> str:
    return sha256(*model.state_dict().values())


def plain(value):
    """As config.json has it: tuples, also those inside options, are lists."""
    return json.loads(json.dumps(value))
