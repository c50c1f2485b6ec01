import pytest

from stn_course import data
from stn_course.data import Digits
from stn_course.training import datasets
from tests.support import few_rows


@pytest.fixture
def few_digits(monkeypatch):
    """300 digits a split, and 40 published rows: nothing here is about how well they are read."""

    def first(made, n):
        return Digits(made.images[:n], made.labels[:n], made.source)

    mnist = data.mnist
    monkeypatch.setattr(datasets, "mnist", lambda split: first(mnist(split), 300))
    monkeypatch.setattr(datasets, "published_rows", few_rows)
