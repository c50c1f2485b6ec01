"""Pictures of one's own to learn from: what `data --draw` wrote, or a folder of pictures by class.

Such a set has a name like the recipes', with the first digits of its SHA-256 and the seed of its
splits: another content is another name. Where it lies is kept out of the name.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stn_course.data.digits import Digits, check_split
from stn_course.data.files import is_whole
from stn_course.data.pictures import bytes_of, pictures_below
from stn_course.data.seeding import SPLIT, stream

FEWEST = 10  # pictures: of fewer no tenth can be held back
FOLDERS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
Part = tuple[Tensor, Tensor]  # uint8 [N, C, H, W]; int64 [N] or, of rows, [N, D]


@dataclass
class Own:
    """A set of one's own. `answers`: labels of an image, and of how many classes each."""

    path: Path
    seed: int
    shape: tuple[int, int, int]
    answers: tuple[int, int]
    classes: tuple[str, ...]
    splits: dict[str, Part] = field(default_factory=dict, repr=False)


SETS: dict[str, Own] = {}  # that this process has read or been told of


def read(path, seed: int = 0) -> str:
    """Read a set of one's own; its name, by which `part` and a configuration know it.

    `path`: an .npz file with `images` uint8 [N, C, H, W] (or [N, H, W]) and `labels` [N] or
    [N, D], or a folder with a folder of pictures for each class, alone or each in train, valid
    and test. A tenth each is held back by `seed` as valid and test where they are not given, and
    each split is shuffled by it.
    Raises FileNotFoundError, TypeError or ValueError for what is not there or no such set.
    """
    path = Path(path)
    if path.is_dir():
        splits, classes = _of_folder(path)
    elif path.suffix == ".npz":
        splits, classes = _of_npz(path)
    else:
        there = "is no folder and no .npz" if path.exists() else "does not exist"
        raise FileNotFoundError(f"data {path} {there}; wanted an .npz file or a folder by class")
    digest = hashlib.sha256(repr(classes).encode())
    for split, (images, labels) in splits.items():
        digest.update(f"{split}{list(images.shape)}".encode())
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    _hold_back(splits, seed, path)
    images, labels = splits["train"]
    answers = labels[0].numel(), len(classes)
    stem = re.sub(r"[^\w.+]+", "-", path.resolve().stem)
    name = f"{stem}-{digest.hexdigest()[:8]}-{seed}"
    SETS[name] = Own(path, seed, tuple(images.shape[1:]), answers, classes, splits)
    return name


def tell(name: str, path, seed: int, shape, answers, classes) -> None:
    """Say what the set `name` is like without reading it: it is read when it is asked for."""
    if name not in SETS:
        SETS[name] = Own(Path(path), seed, tuple(shape), tuple(answers), tuple(classes))


def words_of(labels, name: str | None) -> list[str]:
    """How labels [N] or [N, D] are told: by the classes of the set `name`, else as digits.

    The labels of a row stand together, as in "757"; apart where a class has a longer name.
    """
    classes = SETS[name].classes if name in SETS else None
    rows = [row if isinstance(row, list) else [row] for row in labels.tolist()]
    told = [[classes[k] if classes else str(k) for k in row] for row in rows]
    between = " " if any(len(each) > 1 for row in told for each in row) else ""
    return [between.join(row) for row in told]


def part(name: str, split: str) -> Digits:
    """A split of the set `name`. Raises ValueError where another set lies there by now."""
    check_split(split)
    found = SETS[name]
    if not found.splits and read(found.path, found.seed) != name:
        raise ValueError(f"data {found.path} is another set by now; the run learned from {name}")
    images, labels = SETS[name].splits[split]
    return Digits(images, labels, f"own set {name}")


