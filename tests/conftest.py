"""Which digits the tests run on: `full_data` tests skip loudly on the offline sample."""

import os

import pytest


def pytest_runtest_setup(item):
    if item.get_closest_marker("full_data") is None:
        return
    from stn_course.data import is_sample

    if not is_sample():
        return
    if os.environ.get("STN_COURSE_DATA"):
        pytest.fail("STN_COURSE_DATA is set, but the four MNIST files are not in that folder")
    pytest.skip("needs the full MNIST: the four files are not here and no mirror answered")


def pytest_terminal_summary(terminalreporter):
    from stn_course import data

    try:
        digits = data.source()
    except (data.CorruptFileError, data.DownloadError) as error:
        digits = f"NONE: {error}"
    terminalreporter.write_line(f"digits: {digits}")
