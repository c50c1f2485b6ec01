import pytest

from stn_course.training import datasets
from tests.support import few_rows, first_digits


@pytest.fixture
def few_digits(monkeypatch):
    """300 digits a split, and 40 published rows: nothing here is about how well they are read."""

    monkeypatch.setattr(datasets, "mnist", first_digits(300))
    monkeypatch.setattr(datasets, "published_rows", few_rows)