def _hold_back(splits: dict[str, Part], seed: int, path: Path) -> None:
    """Shuffle every split by `seed`: the first few of a set sorted by class are of one class.

    Valid and test are made of train where they are missing, a tenth of it each.
    """
    count = len(splits["train"][0])
    missing = [split for split in ("valid", "test") if split not in splits]
    if count < FEWEST:
        raise ValueError(f"data {path} has {count} pictures; wanted at least {FEWEST}")
    generator = torch.Generator().manual_seed(stream(SPLIT, seed))
    for split in sorted(splits, reverse=True):  # train before the others
        images, labels = splits[split]
        order = torch.randperm(len(images), generator=generator)
        splits[split] = images[order], labels[order]
    images, labels = splits["train"]
    tenth = count // 10
    for k, split in enumerate(missing):
        held = slice(k * tenth, (k + 1) * tenth)
        splits[split] = images[held], labels[held]
    rest = slice(len(missing) * tenth, None)
    splits["train"] = images[rest], labels[rest]


# ---------------------------------------------------------------- an .npz file
def _of_npz(path: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    if not path.is_file():
        raise FileNotFoundError(f"data {path} does not exist; wanted an .npz file or a folder")
    try:
        with np.load(path, allow_pickle=False) as stored:
            if missing := {"images", "labels"} - set(stored):
                raise ValueError(f"it has no {sorted(missing)}, but {sorted(stored)}")
            images, labels = stored["images"], stored["labels"]
            of_digits = "digits" in stored  # as `data --draw` writes it
            if "sha256" in stored and not is_whole(dict(stored)):
                raise ValueError("it is damaged, its arrays are not those of its SHA-256")
    except Exception as error:  # of a damaged file NumPy and zipfile say so in a dozen ways
        raise ValueError(f"data {path}: {error}; wanted images and labels in an .npz") from error
    if images.dtype != np.uint8:
        raise TypeError(f"data {path}: images are {images.dtype}; wanted uint8, 0 to 255")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"data {path}: images are {list(images.shape)}; wanted [N, C, H, W]")
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        raise ValueError(
            f"data {path}: images are {list(images.shape)}, channels last; wanted [N, C, H, W]"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"data {path}: labels are {labels.dtype}; wanted whole numbers")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim not in (1, 2) or len(labels) != len(images) or labels.size == 0:
        raise ValueError(
            f"data {path}: labels are {list(labels.shape)}; wanted [{len(images)}] or "
            f"[{len(images)}, digits]"
        )
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most < 1 or most > 9999:
        raise ValueError(f"data {path}: labels are {least} to {most}; wanted 0 up to 1 or more")
    classes = tuple(map(str, range(max(most + 1, 10 if of_digits else 0))))
    found = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
    return {"train": found}, classes


# ---------------------------------------------------------------- a folder by class
def _of_folder(path: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    roots = {}
    for split, names in FOLDERS.items():
        # A split has a folder for each class: with pictures alone it is a class of that name.
        there = [path / name for name in names if (path / name).is_dir()]
        if there := [root for root in there if _classes(root)]:
            roots[split] = there[0]
    if "train" not in roots:
        roots = {"train": path}
    classes = tuple(_classes(roots["train"]))
    if len(classes) < 2:
        raise ValueError(
            f"data {roots['train']} has {len(classes)} folders of pictures; wanted one for each of "
            "two classes or more, as DIR/cat/1.png"
        )
    files, labels = {}, {}
    for split, root in roots.items():
        inside = _classes(root)
        if strange := sorted(set(inside) - set(classes)):
            raise ValueError(f"data {root} has {strange}; wanted the classes of train: {classes}")
        files[split] = [file for name in inside for file in inside[name]]
        labels[split] = [classes.index(name) for name in inside for _ in inside[name]]
    images = bytes_of([file for split in files for file in files[split]])
    parts = images.split([len(files[split]) for split in files])
    splits = {
        split: (part, torch.tensor(labels[split], dtype=torch.int64))
        for split, part in zip(files, parts, strict=True)
        if len(part)
    }
    return splits, classes


def _classes(root: Path) -> dict[str, list[Path]]:
    """The pictures in each folder of `root` that has some, at any depth, by name.

    Names that begin with a dot are no classes either.
    """
    found = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != "."):
        if inside := pictures_below(folder):
            found[folder.name] = inside
    return found
