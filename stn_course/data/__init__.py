"""Digits and what is done to them: verified, seeded, with the truth returned."""

from stn_course.data.checksums import PUBLISHED_SHA256, Row, fetch_all
from stn_course.data.clutter.dataset import ClutterSet
from stn_course.data.clutter.fresh import Rows, draw_rows, published_rows
from stn_course.data.clutter.published import (
    PUBLISHED_40,
    PUBLISHED_100,
    ClutterRecipe,
    cluttered,
    generate,
    sequences,
)
from stn_course.data.digits import (
    Digits,
    FullMnistNeededError,
    is_sample,
    mnist,
    source,
    to_float,
)
from stn_course.data.distortions import Distorted
from stn_course.data.download import DownloadError
from stn_course.data.files import CorruptFileError, DataFolderError
from stn_course.data.not_so_clevr import Squares, squares
from stn_course.data.pictures import from_picture, whole_picture
from stn_course.data.recipes import DISTORTIONS, TASKS, freeze, kinds, read_npz, write_npz
from stn_course.data.scenes import Placed, Sums, addition, colocalisation
from stn_course.data.words import Bent, flat_words

__all__ = [
    "Bent",
    "ClutterRecipe",
    "ClutterSet",
    "CorruptFileError",
    "DISTORTIONS",
    "DataFolderError",
    "Digits",
    "Distorted",
    "DownloadError",
    "FullMnistNeededError",
    "PUBLISHED_100",
    "PUBLISHED_40",
    "PUBLISHED_SHA256",
    "Placed",
    "Row",
    "Rows",
    "Squares",
    "Sums",
    "TASKS",
    "addition",
    "cluttered",
    "colocalisation",
    "draw_rows",
    "fetch_all",
    "flat_words",
    "freeze",
    "from_picture",
    "generate",
    "is_sample",
    "kinds",
    "mnist",
    "published_rows",
    "read_npz",
    "sequences",
    "source",
    "squares",
    "to_float",
    "whole_picture",
    "write_npz",
]
