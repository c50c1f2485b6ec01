"""Data files that lie on this machine, found under every usual name and verified by what is inside.

MNIST has been unpacked, packed anew and renamed by many hands. The same bytes are the same data,
so a file counts as right when it is the published one, or when what is inside it is.
"""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stn_course.data.download import Settings, cache_folder, say

DATA = "STN_COURSE_DATA"
# Below the named folder: this course's, torchvision's and Keras' own. Matched in any case.
PLACES = (
    *("mnist", "mnist/raw", "mnist/mnist/raw", "data/mnist/raw", "datasets/mnist/raw"),
    *("raw", "datasets", "keras/datasets", ".keras/datasets"),
)
KERAS_FILE = "mnist.npz"
ENDS = (".gz", "", ".zip", ".xz", ".bz2", ".tar", ".tar.gz", ".tgz")  # of a packed file's name
ARCHIVES = tuple("mnist" + end for end in (".zip", ".tar", ".tar.gz", ".tgz"))
ZIP = b"PK"
DEEPEST = 3  # wrappings, one in the other: a zip of gz files, gz packed twice
ANOTHER_COPY = (
    "Delete the file (or replace it with a good copy) and run again: "
    "a missing file is fetched anew, a corrupt one is never used"
)
CANNOT_UNPACK = (
    *(OSError, EOFError, ValueError, KeyError),
    *(zlib.error, zipfile.BadZipFile, tarfile.TarError, ImportError),
    RuntimeError,  # an archive with a password, or of a kind that cannot be read here
)


class CorruptFileError(RuntimeError):
    """A data file is there, but neither its SHA-256 nor that of what is inside is as published."""


class DataFolderError(FileNotFoundError):
    """The folder that STN_COURSE_DATA names does not give what was asked for."""


@dataclass(frozen=True)
class DataFile:
    """A published file, and how it is known again in another wrapping."""

    name: str
    sha256: str
    inside: str  # SHA-256 of what `unpack` makes of it
    unpack: Callable[[Path], bytes]
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.name, *self.other_names


def sha256(data) -> str:
    return hashlib.sha256(data).hexdigest()


def find_file(file: DataFile, settings: Settings) -> tuple[Path, str] | None:
    """`(path, kind of place)` of a verified file in STN_COURSE_DATA or the cache, or None.

    Of several the first that is right; a line on stderr names those that are not. Raises
    CorruptFileError where some are there and none is right, and DataFolderError where
    STN_COURSE_DATA names no folder or one that cannot be read.
    """
    # The cache comes last: its address needs pooch, which a training machine may lack.
    return in_named_folder(file, settings) or in_cache(file, settings)


def in_named_folder(file: DataFile, settings: Settings) -> tuple[Path, str] | None:
    """As `find_file`, in STN_COURSE_DATA alone; None where that is not set."""
    path = _first_right(file, named_folder(settings)) if settings.data else None
    return (path, DATA) if path else None


def in_cache(file: DataFile, settings: Settings) -> tuple[Path, str] | None:
    """As `find_file`, in the cache alone. Raises NotADirectoryError where that is a file."""
    cache = cache_folder(settings)
    if cache.exists() and not cache.is_dir():
        raise NotADirectoryError(f"STN_COURSE_CACHE names {cache}, a file; wanted a folder")
    path = _first_right(file, cache) if cache.is_dir() else None
    return (path, "the user cache") if path else None


def named_folder(settings: Settings) -> Path:
    """The folder that STN_COURSE_DATA names; DataFolderError where it is none."""
    folder = Path(settings.data).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataFolderError(
            f"{DATA} names {folder}, which is a file; wanted the folder that holds it, "
            f"{folder.absolute().parent}"
        )
    raise DataFolderError(f"{DATA} names {folder}, which is not there; wanted a folder with data")


