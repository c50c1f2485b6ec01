"""MNIST, found or fetched, verified, and never replaced in silence.

The four files are looked for in `STN_COURSE_DATA`, then in the user cache, then downloaded from
two public mirrors (`data.files` and `data.download` have the details). They may be unpacked, or
packed anew: what is inside counts. Without files and without a network 5 000 of its digits that
travel with this package stand in, and `source()`, `Digits.source` and a line on stderr say so;
but where `STN_COURSE_DATA` names a folder, what it lacks is an error.

MNIST: Y. LeCun, C. Cortes and C. Burges; licence CC BY-SA 3.0 (see NOTICE).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_course.data.download import Settings, fetch, reachable, read_settings, say
from stn_course.data.files import (
    DataFile,
    idx_bytes,
    idx_file,
    in_cache,
    in_named_folder,
    not_there,
    verified,
)

MNIST_FILES = {  # name: SHA-256 of the published file
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
MNIST_BYTES = {  # name: length of the published file
    "train-images-idx3-ubyte.gz": 9_912_422,
    "train-labels-idx1-ubyte.gz": 28_881,
    "t10k-images-idx3-ubyte.gz": 1_648_877,
    "t10k-labels-idx1-ubyte.gz": 4_542,
}
MNIST_UNPACKED = {  # name: SHA-256 of the bytes inside it
    "train-images-idx3-ubyte.gz": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte.gz": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SPLITS = {"train": slice(0, 50_000), "valid": slice(50_000, 60_000), "test": slice(0, 10_000)}
SAMPLE = "offline sample (5 000 digits of MNIST)"
SAMPLE_FILE = Path(__file__).with_name("sample.npz")  # tools/sample.py draws it
SAMPLE_SHA256 = "e6434a05fec90feafb342c0d6252c2657f951e81b10eb4654a06d47107f67716"
SAMPLE_SIZES = {"train": 4000, "valid": 500, "test": 500}  # each drawn from that split


class FullMnistNeededError(RuntimeError):
    """Something needs the full MNIST and only the offline sample is here."""


@dataclass(frozen=True, eq=False)
class Digits:
    """One split. The tensors are shared by all callers in the process: do not write to them."""

    images: torch.Tensor  # uint8 [N, 1, 28, 28], 0 = background
    labels: torch.Tensor  # int64 [N]
    source: str

    def __len__(self) -> int:
        return len(self.labels)


def mnist_files() -> list[DataFile]:
    """MNIST's four, by every name and wrapping that is accepted."""
    return [idx_file(name, sha, MNIST_UNPACKED[name]) for name, sha in MNIST_FILES.items()]


@lru_cache
def locate(settings: Settings) -> dict[str, tuple[Path, str]] | None:
    """All four files with the kind of place each was found in, or None: use the sample.

    Raises DataFolderError where STN_COURSE_DATA names a folder that has none of them, or that
    lacks one which neither the cache nor a mirror has.
    """
    wanted = mnist_files()
    found = {file.name: in_named_folder(file, settings) for file in wanted}
    if settings.data and not any(found.values()):
        raise not_there(wanted, settings)
    for file in wanted:
        found[file.name] = found[file.name] or in_cache(file, settings)
    missing = [file for file in wanted if found[file.name] is None]
    if not missing:
        return found
    mirrors = [] if settings.offline else reachable(settings.mirrors or MIRRORS)
    for file in missing:
        path = fetch(file.name, file.sha256, MNIST_BYTES[file.name], mirrors, settings)
        if path is None:
            break
        found[file.name] = path, "a verified download"
    else:
        return found
    if settings.data:
        raise not_there([file for file in wanted if found[file.name] is None], settings)
    lacking = list(found.values()).count(None)
    network = "STN_COURSE_OFFLINE is set" if settings.offline else "no mirror gave them"
    say(
        f"{lacking} of {len(found)} MNIST files are missing and {network}: using the {SAMPLE}. "
        "Accuracies will be lower than the published ones. `stn-course data` fetches the files."
    )
    return None


def is_sample() -> bool:
    """True when only the 5 000-digit offline sample is here. May download and raise as `mnist`."""
    return locate(read_settings()) is None


def source() -> str:
    """What `mnist` delivers on this machine, in a few words and without a path."""
    return _source(read_settings())


def _source(settings: Settings) -> str:
    files = locate(settings)
    if files is None:
        return SAMPLE
    return "full MNIST (70 000 digits) from " + " and ".join(sorted({k for _, k in files.values()}))


def mnist(split: str) -> Digits:
    """MNIST digits: "train" 50 000, "valid" 10 000, "test" 10 000 (`t10k`).

    On the offline sample the splits hold 4 000, 500 and 500 digits, and `source` says so.
    Decoded once per process.

    Raises ValueError for another split, CorruptFileError for a file with a wrong SHA-256,
    DataFolderError where STN_COURSE_DATA names a folder that gives nothing usable, and
    DownloadError when mirrors answered but none had the right bytes.
    """
    check_split(split)
    return _mnist(split, read_settings())


def check_split(split: str) -> None:
    """ValueError unless `split` is "train", "valid" or "test"."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; wanted one of {', '.join(map(repr, SPLITS))}")


@lru_cache
def _mnist(split: str, settings: Settings) -> Digits:
    files = locate(settings)
    if files is None:
        return sample(split)
    stem = "t10k" if split == "test" else "train"
    names = f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz"
    images, labels = (_decode(files[name][0], name) for name in names)
    images, labels = images[:, None], labels.long()  # [N, 1, 28, 28], [N]
    part = SPLITS[split]
    return Digits(images[part], labels[part], _source(settings))


@lru_cache
def _decode(path: Path, name: str) -> torch.Tensor:
    """An IDX file of bytes: two zeros, type 8, the number of sizes, the sizes, the data."""
    raw = idx_bytes(path, name)
    sizes = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    data = np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes))
    return torch.from_numpy(data.reshape(sizes).copy())


def sample(split: str) -> Digits:
    """One split of the offline sample, whatever else is at hand: 4 000, 500 and 500 digits.

    Raises CorruptFileError where the file in the package has a wrong SHA-256.
    """
    path = verified(SAMPLE_FILE, SAMPLE_SHA256, cure="Install stn-course again")
    with np.load(path) as stored:
        images, labels = (torch.from_numpy(stored[f"{split}_{x}"]) for x in ("images", "labels"))
    return Digits(images[:, None], labels.long(), SAMPLE)


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [0, 1]: all the normalisation that the course uses.

    Raises TypeError for another type: what is in [0, 1] already needs no preparing.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"images are {images.dtype}; wanted uint8, 0 to 255")
    return images.float().div_(255)
