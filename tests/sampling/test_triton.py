"""The Triton kernels: in Triton's interpreter on any machine, on a GPU where there is one."""

import os
import re
import subprocess
import sys
from functools import partial

import pytest
import torch

from tests.sampling import cases
from tests.sampling.cases import KERNELS, answers, near, run_kernels
from tests.support import ROOT

triton = pytest.importorskip("triton", reason="TRITON IS NOT INSTALLED: its kernels were not run")

from stn_course.sampling import fused  # noqa: E402
from stn_course.sampling.fused import triton_kernels  # noqa: E402

ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU: nothing ran on one")
CASES = 200
draw = partial(cases.draw, paddings=KERNELS)


def test_the_interpreter_agrees():
    """Everything in triton_interpreted.py: each kind with each padding, and the edges of it all."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    settings = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    settings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nbval alone takes seconds
    done = subprocess.run(
        [*command, str(ROOT / "tests" / "sampling" / "triton_interpreted.py")],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 25


def signature(kernel, constants, types):
    return {
        name: "constexpr" if name in constants else types.get(name, "i32")
        for name in kernel.arg_names
    }


@pytest.mark.parametrize("ones", [False, True], ids=["sizes", "sizes of one"])
@pytest.mark.parametrize("kind", [2, 3, 0], ids=["affine", "homography", "spline"])
def test_kernels_compile_for_a_gpu_without_one(kind, ones, tmp_path, monkeypatch):
    """Types and shapes hold in the compiler too, which knows nothing of the interpreter.

    A size that is 1 becomes a constant of the program, as at a launch.
    """
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    floats = "grad images theta basis fill out scale inverse".split()
    types = {name: "*fp32" for name in floats} | {"cells": "*i64", "levels": "*i64"}
    types["index"] = "*i64"
    kernels = triton_kernels
    flags = {"KIND": kind, "ALIGN": ones, "BORDER": False, "BLOCK": 256}
    flags["INDEXED"] = not ones
    jobs = [
        (kernels.forward, flags | {"UINT8": True}, types | {"images": "*u8"}),
        (kernels.to_transform, flags | {"UINT8": False, "SUMS": 32}, types),
        (kernels.to_images, flags, types | {"grad": "*bf16"}),
        (kernels.scales, {"BLOCK": 256}, types),
    ]
    for kernel, constants, kinds in jobs:
        if ones:
            sizes = set("C h w H W K steps n".split()) & set(kernel.arg_names)
            constants = constants | dict.fromkeys(sizes, 1)
        where = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source = ASTSource(kernel, signature(kernel, constants, kinds), where)
        assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]


# ---------------------------------------------------------------- on a GPU
@ON_GPU
@pytest.mark.parametrize("part", range(4))
def test_random_cases_on_a_gpu(part):
    for seed in range(part * CASES // 4, (part + 1) * CASES // 4):
        case = draw(seed, largest=40)
        near(run_kernels(case, "cuda"), answers(case))


@ON_GPU
def test_ten_runs_on_a_gpu_give_the_same_bits():
    case = draw(0, largest=40)
    case.size, channels = (64, 64), 32
    images = torch.rand(64, channels, 40, 40, device="cuda", requires_grad=True)
    for kind in (0, 2, 3):
        theta = draw(kind).transform[:1].float().cuda().repeat(64, *([1] * 2)).requires_grad_()
        first = None
        for _ in range(10):
            out = fused.warp(images, theta, case.size)
            grads = torch.autograd.grad(out.square().sum(), (images, theta))
            bits = [out.detach(), *grads]
            first = first or bits
            assert all(torch.equal(a, b) for a, b in zip(first, bits, strict=True))
