"""`python -m stn_course`: the command line."""

import sys

from stn_course.cli.main import main

sys.exit(main())
