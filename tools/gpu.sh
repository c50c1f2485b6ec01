#!/usr/bin/env bash
# All that only a GPU can tell, in one command of at most 25 minutes: `bash tools/gpu.sh OUT`.
#
# Needs torch with CUDA, triton, numpy and tqdm, and the digits (STN_COURSE_DATA). OUT/bench gets the
# records of speed, OUT/records.jsonl the records of the long tables: copy the one to
# figures/records/bench and hand the other to `stn-course records import`. What is stopped goes on
# from its records when it is run again.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: bash tools/gpu.sh OUT}
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
python=${PYTHON:-python}

run() { # minutes, then what `stn-course run` is told
  timeout "$((60 * $1))" "$python" -m stn_course run "${@:2}" --parallel-runs 8 --out "$out/records.jsonl"
}

if "$python" -c "import pytest" 2>/dev/null; then
  "$python" -m pytest -q tests/test_step.py tests/test_fused_triton.py || exit 1
fi
timeout 300 "$python" benchmarks/run.py --device cuda --only warp epoch tutorial parallel \
  --out "$out/bench"

names() { "$python" -m stn_course run --list | awk '{print $1}' | grep -E "$1"; }
# S1 and S2, S12 with S13 and S14, S11, S10, S16: each has its share, the next goes on regardless.
run 5 seq-rnn-fresh seq-ffn seq-rnn seq-ffn-fresh seq-cnn seq-cnn-fresh
run 6 $(names '^(paper|ours)-')
run 3 $(names '^(proj|elastic|steady)-')
run 4 $(names '^se-')
run 1 $(names '^clevr-')
echo "$(wc -l < "$out/records.jsonl") records in $out/records.jsonl, $(find "$out/bench" -name '*.json' | wc -l) of speed"
