"""What the tests of the Keras twin share: they skip, loudly, where TensorFlow is missing."""

from importlib.util import find_spec

import pytest

MISSING = [name for name in ("tensorflow", "keras") if find_spec(name) is None]


def need_tensorflow() -> None:
    """Skip the whole file without TensorFlow or Keras, saying what to install."""
    if MISSING:
        reason = f"{' AND '.join(MISSING).upper()} NOT INSTALLED: the Keras twin was not tested; "
        pytest.skip(reason + "python -m pip install tensorflow keras", allow_module_level=True)
