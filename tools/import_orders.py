"""Every order in which the course meets torch, Triton, TensorFlow and Keras, each in a new process.

    python -m tools.import_orders                           # half an hour on two cores
    python -m tools.import_orders --of 3                    # each order of three of the eight steps
    python -m tools.import_orders tensorflow optimiser      # this one

A step imports something and uses it. An order fails if its process dies or says something wrong.
Most of the 40 320 orders differ only in when they use what is loaded already. Of those that load
the same in the same order one is run: 119 processes.
"""

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

STEPS = {
    "torch": "import torch; assert torch.ones(2).sum() == 2",
    "triton": "import triton; assert triton.cdiv(5, 2) == 3",
    "tensorflow": "import tensorflow as tf; assert tf.constant(1) + 1 == 2",
    "keras": "import keras; assert float(keras.ops.add(1.0, 1.0)) == 2",
    "tensorboard": "from torch.utils.tensorboard import SummaryWriter",
    "twin": (
        "import numpy as np; from stn_course import keras_twin; x = np.ones((1, 3, 5, 1), 'f');"
        "assert keras_twin.warp(x, np.eye(2, 3, dtype='f')[None], (4, 2)).shape == (1, 4, 2, 1)"
    ),
    "optimiser": (
        "import torch; p = torch.nn.Parameter(torch.ones(2)); p.grad = torch.ones(2);"
        "torch.optim.SGD([p], 0.5).step(); assert p.tolist() == [0.5, 0.5]"
    ),
    "warp": (
        "import torch; from stn_course import warp;"
        "assert warp(torch.ones(1, 1, 3, 5), torch.eye(2, 3)[None], (4, 2)).shape[2:] == (4, 2)"
    ),
}
# What each step loads of what matters: two LLVMs, what brings them, and the course that parts them.
LOADS = {
    "torch": {"torch"},
    "triton": {"triton"},
    "tensorflow": {"tensorflow"},
    "keras": {"keras", "tensorflow"},
    "tensorboard": {"torch", "tensorflow"},
    "twin": {"course", "torch", "keras", "tensorflow"},
    "optimiser": {"torch", "triton"},
    "warp": {"course", "torch"},
}


def needs_the_course_first(order: Sequence[str]) -> bool:
    """Whether Triton follows TensorFlow before anything of the course is there to part them.

    No import of ours can help a process that has none. Then the order begins with the course.
    """
    loaded = set()
    for step in order:
        if "triton" in LOADS[step] and "tensorflow" in loaded and "course" not in loaded:
            return True
        loaded |= LOADS[step]
    return False


def program(order: Sequence[str]) -> str:
    """What a new process is told to do."""
    first = ["import stn_course"] if needs_the_course_first(order) else []
    return "\n".join([*first, *(STEPS[step] for step in order), "print('done')"])


def fails(order: Sequence[str]) -> str:
    """What went wrong in a new process; nothing if all is well."""
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", program(order)]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    if done.returncode == 0 and done.stdout.split()[-1:] == ["done"]:
        return ""
    last = done.stderr.strip().splitlines()[-1:] or ["without a word"]
    return f"exit code {done.returncode}: {last[0]}"


def orders(of: int = len(STEPS)) -> Iterator[tuple[str, ...]]:
    """The orders of `of` steps; of those that load the same in the same order the first."""
    seen = set()
    for order in itertools.permutations(STEPS, of):
        loaded, news = set(), [needs_the_course_first(order)]
        for step in order:
            news.append(frozenset(LOADS[step] - loaded))
            loaded |= LOADS[step]
        kind = tuple(new for new in news if new)
        if kind not in seen:
            seen.add(kind)
            yield order


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 if an order fails, which is then named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", choices=[[], *STEPS])
    parser.add_argument("--of", type=int, default=len(STEPS), help="steps in an order (all)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (default: 2)")
    asked = parser.parse_args(arguments)
    wanted = [tuple(asked.steps)] if asked.steps else list(orders(asked.of))
    failed = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for order, wrong in zip(wanted, pool.map(fails, wanted), strict=True):
            failed += bool(wrong)
            print(wrong or "well", "|", " ".join(order), flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} orders are well")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
