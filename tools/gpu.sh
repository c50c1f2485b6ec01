#!/usr/bin/env bash
# All that only a GPU can tell, in 25 minutes: `bash tools/gpu.sh OUT`, or in parts, at most ten
# minutes each: `bash tools/gpu.sh OUT check bench`, then `... OUT sequences`, ...
#
# Needs torch with CUDA, triton, numpy and tqdm, the digits (STN_COURSE_DATA), and a clean checkout:
# a record names its commit. Where only the files are, STN_COURSE_COMMIT tells it.
# OUT/records.jsonl gets the records of the long tables, for `stn-course records import`, and
# OUT/bench.tgz those of speed, for records/speed. What is stopped goes on from its records when
# it is run again with the same OUT.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: bash tools/gpu.sh OUT [PART ...]}
shift
parts="check bench sequences paper homography seven clevr"
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $parts
for part in "$@"; do
  [[ " $parts " == *" $part "* ]] || { echo "part $part is unknown; wanted $parts" >&2; exit 2; }
done
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python}
device=${DEVICE:-cuda}

run() { # minutes, then what `stn-course run` is told
  timeout "$((60 * $1))" "$python" -m stn_course run "${@:2}" --parallel-runs 8 --out "$out/records.jsonl"
}

names() { "$python" -m stn_course run --list | awk '{print $1}' | grep -E "$1"; }

commit=$("$python" -c "from stn_course.training.record import current_commit; print(current_commit())") || exit 1
case $commit in
unknown | *-dirty)
  echo "commit=$commit: no record of it could be filed; commit, or set STN_COURSE_COMMIT" >&2
  exit 1
  ;;
esac

for part in "$@"; do
  case $part in
  check)
    if "$python" -c "import pytest" 2>/dev/null; then
      "$python" -m pytest -q tests/training/test_step.py tests/sampling/test_triton.py || exit 1
    else
      echo "no pytest here: the tests that need a GPU did not run"
    fi
    ;;
  bench)
    speed=$(mktemp -d)
    trap 'rm -rf "$speed"' EXIT
    timeout 300 "$python" -m benchmarks --device "$device" \
      --only warp epoch tutorial parallel --out "$speed/bench"
    tar -czf "$out/bench.tgz" -C "$speed" bench && tar -tzf "$out/bench.tgz"
    ;;
  # S1 and S2; S12 with S13 and S14; S11; S10; S16: each has its share, the next goes on regardless.
  sequences) run 5 seq-rnn-fresh seq-ffn seq-rnn seq-ffn-fresh seq-cnn seq-cnn-fresh ;;
  paper) run 6 $(names '^(paper|ours)-') ;;
  homography) run 3 $(names '^(proj|elastic|steady)-') ;;
  seven) run 4 $(names '^se-') ;;
  clevr) run 1 $(names '^clevr-') ;;
  esac
done
touch "$out/records.jsonl"
echo "$(wc -l < "$out/records.jsonl") records in $out/records.jsonl"
[ -s "$out/records.jsonl" ] || [ -s "$out/bench.tgz" ]
