"""The C program under guard: under the compilers' sanitizers, and under valgrind."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stn_course.sampling.fused import compiler
from tools.torture.parts import Fallen, Skipped
from tools.torture.verbs import ROOT

DRIVER = Path(__file__).with_name("guarded.c")
# Both ways to read, but for that of AVX-512, which valgrind does not know.
WAYS = ([], ["-mavx2", "-mfma"])


def c_program(times: int, chance: random.Random, folder: Path) -> Fallen:
    """The warp's tests, its library compiled with the sanitizers of addresses and behaviour."""
    cc = shutil.which("gcc")
    asan = cc and subprocess.run(
        [cc, "-print-file-name=libasan.so"], capture_output=True, text=True
    )
    if not asan or not Path(asan.stdout.strip()).is_absolute():
        raise Skipped("no gcc with libasan")
    checks = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
    own = {"CC": f"{cc} -g {checks}", "STN_COURSE_CACHE": str(folder / "cache")}
    own |= {"LD_PRELOAD": asan.stdout.strip(), "PYTHONMALLOC": "malloc", "OMP_NUM_THREADS": "2"}
    own |= {"ASAN_OPTIONS": "detect_leaks=0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    tests = ["test_random_cases", "test_positions", "background", "tile", "out", "far", "large"]
    tests += ["bits_of_one_channel", "sum_over_copies", "stripes_end"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k"]
    done = subprocess.run(
        [*command, f"({' or '.join(tests[: max(1, times)])}) and not compiler"]
        + [f"tests/sampling/test_{name}.py" for name in ("fused", "tiles", "stripes")],
        cwd=ROOT,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=900,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    for _ in range(int(passed[1]) if passed else 0):
        yield None
    if done.returncode:
        yield f"{done.stdout[-1500:]} {done.stderr[-1500:]}"


def valgrind(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Random warps, forward and backward, in buffers of just their size, under valgrind."""
    tool, cc = shutil.which("valgrind"), shutil.which("cc")
    if not tool or not cc:
        raise Skipped("no valgrind" if cc else "no cc")
    for k, way in enumerate(WAYS):
        flags = [f for f in compiler.FLAGS if f != "-O3"] + ["-O1", "-g", *way]
        place = ["-I", str(compiler.SOURCE.parent), str(DRIVER), "-o", str(folder / f"{k}"), "-lm"]
        built = subprocess.run([cc, *flags, *place], capture_output=True, text=True)
        if built.returncode and way:  # another processor's compiler
            continue
        number = str(chance.randrange(1, 2**31))
        command = [tool, "-q", "--error-exitcode=99", folder / f"{k}", number, str(times)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
        tried = done.stdout.split()
        for _ in range(int(tried[0]) if tried else 0):
            yield None
        if done.returncode:
            yield f"{way} seed {number}: {done.returncode} {done.stderr[-1500:]}"
