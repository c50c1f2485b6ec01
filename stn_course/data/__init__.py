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
    describe_source,
    is_sample,
    mnist,
    source,
)
from stn_course.data.distort import DISTORTIONS, Distorted, freeze
from stn_course.data.files import CorruptFileError, DownloadError
from stn_course.data.published import PUBLISHED_SHA256, Row, fetch_all

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
    "Row",
    "cluttered",
    "describe_source",
    "fetch_all",
    "freeze",
    "generate",
    "is_sample",
    "mnist",
    "sequences",
    "source",
]
