"""``python -m stn_course``: the command line."""

import sys

from stn_course.cli import main

sys.exit(main())
