#!/usr/bin/env bash
# Resolve constraints.txt anew, for every platform and Python that the course supports: `make lock`.
#
# torch is pinned by hand, below, without a local label such as +cpu: pip then takes a CPU build
# where one is at hand and the CUDA build elsewhere. Raise it when the CPU builds of the next
# version are where readers get theirs, and run the records' tests again.
set -euo pipefail
cd "$(dirname "$0")/.."
TORCH="torch==2.13.0"
OUT="${1:-constraints.txt}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=.venv/bin/python
[ -x "$python" ] || python=python3
if command -v uv >/dev/null; then
  uv=(uv)
else
  "$python" -m venv "$work/venv"
  "$work/venv/bin/python" -m pip install -q uv
  uv=("$work/venv/bin/uv")
fi

echo "$TORCH" > "$work/pins.txt"
"${uv[@]}" pip compile pyproject.toml --universal --python-version 3.11 --all-extras \
  --no-header --no-annotate --quiet -c "$work/pins.txt" -o "$work/constraints.txt"

{
  echo "# The versions that the course is tested with, on every platform: use with \`pip install -c constraints.txt\`."
  echo "# Made by \`make lock\`; torch is pinned by hand (tools/lock.sh says why)."
  # An index or a link that this machine uses is not part of the lock.
  grep -vE '^(--|#|$)' "$work/constraints.txt"
} > "$work/new.txt"
grep -qx "$TORCH" "$work/new.txt" || { echo "lock: $TORCH is not in the result" >&2; exit 1; }
mv "$work/new.txt" "$OUT"

# The same versions with the SHA-256 of every build that the index has, for `pip --require-hashes`:
# what readers need, and what the tests need besides. Not torch and what comes with it on a GPU: a
# machine may have a build of its own.
hashed() {  # options of uv -> entries of a package and its hashes
  "${uv[@]}" pip compile pyproject.toml --universal --python-version 3.11 --no-header \
    --no-annotate --quiet --generate-hashes -c "$OUT" "$@" -o "$work/hashed.txt"
  awk '/^[a-z0-9]/ { own = !/^(torch|triton|cuda-[a-z]*|nvidia-[a-z0-9-]*)[ =]/ } own && !/^(--|#|$)/' \
    "$work/hashed.txt"
}
mkdir -p tools/locks
hashed --extra course --extra tf --extra book > tools/locks/course.txt
hashed --all-extras > "$work/all.txt"
awk 'NR == FNR { if (/^[a-z0-9]/) has[$1] = 1; next } /^[a-z0-9]/ { more = !($1 in has) } more' \
  tools/locks/course.txt "$work/all.txt" > tools/locks/tests.txt
echo "$OUT: $(grep -vc '^#' "$OUT") pins"
