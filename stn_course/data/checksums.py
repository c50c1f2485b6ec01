"""The SHA-256 values of all published data, and one call that fetches and checks everything."""

from pathlib import Path
from typing import NamedTuple

from stn_course.data.clutter.published import FILE_40, cluttered, sequences
from stn_course.data.digits import (
    SAMPLE,
    SAMPLE_FILE,
    SAMPLE_SHA256,
    SPLITS,
    is_sample,
    locate,
    mnist_files,
)
from stn_course.data.download import read_settings
from stn_course.data.files import DataFile, find_file, sha256

# Of `ClutterSet.arrays()`: images float32 [N, H*W], labels int32 [N, digits].
PUBLISHED_SHA256 = {
    ("cluttered", "train", "images"): (
        "4786a6df0c95e71a6e1e29a091c20f2699d974b7c98f711c13e23e12c88625a3"
    ),
    ("cluttered", "train", "labels"): (
        "9fa6fca70ab82af93dea8d2f540ddab0b56a0cae38f38f26888510d1534c9560"
    ),
    ("cluttered", "valid", "images"): (
        "adac050be8ebdef30273dc5bc1a07bd3a6c94a70c86227f4a89585d97ee6d6a6"
    ),
    ("cluttered", "valid", "labels"): (
        "312fcfb9c51f432605cd4d06d026cf0980aac0f639977d32cbc19c237afdee71"
    ),
    ("cluttered", "test", "images"): (
        "23519e250a0918d32f43f769b06a77b5d4d3894f8155c63cf3a4d864f1a26760"
    ),
    ("cluttered", "test", "labels"): (
        "388bf1f3d29b7b9aa8c983b5e3f63716db0dbfcbbcf89367047c3784028f4d91"
    ),
    ("sequences", "train", "images"): (
        "ff5b11e926ab9c10283ef75bf0c38a6e401d1a5d7ed62ce96cfc38e257a6812c"
    ),
    ("sequences", "train", "labels"): (
        "d9f8bfa895c1e9fe2cad1564695438405116c913d80d170b6924d86ddeb1c480"
    ),
    ("sequences", "valid", "images"): (
        "3c350cecd6663e36f07ac2d3a12154097a1b3d83680358c92d32bb4623b5f795"
    ),
    ("sequences", "valid", "labels"): (
        "b37b8e99e8f330d66fa8a4b08929988ebe05077fbeb1a8c4c8c79cb00881e94a"
    ),
    ("sequences", "test", "images"): (
        "98b80e624c0b5ccb2d42e24be2026aa321e3469c52eaa92d6c9b8e2098416a07"
    ),
    ("sequences", "test", "labels"): (
        "caf5793196c664c63ba2ae2ac8f6a941ad0ede51264654c7e0bce261feb71e7d"
    ),
}


class Row(NamedTuple):
    """One thing that was fetched or made: `ok` when `sha256`, which was found, is as published."""

    file: str
    source: str
    sha256: str
    ok: bool


def fetch_all() -> list[Row]:
    """Fetch MNIST if need be, and verify it and both cluttered sets: about ten seconds.

    Where only the offline sample is here, its file is the only row: the cluttered sets need the
    full MNIST and are not made.

    Raises CorruptFileError, DataFolderError and DownloadError as `mnist` does.
    """
    if is_sample():
        found = sha256(SAMPLE_FILE.read_bytes())
        return [Row(SAMPLE_FILE.name, SAMPLE, found, found == SAMPLE_SHA256)]
    settings = read_settings()
    places = locate(settings)
    rows = [_row(file, *places[file.name]) for file in mnist_files()]
    if file_40 := find_file(FILE_40, settings):  # not needed, so not fetched; but checked
        rows.append(_row(FILE_40, *file_40))
    sets = (("cluttered", cluttered, "40x40"), ("sequences", sequences, "100x100"))
    for name, make, size in sets:
        for split in SPLITS:
            hashes = make(split).sha256()
            for part, found in zip(("images", "labels"), hashes, strict=True):
                ok = found == PUBLISHED_SHA256[name, split, part]
                file = f"{name} {size}, {split}, {part}"
                rows.append(Row(file, "regenerated from MNIST", found, ok))
    return rows


def _row(file: DataFile, path: Path, kind: str) -> Row:
    """Of the file where it is as published, else of what is inside it."""
    found = sha256(path.read_bytes())
    if found == file.sha256:
        return Row(file.name, kind, found, True)
    inside = sha256(file.unpack(path))
    return Row(file.name, f"{kind}: what is inside {path.name}", inside, inside == file.inside)
