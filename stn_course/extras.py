"""What the course needs beside the packages that every installation has."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Imports in the block come with `extra`, one of the optional dependencies in pyproject.toml.

    Where one is missing, raises ModuleNotFoundError that names it, the extra, and how to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise ModuleNotFoundError(
            f"{name} is not installed; it comes with the extra `{extra}`: in a checkout of the "
            f"course, python -m pip install -c constraints.txt -e '.[{extra}]'",
            name=name,
        ) from error