def not_there(missing: list[DataFile], settings: Settings) -> DataFolderError:
    """The error that says which of MNIST's names were looked for, and where."""
    names = [file.name for file in missing]
    dotted = [_dotted(name) for name in names]
    return DataFolderError(
        f"{DATA} names {named_folder(settings)}, which lacks {', '.join(names)}. Looked for these "
        f"and for {', '.join(dotted)}, each as it is or with {', '.join(filter(None, ENDS))}, "
        f"in upper or lower case, and for {', '.join((KERAS_FILE, *ARCHIVES))}, in that folder and "
        f"in its {', '.join(PLACES)}. "
        f"Name the folder that has them, or unset {DATA} to have them fetched"
    )


def _first_right(file: DataFile, root: Path) -> Path | None:
    faults = []
    for path in _candidates(file.names, root):
        fault = _fault(path, file)
        if fault is None:
            for passed_over in faults:
                say(f"{passed_over}; {path} is used")
            return path
        faults.append(fault)
    if faults:
        raise CorruptFileError(f"{faults[0]}. {ANOTHER_COPY}.")
    return None


def _candidates(names: tuple[str, ...], root: Path) -> list[Path]:
    """Files of these names, in any case, in `root` and its PLACES.

    Some archives unpack into a folder that has the file's own name: it is looked into.
    """
    found = []
    for folder in [root, *(folder for place in PLACES for folder in _inside(root, place))]:
        for path in _named(folder, names):
            below = _named(path, names) if path.is_dir() else [path]
            found += [p for p in below if not p.is_dir()]
    return found


def _inside(root: Path, place: str) -> list[Path]:
    folders = [root]
    for part in place.split("/"):
        folders = [p for folder in folders for p in _named(folder, (part,)) if p.is_dir()]
    return folders


