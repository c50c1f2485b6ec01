"""The commands `predict` and `export` of the command line: what a trained run is good for."""

import csv
import io
from pathlib import Path

from stn_course.cli.train import DEVICE
from stn_course.extras import needs
from stn_course.files import only_writer, write_atomically, written_whole

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "keras": ".keras", "safetensors": ".safetensors"}


def add_predict(add) -> None:
    predict = add("predict", _predict, "read pictures with a trained run")
    predict.add_argument("dir", type=Path, help="a folder that `stn-course train --out` wrote")
    predict.add_argument(
        "pictures",
        type=Path,
        nargs="+",
        metavar="PICTURE|FOLDER",
        help="of a folder all pictures, those in its folders too",
    )
    predict.add_argument(
        "--fit",
        choices=("digit", "whole"),
        help="lay its ink out as MNIST's digits are, or shrink the whole picture to what the "
        "network takes (default: digit for a run on clean digits, else whole)",
    )
    predict.add_argument(
        "--out", type=Path, help="folder for predictions.csv and straightened pictures"
    )
    predict.add_argument("--device", help=DEVICE)


def add_export(add) -> None:
    export = add("export", _export, "write a trained run's network for others to use")
    export.add_argument("dir", type=Path, help="a folder that `stn-course train --out` wrote")
    export.add_argument(
        "--format",
        choices=tuple(SUFFIXES),
        required=True,
        help="onnx and keras: network and weights, any batch; torch: a program of torch.export, "
        "to be loaded after `import stn_course.sampling`; safetensors: the weights alone",
    )
    export.add_argument("--out", type=Path, help="the file (default: DIR/network.SUFFIX)")


# ---------------------------------------------------------------- predict
def _predict(arguments) -> int:
    from stn_course.training import run_folder
    from stn_course.training.config import CLEAN

    files = _pictures(arguments.pictures)
    config, _ = run_folder.read_config(arguments.dir)
    fit = arguments.fit or ("digit" if (config.distort or CLEAN) == CLEAN else "whole")
    images = [_read_picture(path, config.shape, fit) for path in files]  # all, before the work
    net = run_folder.load(arguments.dir, device=arguments.device)
    out = arguments.out or arguments.dir / "predicted"
    rows = []
    with only_writer(out):
        for path, name, image in zip(files, _own_names(files), images, strict=True):
            row = _read_one(net, path, image, out / f"{name}.png", config.distort)
            rows.append(row)
            print(*(f"{key}={value}" for key, value in row.items() if value), sep="  ", flush=True)
        table = _write_table(out / "predictions.csv", rows)
    print(f"{table}; pictures were taken as: {fit}")
    return 0


