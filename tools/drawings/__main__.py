"""python -m tools.drawings [--check]: draw every network and chart into figures/, or compare."""

import argparse
import sys

from tools.drawings import files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.drawings", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs")
    if not parser.parse_args().check:
        for line in files.write():
            print(line)
        return 0
    for name in files.MADE:
        if why := files.skipped(name):
            print(f"SKIPPED: {why}", file=sys.stderr)
    found = list(files.problems())
    for line in found:
        print(f"error: {line}; run `python -m tools.drawings`", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
