"""`pytest --nbval notebooks`, wherever it is run."""

import os

# Where there is no C compiler the sampler does the fused warp's work, and says so: true, and not
# an output that the stored one could have.
os.environ.setdefault("PYTHONWARNINGS", "ignore:fused.warp fell back:UserWarning")