def _pictures(given: list[Path]) -> list[Path]:
    """The files that are meant: of a folder those whose names end as pictures' do, by name.

    Its folders' too, since `train --data` learns from a folder for each class.
    """
    from stn_course.data.pictures import PICTURES, pictures_below

    found = []
    for path in given:
        if path.is_dir():
            inside = pictures_below(path)
            if not inside:
                raise FileNotFoundError(f"{path} holds no picture; wanted {', '.join(PICTURES)}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"{path} does not exist; wanted a picture, or a folder of them")
    return found


def _own_names(files: list[Path]) -> list[str]:
    """A name for what is written of each file: its own, with a number where two have the same."""
    count, names = {}, []
    for path in files:
        k = count[path.stem] = count.get(path.stem, 0) + 1
        names.append(path.stem if k == 1 else f"{path.stem}-{k}")
    if len(set(names)) < len(names):  # "a-2" was there already
        names = [f"{k:04d}-{path.stem}" for k, path in enumerate(files)]
    return names


def _read_picture(path: Path, shape: tuple[int, int, int], fit: str):
    """A picture as a network takes it: float32 in [0, 1].  # [C, h, w] = shape"""
    from stn_course import data
    from stn_course.training.datasets import pad_to

    channels, height, width = shape
    if fit == "digit":
        image = data.from_picture(path)  # [1, 28, 28]
        if channels != 1 or height < image.shape[1] or width < image.shape[2]:
            raise ValueError(
                f"--fit digit lays out 1x28x28, and the run takes {channels}x{height}x{width}"
            )
        return pad_to(image[None], shape)[0]
    return data.whole_picture(path, channels, (height, width))


def _read_one(net, path: Path, image, straightened: Path, learned: str | None) -> dict:
    """What the network says of one image [C, h, w]; what its transformer hands on is written.

    `learned`: the set that it has learned from, which may have names for its classes.
    """
    import torch

    from stn_course.analysis import gallery
    from stn_course.analysis.predictions import predict
    from stn_course.data.own import words_of
    from stn_course.models import ParallelTransformers
    from stn_course.models.transformers import first_transformer

    where = next(net.parameters()).device
    with torch.no_grad():
        each = net(image[None].to(where)).shape[:-1]  # (1,), or (1, D) of a row of D labels
    unknown = torch.zeros(each, dtype=torch.long, device=where)
    seen = predict(net, image[None].to(where), unknown)
    p = seen.probabilities[0]  # [classes], or [D, classes] of a row
    row = {
        "picture": str(path),
        "read": words_of(p.argmax(-1)[None], learned)[0],
        "probability": f"{p.max(-1).prod():.4f}",
        "theta": "",
        "straightened": "",
    }
    front = first_transformer(net)
    if seen.outputs is not None:
        parts = front.transformers if isinstance(front, ParallelTransformers) else [front]
        numbers = torch.cat([part.theta.flatten() for part in parts]).tolist()
        row["theta"] = " ".join(f"{number:.4f}" for number in numbers)
        with written_whole(straightened) as partial:
            gallery.write_png(partial, seen.outputs[0])
        row["straightened"] = str(straightened)
    return row


def _write_table(path: Path, rows: list[dict]) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())
    return path


# ---------------------------------------------------------------- export
def _export(arguments) -> int:
    from stn_course.training import run_folder

    config, _ = run_folder.read_config(arguments.dir)
    suffix = SUFFIXES[arguments.format]
    path = arguments.out or arguments.dir / f"network{suffix}"
    if path.suffix != suffix:
        raise ValueError(f"--out {path}: --format {arguments.format} wants a name with {suffix}")
    net = run_folder.load(arguments.dir, device="cpu")
    with only_writer(file=path), written_whole(path) as partial:
        WRITERS[arguments.format](net, config.shape, partial)
    channels, height, width = config.shape
    sides = f"height {height}, width {width}"
    takes = f"{sides}, {channels}" if arguments.format == "keras" else f"{channels}, {sides}"
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB; images [batch, {takes}] in [0, 1]")
    return 0


def _example(shape: tuple[int, int, int]):
    """Images to export with, and the name of the dimension that may be of any length."""
    import torch

    return torch.zeros(2, *shape), {0: torch.export.Dim("batch")}


def _write_onnx(net, shape, path: Path) -> None:
    import torch

    with needs("onnx"):
        import onnxscript  # noqa: F401
    images, dynamic = _example(shape)
    torch.onnx.export(
        net,
        (images,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=(dynamic,),
        dynamo=True,
        verbose=False,
    ).save(path)


def _write_program(net, shape, path: Path) -> None:
    import torch

    images, dynamic = _example(shape)
    torch.export.save(torch.export.export(net, (images,), dynamic_shapes=(dynamic,)), path)


def _write_keras(net, shape, path: Path) -> None:
    from stn_course import keras_twin

    keras_twin.from_torch(net, shape).save(path)


def _write_weights(net, shape, path: Path) -> None:
    from stn_course.training.checkpoints import save_weights

    save_weights(path, net)


WRITERS = {
    "onnx": _write_onnx,
    "torch": _write_program,
    "keras": _write_keras,
    "safetensors": _write_weights,
}
