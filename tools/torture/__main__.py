"""`python -m tools.torture`; the parts and the options are those of `tools.torture.hunt`."""

import os
import sys

# Before torch is loaded: children are copies of this process, and threads are not copied.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("STN_COURSE_DATA", None)
os.environ |= {"STN_COURSE_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg"}

from tools.torture.hunt import main

sys.exit(main())
