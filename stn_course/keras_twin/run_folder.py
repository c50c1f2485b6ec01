"""A run in Keras from the command line: the same folder as a run in torch leaves."""

from pathlib import Path

from stn_course.extras import needs
from stn_course.files import only_writer, write_atomically, written_whole
from stn_course.keras_twin import training
from stn_course.keras_twin.convert import from_torch, to_torch
from stn_course.training import run_folder
from stn_course.training.config import Config, build
from stn_course.training.record import RunRecord, history_csv

NETWORK = "network.keras"


def train(
    config: Config,
    seed: int,
    folder: Path,
    name: str | None = None,
    tensorboard: bool = True,
    say=None,
) -> RunRecord:
    """Train `config` in Keras into `folder`, in float32.

    It holds what `training.run_folder.train` leaves, but for checkpoints: config.json,
    history.csv and .png, record.json, tensorboard/, and the network twice, as network.keras and,
    weight for weight, as weights.safetensors of torch's, by which `test`, `predict`, `export` and
    `load` know it. `say(epoch, row)` is told each row of the history. Raises FileExistsError
    where there is a run, ValueError for settings that runs in Keras do not have.
    """
    with needs("course"):
        from stn_course.analysis import run_plots  # noqa: F401

    training.check(config)
    folder, rows = Path(folder), []
    called = run_folder.name_of(folder, name)

    def watch(epoch: int, row: dict) -> None:
        rows.append(row)
        columns = {key: [each.get(key, float("nan")) for each in rows] for key in rows[-1]}
        write_atomically(folder / "history.csv", history_csv(columns, first=0).encode())
        if say:
            say(epoch, row)

    with only_writer(folder):
        run_folder.refuse_used(folder)
        run_folder.write_config(folder, config, seed, name, framework="keras")
        logs = folder / "tensorboard" if tensorboard else None
        twin, record = training.fit(config, seed, called, logs, watch)
        model = to_torch(twin, build(config))
        with written_whole(folder / NETWORK) as partial:  # without an optimiser that asks for us
            from_torch(model, config.shape).save(partial)
        run_folder.write_results(folder, model, record)
    return record
