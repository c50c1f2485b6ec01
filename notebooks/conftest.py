"""`pytest --nbval notebooks`, wherever it is run."""

import os
from importlib.util import find_spec

# Where there is no C compiler the sampler does the fused warp's work, and says so: true, and not
# an output that the stored one could have.
os.environ.setdefault("PYTHONWARNINGS", "ignore:the fast warp handed over:UserWarning")

NO_TENSORFLOW = [name for name in ("tensorflow", "keras") if find_spec(name) is None]
collect_ignore = ["06_keras.ipynb"] if NO_TENSORFLOW else []


def pytest_report_header(config):
    if NO_TENSORFLOW:
        missing = " AND ".join(NO_TENSORFLOW).upper()
        return f"{missing} NOT INSTALLED: notebook 06 is not run; python -m pip install -e '.[tf]'"
    return None
