"""Keras and TensorFlow without a line on the screen; or, where they are missing, what to install.

Everything in this package imports Keras through `load`. Setting TF_CPP_MIN_LOG_LEVEL alone
does not silence TensorFlow: it writes its first lines before it reads that variable, straight to
the file descriptor, while it is imported and again at its first operation.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator

INSTALL = (
    "`python -m pip install tensorflow keras`, or, in a checkout of the course, "
    "`python -m pip install -c constraints.txt -e '.[tf]'`"
)


class MissingTensorFlow(ImportError):
    """Keras or TensorFlow is not installed; the message says how to install it."""


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """What is written to file descriptor 2 is kept back, and shown only if the block raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def backend() -> str:
    """The framework that Keras runs on: "tensorflow", unless KERAS_BACKEND says otherwise.

    Where Keras is imported already, what it has taken.
    """
    if sys.modules.get("keras") is not None:
        return sys.modules["keras"].backend.backend()
    return os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def missing() -> list[str]:
    """Those of the packages needed here that are not installed."""
    wanted = ["keras", *(["tensorflow"] if backend() == "tensorflow" else [])]
    return [name for name in wanted if importlib.util.find_spec(name) is None]


def load():
    """The `keras` module, its backend imported and its first operation done, in silence.

    Raises MissingTensorFlow where Keras or its backend is not installed.
    """
    if absent := missing():
        raise MissingTensorFlow(
            f"{' and '.join(absent)} not installed: the Keras twin needs {INSTALL}"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with quiet_stderr():
        keras = importlib.import_module("keras")
        if keras.backend.backend() == "tensorflow":
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.get_logger().setLevel("ERROR")  # its Python half has a logger of its own
        keras.ops.add(1.0, 1.0)  # TensorFlow looks for devices now, and says what it found
    return keras


def load_tensorflow():
    """The `tensorflow` module, as silent as `load` makes it; errors as there.

    RuntimeError where Keras runs on another framework: its tensors are none of TensorFlow's.
    """
    if (found := load().backend.backend()) != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {found!r}; this needs 'tensorflow': set KERAS_BACKEND=tensorflow "
            "before Keras is imported (else keras.json decides), and restart"
        )
    return importlib.import_module("tensorflow")
