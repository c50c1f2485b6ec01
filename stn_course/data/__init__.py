"""The door to all data: digits, cluttered sets and distortions."""

from stn_course.data.clutter import (
    PUBLISHED_40,
    PUBLISHED_100,
    ClutterRecipe,
    cluttered,
    generate,
    sequences,
)
from stn_course.data.clutter_set import ClutterSet
from stn_course.data.digits import (
    Digits,
    FullMnistNeededError,
    is_sample,
    mnist,
    source,
)
from stn_course.data.distort import Distorted
from stn_course.data.files import CorruptFileError, DownloadError
from stn_course.data.made import write_set
from stn_course.data.published import PUBLISHED_SHA256, Row, fetch_all
from stn_course.data.recipes import DISTORTIONS, TASKS, frozen, kinds
from stn_course.data.rows import Rows, published_rows
from stn_course.data.scenes import Placed, Sums, addition, colocalisation, glimpse_boxes, iou

__all__ = [
    "PUBLISHED_40",
    "PUBLISHED_100",
    "PUBLISHED_SHA256",
    "DISTORTIONS",
    "ClutterRecipe",
    "ClutterSet",
    "CorruptFileError",
    "Digits",
    "Distorted",
    "DownloadError",
    "FullMnistNeededError",
    "Placed",
    "Row",
    "Rows",
    "Sums",
    "TASKS",
    "addition",
    "cluttered",
    "colocalisation",
    "fetch_all",
    "frozen",
    "generate",
    "glimpse_boxes",
    "iou",
    "is_sample",
    "kinds",
    "mnist",
    "published_rows",
    "sequences",
    "source",
    "write_set",
]