def _named(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """What `folder` has of these names, in any case, in the order of the names."""
    order = {name.lower(): k for k, name in enumerate(names)}
    try:
        there = [path for path in folder.iterdir() if path.name.lower() in order]
    except OSError as error:
        raise DataFolderError(f"{folder} cannot be read ({error.strerror})") from error
    return sorted(there, key=lambda path: (order[path.name.lower()], path.name))


def _fault(path: Path, file: DataFile) -> str | None:
    """What is wrong with it; None where it or what is inside is as published."""
    try:
        found = sha256(path.read_bytes())
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if found == file.sha256:
        return None
    try:
        inside = sha256(file.unpack(path))
    except CANNOT_UNPACK as error:
        content = f"it cannot be unpacked ({type(error).__name__}: {error})"
    else:
        if inside == file.inside:
            return None
        content = f"what is inside has {inside}, wanted {file.inside}"
    return (
        f"{path} is corrupt: its SHA-256 is {found}, wanted {file.sha256} for {file.name}; "
        f"{content}"
    )


def verified(path: Path, wanted: str, cure: str) -> Path:
    """`path`; raises CorruptFileError, which ends with the `cure`, for another SHA-256."""
    found = sha256(path.read_bytes())
    if found != wanted:
        raise CorruptFileError(
            f"{path} is corrupt: its SHA-256 is {found}, wanted {wanted}. {cure}."
        )
    return path


# ---------------------------------------------------------------- what is inside
def _of_bz2(raw: bytes) -> bytes:
    import bz2  # a Python may be built without it

    return bz2.decompress(raw)


def _of_xz(raw: bytes) -> bytes:
    import lzma  # a Python may be built without it

    try:
        return lzma.decompress(raw)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from error


# By the first bytes.
PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": _of_bz2, b"\xfd7zXZ\0": _of_xz}


def idx_file(name: str, published: str, inside: str) -> DataFile:
    """One of MNIST's four; `name` as published, such as train-images-idx3-ubyte.gz."""
    others = (*_names_of(name)[1:], KERAS_FILE, *ARCHIVES)
    return DataFile(name, published, inside, lambda path: idx_bytes(path, name), others)


def _names_of(name: str) -> tuple[str, ...]:
    """What the file `name` is called where it is packed, unpacked, or in an archive of its own."""
    stems = name.removesuffix(".gz"), _dotted(name).removesuffix(".gz")
    return tuple(stem + end for end in ENDS for stem in stems)


def _dotted(name: str) -> str:
    return name.replace("-idx", ".idx")


def idx_bytes(path: Path, name: str) -> bytes:
    """The unpacked bytes of MNIST's file `name`: from it, from an archive or from Keras' file.

    Told apart by their first bytes: browsers unpack a file and leave it its name.
    """
    raw = _unwrapped(path.read_bytes(), name)
    return _as_idx(raw, name) if raw.startswith(ZIP) else raw


def _unwrapped(raw: bytes, name: str) -> bytes:
    """What lies packed in `raw`, and under one of the names of `name` where others are with it."""
    for _ in range(DEEPEST):
        unpack = next((f for start, f in PACKED.items() if raw.startswith(start)), None)
        if unpack:
            raw = unpack(raw)
        elif raw.startswith(ZIP):  # an .npz is one: it stays as it is
            raw = _out_of_zip(raw, name)
        elif raw[257:262] == b"ustar":
            raw = _out_of_tar(raw, name)
    return raw


def _out_of_zip(raw: bytes, name: str) -> bytes:
    """What an archive holds under one of the names of `name`; the archive itself without one."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        member = _member(archive.namelist(), name)
        return raw if member is None else archive.read(member)


def _out_of_tar(raw: bytes, name: str) -> bytes:
    """What a tar file holds under one of the names of `name`."""
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        member = _member([each.name for each in archive if each.isfile()], name)
        if member is None:
            raise ValueError(f"nothing in it is called {name}")
        return archive.extractfile(member).read()


def _member(members: list[str], name: str) -> str | None:
    """That of an archive's `members`, in whatever folder, with one of the names of `name`."""
    called = {member.lower().rpartition("/")[2]: member for member in members}
    return next((called[each] for each in _names_of(name) if each in called), None)


def _as_idx(raw: bytes, name: str) -> bytes:
    """Of an .npz file's arrays the one that is `name`, as an IDX file has it."""
    part = "train" if name.startswith("train") else "test"
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        values = arrays[f"{'x' if 'images' in name else 'y'}_{part}"]
    if values.dtype != np.uint8:  # labels are kept in wider types, too
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.uint8)
        if not np.array_equal(values, whole):
            raise ValueError(f"{values.dtype} values that are no whole numbers from 0 to 255")
        values = whole
    shape = [n for n in values.shape[1:] if n != 1]  # without a channel
    values = values.reshape(len(values), *([28, 28] if shape == [784] else shape))
    header = struct.pack(f">{1 + values.ndim}i", 0x800 + values.ndim, *values.shape)
    return header + values.tobytes()


def npz_file(name: str, published: str, inside: str, keys: tuple[str, ...]) -> DataFile:
    """An .npz file; what is inside are its arrays `keys`, one after the other."""
    others = tuple(name + end for end in ENDS if end)

    def unpack(path: Path) -> bytes:
        with arrays_of(path, name) as arrays:
            return b"".join(arrays[key].tobytes() for key in keys)

    return DataFile(name, published, inside, unpack, others)


def arrays_of(path: Path, name: str):
    """The arrays of the .npz file `name`, however it was packed: as `np.load`."""
    return np.load(io.BytesIO(_unwrapped(path.read_bytes(), name)), allow_pickle=False)


# ---------------------------------------------------------------- an .npz with its own SHA-256
def sum_of(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()


def is_whole(arrays: dict[str, np.ndarray]) -> bool:
    """Whether `sha256` among the arrays is that of all others. Raises KeyError without it."""
    others = {name: array for name, array in arrays.items() if name != "sha256"}
    return str(arrays["sha256"]) == sum_of(others)
