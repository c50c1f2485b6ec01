"""warp.c on another processor: compiled for Arm by a cross compiler, and run by an emulator.

There is no Arm machine here, and a compiler that makes wrong vector code for one would show nowhere
else. So each case of the other tests is handed to a program that the emulator runs, and must come
out as the float64 sampler has it. Skipped aloud where cross compiler or emulator is missing.
"""

import ctypes
import dataclasses
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from stn_course.sampling import reference
from stn_course.sampling.fused import compiler, cpu, warp
from tests.sampling import cases

GCC, QEMU, OBJDUMP = "aarch64-linux-gnu-gcc", "qemu-aarch64", "aarch64-linux-gnu-objdump"
FUNCTIONS = ("warp_forward", "warp_backward", "warp_background")
MADE_HERE = ("out", "grad_images", "grad_transform", "grad_fill")
pytestmark = pytest.mark.skipif(
    not (shutil.which(GCC) and shutil.which(QEMU)), reason=f"no {GCC} or {QEMU} here"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The driver with warp.c in it, for Arm."""
    made = tmp_path_factory.mktemp("arm") / "emulated"
    flags = [*compiler.FLAGS, "-static", f'-DWARP_C="{compiler.SOURCE}"']
    source = Path(__file__).with_name("emulated.c")
    command = [GCC, *flags, "-fopenmp-simd", str(source), "-o", str(made), "-lm"]
    subprocess.run(command, check=True, timeout=120)
    return made


class Elsewhere:
    """What `cpu.library()` is, with every warp done by the emulator."""

    def __init__(self, program: Path, folder: Path):
        self.program, self.folder, self.here, self.calls = program, folder, cpu.library(), 0
        self.scratch_floats, self.warp_pieces = self.here.scratch_floats, self.here.warp_pieces

    def __getattr__(self, name):
        return lambda call: self.run(FUNCTIONS.index(name), call)

    def run(self, function: int, call: cpu.Warp) -> int:
        names = [name for name, _ in call._fields_]
        numbers = [n for n, kind in call._fields_ if kind is ctypes.c_int64]
        pointers = names[len(numbers) :]
        told = [function, len(numbers), len(pointers), *(getattr(call, n) for n in numbers)]
        parts = [struct.pack(f"<{len(told)}q", *told)]
        sizes = {name: bytes_of(name, call) for name in pointers}
        for name, size in sizes.items():
            parts.append(struct.pack("<q", size))
            if size > 0:
                parts.append(ctypes.string_at(getattr(call, name), size))
        asked, answer = self.folder / "call", self.folder / "result"
        asked.write_bytes(b"".join(parts))
        subprocess.run([QEMU, str(self.program), str(asked), str(answer)], check=True, timeout=60)
        found = answer.read_bytes()
        (said,), at = struct.unpack("<q", found[:8]), 8
        for name, size in sizes.items():
            if size > 0 and name in MADE_HERE:
                ctypes.memmove(getattr(call, name), found[at : at + size], size)
            at += max(size, 0)
        assert at == len(found)
        self.calls += 1
        return said


def bytes_of(name: str, call: cpu.Warp) -> int:
    """How many bytes a pointer of a call points to; -1 for NULL."""
    if not getattr(call, name):
        return -1
    pictures = getattr(call, "pictures", 0) or call.batch
    read, made = pictures * call.channels * call.h * call.w, call.batch * call.channels
    unknowns = {0: 2 * call.K, 1: 2 * call.H * call.W}.get(call.kind, 3 * call.kind)
    counts = {
        "images": read * (1 if call.uint8 else 4),
        "grad_images": 4 * read,
        "transform": 4 * call.batch * unknowns,
        "grad_transform": 4 * call.batch * unknowns,
        "index": 8 * call.batch,
        "order": 8 * call.batch,
        "starts": 8 * (pictures + 1),
        "basis": 4 * call.K * call.H * call.W,
        "fill": 4 * pictures * call.channels,
        "grad_fill": 4 * made,
        "grad": 4 * made * call.H * call.W,
        "out": made * call.H * call.W * (1 if call.bytes else 4),
        "scratch": 0,
    }
    if not call.H:  # of the background alone
        counts |= {"out": 4 * made, "scratch": 4 * call.h * call.w}
    return counts[name]


@pytest.fixture
def arm(program, tmp_path, monkeypatch):
    """From here on the fast warp is done by the emulator."""
    elsewhere = Elsewhere(program, tmp_path)
    monkeypatch.setattr(cpu, "library", lambda: elsewhere)
    yield elsewhere
    assert elsewhere.calls > 0


def gradients(function, of: cases.Case, kind: torch.dtype):
    """Result and the gradients to images, transform and fill."""
    leaves = [of.images, of.transform] + ([] if of.fill is None else [of.fill])
    leaves = [leaf.to(kind).requires_grad_() for leaf in leaves]
    fill = leaves[2] if len(leaves) > 2 else None
    result = function(leaves[0], leaves[1], fill=fill, **of.options())
    return result, *torch.autograd.grad(result, leaves, of.grad.to(kind))


@pytest.mark.parametrize("seed", range(15))
def test_arm_reads_and_flows_back_as_the_float64_sampler(seed, arm):
    of = cases.draw(seed)
    wanted = gradients(reference.warp, of, torch.float64)
    for got, want in zip(gradients(warp, of, torch.float32), wanted, strict=True):
        scale = max(1.0, want.abs().max().item())
        assert (got.double() - want).abs().max() <= 2e-5 * scale


def test_arm_cuts_a_large_picture_into_tiles(arm, monkeypatch):
    monkeypatch.setattr(cpu, "WHOLE", 400)
    of = cases.draw(2, channels=(3,), largest=90)
    wanted = gradients(reference.warp, of, torch.float64)
    for got, want in zip(gradients(warp, of, torch.float32), wanted, strict=True):
        assert (got.double() - want).abs().max() <= 2e-5 * max(1.0, want.abs().max().item())


def test_arm_reads_bytes_into_bytes(arm):
    of = dataclasses.replace(cases.draw(1, channels=(3,)), padding="zeros", fill=None)
    pictures = (255 * of.images).round().to(torch.uint8)
    out = torch.empty(*pictures.shape[:2], *of.size, dtype=torch.uint8)
    warp(pictures, of.transform.float(), out=out, **of.options())
    wanted = 255 * reference.warp(pictures.double() / 255, of.transform, **of.options())
    assert (out.double() - wanted).abs().max() <= 0.5 + 1e-3


def test_arm_finds_the_background(arm):
    of = cases.draw(0)
    pictures = of.images.float()
    assert torch.equal(cpu.background(pictures), reference.background_of(pictures))


def test_the_program_uses_vectors(program):
    """Else nothing of what is feared would have been tried."""
    if not shutil.which(OBJDUMP):
        pytest.skip(f"no {OBJDUMP} here")
    shown = subprocess.run([OBJDUMP, "-d", str(program)], capture_output=True, text=True).stdout
    assert shown.count("fmla\tv") > 20
