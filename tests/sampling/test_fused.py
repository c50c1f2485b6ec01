"""The fused warp against the float64 sampler, and every promise its docstring makes."""

import ctypes
import math
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stn_course import geometry, sampling
from stn_course.sampling import fused, reference
from stn_course.sampling.fused import compiler, cpu, operator
from stn_course.sampling.fused.compiler import SOURCE, BuildError, _own_folder, library
from tests.sampling.cases import answers, draw, near

COMPILER = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None,
    reason="NO C COMPILER: the fast warp was not tested, only its fallback",
)
KINDS = pytest.mark.parametrize("seed", range(5))
CASES = 200
# Where outside is the same everywhere. A mirrored place far away lies where rounding says.
FIXED = [padding for padding in reference.PADDINGS if padding != "reflection"]


@pytest.fixture
def fresh(monkeypatch):
    """Nothing built, nothing said yet."""
    for cached in (library, _own_folder, cpu.library, fused._try):
        cached.cache_clear()
    monkeypatch.setattr(operator, "_SAID", set())
    yield monkeypatch
    for cached in (library, _own_folder, cpu.library, fused._try):
        cached.cache_clear()


@pytest.fixture
def quick(fresh):
    """`fresh`, and what is built is built without optimisation: a fifth of the time."""
    fresh.setattr(compiler, "FLAGS", ("-O0", "-fPIC"))
    fresh.setattr(compiler, "VARIANTS", ((),))
    return fresh


def single(case):
    """The case's tensors in float32, with gradients to come."""
    found = [case.images, case.transform] + ([case.fill] if case.fill is not None else [])
    return [t.float().requires_grad_() for t in found]


def run(case, inputs=None):
    inputs = single(case) if inputs is None else inputs
    out = fused.warp(*inputs[:2], fill=(*inputs, None)[2], **case.options())
    grads = torch.autograd.grad(out, inputs, case.grad.to(out.dtype), materialize_grads=True)
    return [out.detach(), *grads]


def same(found, wanted):
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


# ---------------------------------------------------------------- the numbers
@COMPILER
@pytest.mark.parametrize("part", range(10))
def test_random_cases(part):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback
        for seed in range(part * CASES // 10, (part + 1) * CASES // 10):
            case = draw(seed)
            near(run(case), answers(case))


@COMPILER
def test_the_portable_loops_agree(fresh, tmp_path):
    """Without AVX-512, OpenMP or anything else that this processor may have."""
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setattr(compiler, "VARIANTS", (("-O1",),))
    for seed in range(40):
        case = draw(seed)
        near(run(case), answers(case))
    assert len(list(tmp_path.glob("fused/*.so"))) == 1


@COMPILER
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_types(dtype, padding):
    case = draw(11)
    images = (255 * case.images).to(dtype) if dtype == torch.uint8 else case.images.to(dtype)
    shown = images.double() / 255 if dtype == torch.uint8 else images.double()
    out = fused.warp(images, case.transform.float(), case.size, padding)
    assert out.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    wanted = reference.warp(shown, case.transform, case.size, padding)
    near([out], [wanted], 2 * torch.finfo(out.dtype).eps + 1e-6)
    if dtype != torch.uint8:
        low = case.transform.to(dtype)  # a coarse theta: not where to read, but it must be read
        wanted = reference.warp(images, low, case.size, padding)
        near([fused.warp(images, low, case.size, padding)], [wanted], torch.finfo(dtype).eps + 1e-5)
        leaves = [images.clone().requires_grad_(), low.clone().requires_grad_()]
        grads = torch.autograd.grad(fused.warp(*leaves, case.size, padding).sum(), leaves)
        assert [g.dtype for g in grads] == [dtype, dtype]


@COMPILER
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_a_number_to_fill_with(dtype):
    images = torch.randint(255, (2, 3, 4, 5)).to(dtype)
    theta = geometry.affine(20, 1.7).repeat(2, 1, 1)
    compiled = torch.compile(fused.warp, backend="aot_eager", fullgraph=True)
    wanted = reference.warp(images / 255 if dtype == torch.uint8 else images, theta, fill=0.3)
    for warp in (fused.warp, compiled):
        near([warp(images, theta, fill=0.3)], [wanted], torch.finfo(wanted.dtype).eps + 1e-5)
    many = torch.full((2, 3), 0.3, dtype=wanted.dtype)
    same([fused.warp(images, theta, fill=many)], [fused.warp(images, theta, fill=0.3)])


@COMPILER
def test_the_identity_hands_bytes_on():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(fused.warp(images, torch.eye(2, 3)[None]), images / 255.0)


@COMPILER
@KINDS
def test_layout_in_memory_does_not_matter(seed):
    case = draw(seed + 50)
    inputs = [t.detach() for t in single(case)]
    wanted = run(case)
    images, transform, *fill = inputs
    wide = torch.zeros(*images.shape, 2)
    wide[..., 1] = images
    turned = transform.transpose(1, 2).contiguous().transpose(1, 2)
    for other in (images.contiguous(memory_format=torch.channels_last), wide[..., 1]):
        same(run(case, [t.requires_grad_() for t in (other.detach(), turned, *fill)]), wanted)
    out = fused.warp(images[:1].expand_as(images), transform, **case.options())
    near([out], [fused.warp(images[:1].repeat(len(images), 1, 1, 1), transform, **case.options())])


@COMPILER
@KINDS
def test_ten_runs_and_any_number_of_threads_give_the_same_bits(seed, monkeypatch):
    case = draw(seed + 100)
    many = [t.detach().repeat(5, *[1] * (t.ndim - 1)).requires_grad_() for t in single(case)]
    case.grad = case.grad.repeat(5, 1, 1, 1)
    before, first = torch.get_num_threads(), run(case, many)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            monkeypatch.setattr(cpu, "ENOUGH", 1)  # threads even for so little
            for _ in range(4):
                same(run(case, many), first)
    finally:
        torch.set_num_threads(before)


@COMPILER
def test_background_is_the_samplers():
    g = torch.Generator().manual_seed(0)
    for shape in ((2, 3, 5, 6), (1, 2, 2, 7), (2, 1, 1, 1), (0, 2, 4, 4), (1, 1, 3, 3)):
        for levels in (2, 7, 1000):  # ties, and hardly any
            images = torch.randint(levels, shape, generator=g) / levels
            assert torch.equal(operator.background(images), sampling.background_of(images))
            assert torch.equal(operator.background_op(images), sampling.background_of(images))
            dark = (images * 255).to(torch.uint8)
            assert torch.equal(operator.background(dark), sampling.background_of(dark / 255.0))
    images = torch.rand(1, 2, 5, 5)
    images[0, 1, 0, 2] = math.nan
    assert operator.background(images).isnan().tolist() == [[False, True]]


@COMPILER
def test_nan_in_an_image_stays_where_it_is():
    images = torch.rand(1, 1, 6, 6)
    images[0, 0, 2, 3] = math.nan
    theta = geometry.affine(10, 0.8)
    found, wanted = fused.warp(images, theta), reference.warp(images, theta)
    assert torch.equal(found.isnan(), wanted.isnan()) and 0 < found.isnan().sum() < 16


@COMPILER
def test_coordinates_far_away_are_outside():
    theta = torch.tensor([[[1e29, 0, 3e29], [0, -1e29, -3e29]]])
    images = torch.rand(1, 2, 4, 5)
    for padding in FIXED:
        same(
            [fused.warp(images, theta, None, padding)],
            [reference.warp(images, theta, None, padding)],
        )


@COMPILER
@pytest.mark.parametrize("kind", [(2, 3), (3, 3), (4, 2)], ids=str)
def test_transforms_too_large_to_calculate_with_are_answered_as_by_the_sampler(kind):
    """Far away times the width of an image is beyond float32 long before far away is."""
    g = torch.Generator().manual_seed(0)
    images = torch.rand(1, 1, 2, 4000, generator=g)
    for power in (29, 33, 35, 36, 38):
        transform = (torch.rand(1, *kind, generator=g) - 0.5) * 10.0**power
        if kind == (3, 3):
            transform[:, 2, :2] = 0
        for padding in FIXED:
            found = fused.warp(images, transform, (2, 300), padding)
            wanted = reference.warp(images.double(), transform.double(), (2, 300), padding)
            near([found], [wanted], 1e-3)  # a pixel is 1/4000, and so is its rounding larger


@COMPILER
@pytest.mark.parametrize("far", [1e9, 1e29, 1e38])
def test_a_mirrored_place_far_away_is_one_of_the_picture(far):
    images, theta = torch.rand(1, 1, 5, 6), torch.eye(3).repeat(1, 1, 1) * far
    theta[:, 2] = torch.tensor([0, 0, 1e-9])
    for where in ({"transform": theta}, {"grid": torch.full((1, 3, 3, 2), far)}):
        for align_corners in (False, True):
            for warp in (fused.warp, reference.warp):
                out = warp(images, **where, padding="reflection", align_corners=align_corners)
                assert images.min() <= out.min() and out.max() <= images.max()


@COMPILER
def test_an_empty_batch():
    images, theta = torch.rand(0, 2, 4, 5, requires_grad=True), torch.zeros(0, 2, 3)
    out = fused.warp(images, theta, (3, 3))
    out.sum().backward()
    assert out.shape == (0, 2, 3, 3) and images.grad.shape == images.shape


@COMPILER
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(half):
    case = draw(7)
    wanted = run(case)
    with torch.autocast("cpu", dtype=half):
        same(run(case), wanted)


# ---------------------------------------------------------------- only what is asked for
@COMPILER
@pytest.mark.parametrize("asked", [(0,), (1,), (2,), (0, 1), (0, 1, 2)], ids=str)
def test_only_gradients_that_are_needed_are_computed(asked, monkeypatch):
    seen, real = [], cpu.backward

    def spy(*args, **options):
        seen.append(args[-1])
        return real(*args, **options)

    monkeypatch.setattr(cpu, "backward", spy)
    images, theta, fill = torch.rand(2, 1, 5, 5), geometry.identity(2), torch.rand(2, 1)
    inputs = [images, theta, fill]
    for i in asked:
        inputs[i].requires_grad_()
    fused.warp(images, theta, fill=fill).sum().backward()
    assert seen == [tuple(i in asked for i in range(3))]
    assert [t.grad is not None for t in inputs] == [i in asked for i in range(3)]


# ---------------------------------------------------------------- as an operator
@COMPILER
@KINDS
def test_opcheck(seed):
    case = draw(seed + 20, channels=(2,), largest=6)
    images, transform = single(case)[:2]
    shape = (*case.size, case.padding, case.align_corners)
    level = torch.rand(images.shape[:2]) if case.padding == "background" else None
    torch.library.opcheck(operator.warp_op, (images, transform, level, *shape))
    torch.library.opcheck(operator.background_op, (images.detach(),))
    grad = case.grad.float()
    args = (grad, images.detach(), transform.detach(), level, *shape[2:])
    tests = ("test_schema", "test_faketensor")  # derivatives: test_second_derivatives
    for asked in ((True, True, level is not None), (False, True, False), (True, False, False)):
        torch.library.opcheck(operator.backward_op, (*args, *asked), test_utils=tests)


@COMPILER
@KINDS
def test_compiled_without_a_break(seed):
    case = draw(seed + 30)
    wanted = run(case)
    torch.compiler.reset()
    compiled = torch.compile(fused.warp, backend="aot_eager", fullgraph=True)
    inputs = single(case)
    out = compiled(*inputs[:2], fill=(*inputs, None)[2], **case.options())
    grads = torch.autograd.grad(out, inputs, case.grad.float(), materialize_grads=True)
    same([out.detach(), *grads], wanted)


@COMPILER
def test_exported():
    class Module(torch.nn.Module):
        def forward(self, images, theta):
            return fused.warp(images, theta, (3, 4))

    images, theta = torch.rand(2, 1, 5, 6), geometry.affine(20, 0.7).expand(2, 2, 3)
    program = torch.export.export(Module(), (images, theta))
    assert "stn_course.warp.default" in str(program.graph)
    same([program.module()(images, theta)], [fused.warp(images, theta, (3, 4))])


# ---------------------------------------------------------------- the sampler takes over
IMAGES, THETA = torch.rand(2, 1, 4, 5), geometry.affine(20, 0.7).repeat(2, 1, 1)


def tangent(warp):
    with torch.autograd.forward_ad.dual_level():
        theta = torch.autograd.forward_ad.make_dual(THETA, THETA)
        return torch.autograd.forward_ad.unpack_dual(warp(IMAGES, theta)).tangent


@pytest.mark.parametrize(
    ("reason", "call"),
    [
        ("types other than", lambda w: w(IMAGES.double(), THETA.double())),
        ("types other than", lambda w: w(IMAGES, THETA.double())),
        ("mode='nearest'", lambda w: w(IMAGES, THETA, mode="nearest")),
        ("transforms of torch.func", lambda w: torch.func.vmap(w)(IMAGES[None], THETA[None])),
        (
            "transforms of torch.func",
            lambda w: torch.func.grad(lambda t: w(IMAGES, t).sum())(THETA),
        ),
        (
            "transforms of torch.func",
            lambda w: torch.func.jvp(lambda t: w(IMAGES, t), (THETA,), (THETA,))[1],
        ),
        ("forward-mode derivatives", lambda w: tangent(w)),
    ],
)
def test_what_the_sampler_does_instead_is_said_once(fresh, reason, call):
    wanted = call(reference.warp)
    with pytest.warns(UserWarning, match=f"handed over to reference.warp: {reason}"):
        same([call(fused.warp)], [wanted])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same([call(fused.warp)], [wanted])


@COMPILER
def test_second_derivatives(fresh):
    case = draw(3, channels=(2,), largest=7)
    results = []
    for warp, inputs in (
        (fused.warp, single(case)),
        (reference.warp, [t.detach().double().requires_grad_() for t in single(case)]),
    ):
        fill = inputs[2] if len(inputs) > 2 else None
        out = warp(*inputs[:2], fill=fill, **case.options())
        first = torch.autograd.grad(out.square().sum(), inputs[:2], create_graph=True)
        total = sum((g * (1 + g)).sum() for g in first)
        assert operator._SAID == ({"second derivatives"} if results else set())
        with pytest.warns(match="second") if not results else warnings.catch_warnings():
            results.append(torch.autograd.grad(total, inputs[:2]))
    near(results[0], results[1])


@pytest.mark.parametrize("cc", ["missing", "false"])
def test_without_a_compiler_the_sampler_works(fresh, tmp_path, cc):
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    if cc == "missing":
        fresh.setattr(compiler.shutil, "which", lambda name: None)
    else:
        fresh.setenv("CC", "false")  # it is there, and fails
    match = "no C compiler" if cc == "missing" else "no library that loads"
    theta = THETA.clone().requires_grad_()
    with pytest.warns(UserWarning, match=match):
        out = fused.warp(IMAGES, theta)
    same([out], [reference.warp(IMAGES, THETA)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fused.warp(IMAGES, theta).sum().backward()
    assert theta.grad is not None
    assert list(tmp_path.rglob("*.so")) == []


def test_a_compiler_that_is_named_and_not_there_is_told(fresh, tmp_path):
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setenv("CC", "no-such-cc --fast")
    with pytest.raises(BuildError, match="CC='no-such-cc --fast' is not found"):
        library()


def test_a_command_that_is_none_is_told(fresh, tmp_path):
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setenv("CC", "cc 'open")
    with pytest.raises(BuildError, match='CC="cc \'open" is no command: No closing quotation'):
        library()
    with pytest.warns(UserWarning, match="is no command"):
        same([fused.warp(IMAGES, THETA)], [reference.warp(IMAGES, THETA)])


@COMPILER
@pytest.mark.parametrize("why", ["not C", "no disk", "hangs", "another library"])
def test_whatever_fails_is_one_line_after_a_folder_of_its_own_was_tried(fresh, tmp_path, why):
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setattr(compiler, "VARIANTS", ((),))
    tried, run = [], subprocess.run

    def fails(words, **options):
        tried.append(Path(words[-1]))
        if why == "hangs":
            raise subprocess.TimeoutExpired(words, options["timeout"])
        if why == "another library":
            other = tmp_path / "other.c"
            other.write_text("int nothing;\n")
            words = [str(other) if word == str(SOURCE) else word for word in words]
            return run(words, **options)
        said = (
            b"In a function:\nwarp.c:7: error\nand more"
            if why == "not C"
            else b"No space left on device"
        )
        raise subprocess.CalledProcessError(1, words, stderr=said)

    fresh.setattr(compiler.subprocess, "run", fails)
    with pytest.warns(UserWarning, match="the fast warp handed over") as told:
        same([fused.warp(IMAGES, THETA)], [reference.warp(IMAGES, THETA)])
    (line,) = {str(each.message) for each in told}
    wanted = {
        "not C": "(warp.c:7: error)",
        "no disk": "(No space left on device)",
        "hangs": "did not end within 60 s",
        "another library": "has no scratch_floats, warp_pieces",
    }
    assert wanted[why] in line and "\n" not in line
    if why == "hangs":
        assert len(tried) == 1
    else:
        assert any(path.is_relative_to(_own_folder()) for path in tried)


# ---------------------------------------------------------------- the library
@COMPILER
@pytest.mark.parametrize("harm", ["cut short", "changed", "planted"])
def test_a_kept_library_that_cannot_be_trusted_is_not_loaded(quick, tmp_path, harm):
    """Cut short it would end the process; what others may write to would run as this user."""
    quick.setenv("STN_COURSE_CACHE", str(tmp_path))
    library()
    (kept,) = tmp_path.glob("fused/*.so")
    whole = kept.read_bytes()
    kept.unlink()  # this process has it in memory: not into that file
    kept.write_bytes(whole[: len(whole) // 2] if harm == "cut short" else whole)
    if harm == "changed":
        kept.write_bytes(whole[:-9] + bytes(9))
    kept.chmod(0o666 if harm == "planted" else 0o644)
    loaded, fake = [], SimpleNamespace(**dict.fromkeys(compiler.FUNCTIONS))

    def load(path):
        loaded.append((path, Path(path).read_bytes(), Path(path).stat().st_mode & 0o022))
        return fake

    quick.setattr(compiler.ctypes, "CDLL", load)
    library.cache_clear()
    assert library() is fake
    ((_, data, writable),) = loaded
    assert compiler.hashlib.sha256(data).hexdigest()[:20] in Path(loaded[0][0]).stem
    assert not writable and len(data) == len(whole)
    library.cache_clear()


@COMPILER
def test_a_folder_that_others_may_write_to_is_not_used(fresh, tmp_path):
    fresh.setenv("STN_COURSE_CACHE", str(tmp_path))
    fresh.setattr(compiler, "_is_ours", lambda path: False)
    assert compiler._folder() == _own_folder()


@COMPILER
def test_where_nothing_loads_from_the_cache_a_folder_of_its_own_is_tried(quick, tmp_path):
    """As from a file system that is mounted without leave to execute."""
    quick.setenv("STN_COURSE_CACHE", str(tmp_path))
    whole = ctypes.CDLL

    def load(path):
        if Path(path).is_relative_to(tmp_path):
            raise OSError("failed to map segment from shared object")
        return whole(path)

    quick.setattr(compiler.ctypes, "CDLL", load)
    near([fused.warp(IMAGES, THETA)], [reference.warp(IMAGES, THETA)])
    assert Path(library()._name).is_relative_to(_own_folder())


@COMPILER
def test_without_a_home_a_folder_of_its_own_is_used(fresh, tmp_path):
    fresh.delenv("STN_COURSE_CACHE", raising=False)
    fresh.delenv("XDG_CACHE_HOME", raising=False)
    fresh.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    assert compiler._folder() == _own_folder()


@COMPILER
def test_a_compiler_may_be_a_command_of_several_words(quick, tmp_path):
    quick.setenv("HOME", str(tmp_path))
    quick.setenv("STN_COURSE_CACHE", "~/kept")
    quick.setenv("CC", f"env {shutil.which('cc') or 'gcc'}")
    library()
    assert len(list(tmp_path.glob("kept/fused/*.so"))) == 1


@COMPILER
def test_the_library_is_built_once_and_for_this_source(quick, tmp_path):
    quick.setenv("STN_COURSE_CACHE", str(tmp_path))
    library()
    (first,) = tmp_path.glob("fused/*")
    stamp = first.stat().st_mtime_ns
    library.cache_clear()
    library()
    assert first.stat().st_mtime_ns == stamp
    changed = tmp_path / "warp.c"
    changed.write_text(SOURCE.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    quick.setattr(compiler, "SOURCE", changed)
    library.cache_clear()
    library()
    assert len(list(tmp_path.glob("fused/*.so"))) == 2


@COMPILER
def test_a_variant_that_does_not_load_is_passed_over(quick, tmp_path):
    quick.setenv("STN_COURSE_CACHE", str(tmp_path))
    quick.setattr(compiler, "VARIANTS", (("-no-such-flag",), ("-Dmemcpy=nobody_has_this",), ()))
    near([fused.warp(IMAGES, THETA)], [reference.warp(IMAGES, THETA)])


@COMPILER
def test_a_folder_that_cannot_be_written_is_replaced(quick, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    quick.setenv("STN_COURSE_CACHE", str(file))
    near([fused.warp(IMAGES, THETA)], [reference.warp(IMAGES, THETA)])


@COMPILER
def test_threads_are_torchs_own():
    """One OpenMP in the process: a second one's idle threads would take torch's cores."""
    code = "import torch; from stn_course.sampling.fused import cpu; cpu.library()\n"
    code += "maps = open('/proc/self/maps').read().split()\n"
    code += "print(*sorted({m for m in maps if 'omp' in m.rpartition('/')[2] and '.so' in m}))"
    if not sys.platform.startswith("linux"):
        pytest.skip("NO /proc: which libraries are loaded was not looked at")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) <= 1, done.stdout


# ---------------------------------------------------------------- errors
BAD = torch.full((2, 2, 3), math.nan)
HORIZON = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [2, 0, 1]]]).repeat(2, 1, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda w: w([1.0], THETA),
        lambda w: w(IMAGES.int(), THETA),
        lambda w: w(IMAGES[0, 0], THETA),
        lambda w: w(IMAGES[:, :, :0], THETA),
        lambda w: w(IMAGES, THETA[:1]),
        lambda w: w(IMAGES, torch.zeros(2, 2, 3, device="meta")),
        lambda w: w(IMAGES, None),
        lambda w: w(IMAGES, THETA[0]),
        lambda w: w(IMAGES, torch.zeros(2, 4, 4)),
        lambda w: w(IMAGES, THETA.long()),
        lambda w: w(IMAGES, BAD),
        lambda w: w(IMAGES, THETA / 0),
        lambda w: w(IMAGES, HORIZON),
        lambda w: w(IMAGES, torch.zeros(2, 3, 3)),
        lambda w: w(IMAGES, torch.zeros(2, 10, 2)),
        lambda w: w(IMAGES, torch.zeros(2, 1, 4, 2)),
        lambda w: w(IMAGES, torch.full((2, 4, 2), math.inf)),
        lambda w: w(IMAGES, THETA, (0, 5)),
        lambda w: w(IMAGES, THETA, 28),
        lambda w: w(IMAGES, THETA, (4.0, 5)),
        lambda w: w(IMAGES, THETA, padding="mirror"),
        lambda w: w(IMAGES, THETA, padding=["zeros"]),
        lambda w: w(IMAGES, THETA, mode="cubic"),
        lambda w: w(IMAGES, THETA, padding="zeros", fill=1.0),
        lambda w: w(IMAGES, THETA, fill="black"),
        lambda w: w(IMAGES, THETA, fill=math.nan),
        lambda w: w(IMAGES, THETA, fill=torch.zeros(2)),
        lambda w: w(IMAGES, THETA, fill=torch.full((2, 1), math.nan)),
        lambda w: w(IMAGES, THETA, fill=1e300),
        lambda w: w(IMAGES, THETA, fill=10**400),
        lambda w: w(IMAGES, THETA, fill=torch.tensor(-1e39, dtype=torch.float64)),
        lambda w: w(IMAGES.half(), THETA, fill=1e5),
        lambda w: w(IMAGES.half(), THETA, fill=torch.full((2, 1), 1e5)),
        lambda w: w(IMAGES, THETA, fill=torch.full((2, 1), 1e300, dtype=torch.float64)),
        lambda w: w(IMAGES, THETA, (2**40, 1)),
    ],
)
def test_bad_input_is_refused_in_the_samplers_words(call):
    with pytest.raises((TypeError, ValueError)) as wanted:
        call(reference.warp)
    with pytest.raises(wanted.type) as found, warnings.catch_warnings():
        warnings.simplefilter("error")
        call(fused.warp)
    assert str(found.value) == str(wanted.value)


def of_the_operator(images=IMAGES, transform=THETA, fill=None, size=(4, 4), padding="zeros"):
    return torch.ops.stn_course.warp(images, transform, fill, *size, padding, False)


def of_its_derivative(grad, images=IMAGES, transform=THETA):
    args = (grad, images, transform, None, "zeros", False, True, True, True)
    return torch.ops.stn_course.warp_backward(*args)


LEVEL, GRAD = torch.zeros(2, 1), torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("transform must have shape", lambda: of_the_operator(transform=THETA[:1])),
        ("transform must have shape", lambda: of_the_operator(transform=THETA.repeat(2, 1, 1))),
        ("transform must have shape", lambda: of_the_operator(transform=THETA.flatten(1))),
        ("transform must have shape", lambda: of_the_operator(transform=torch.tensor(1.0))),
        ("transform must be torch.float32", lambda: of_the_operator(transform=THETA.double())),
        ("transform must be torch.float32", lambda: of_the_operator(transform=THETA.half())),
        ("a square number K", lambda: of_the_operator(transform=torch.zeros(2, 5, 2))),
        ("grid must be at least", lambda: of_the_operator(transform=torch.zeros(2, 1, 4, 2))),
        ("grid must be at least", lambda: of_the_operator(transform=torch.zeros(2, 0, 2))),
        ("images must be one of", lambda: of_the_operator(IMAGES.int())),
        ("images must be one of", lambda: of_the_operator(IMAGES.double())),
        ("images must be one of", lambda: of_the_operator(IMAGES.cfloat())),
        ("images must have shape", lambda: of_the_operator(IMAGES[0])),
        ("images must have shape", lambda: of_the_operator(IMAGES[:, :, :0])),
        (
            "images must have sides",
            lambda: of_the_operator(IMAGES[:, :, :, :1].expand(2, 1, 4, 2**25)),
        ),
        ("size must be at least", lambda: of_the_operator(size=(-4, 4))),
        ("size must be at least", lambda: of_the_operator(size=(4, 0))),
        ("size must be at most", lambda: of_the_operator(size=(2**25, 1))),
        ("padding must be one of", lambda: of_the_operator(padding="mirror")),
        ("fill must be a tensor where", lambda: of_the_operator(padding="background")),
        ("fill must be None or", lambda: of_the_operator(fill=LEVEL[:1])),
        ("fill must be None or", lambda: of_the_operator(fill=LEVEL.expand(2, 3))),
        ("fill must be None or", lambda: of_the_operator(fill=LEVEL.double())),
        ("theta must be finite", lambda: of_the_operator(transform=BAD)),
        ("grad must be floating point", lambda: of_its_derivative(GRAD[:1])),
        ("grad must be floating point", lambda: of_its_derivative(GRAD.expand(2, 3, 4, 4))),
        ("grad must be floating point", lambda: of_its_derivative(GRAD.int())),
        ("size must be two ints", lambda: of_its_derivative(GRAD[0])),
        ("transform must have shape", lambda: of_its_derivative(GRAD, transform=THETA[:1])),
        ("images must have shape", lambda: of_its_derivative(GRAD, IMAGES[0])),
        ("images must have shape", lambda: torch.ops.stn_course.background(IMAGES[0])),
        ("images must be one of", lambda: torch.ops.stn_course.background(IMAGES.long())),
    ],
)
def test_the_operators_themselves_refuse_what_would_be_read_beyond_its_end(words, call):
    with pytest.raises((TypeError, ValueError), match=words):
        call()


@COMPILER
def test_bad_values_are_refused_in_compiled_code_too():
    torch.compiler.reset()
    compiled = torch.compile(fused.warp, backend="aot_eager", fullgraph=True)
    with pytest.raises(ValueError, match="theta must be finite"):
        compiled(IMAGES, BAD)


@COMPILER
def test_what_only_the_c_program_refuses_is_the_samplers():
    images, edge = torch.rand(1, 1, 28, 28), torch.eye(3).repeat(1, 1, 1)
    # A corner's w is 1e-8 by one rounding and 0 by another.
    edge[0, 2] = torch.tensor([0.45812299847602844, -0.5889766812324524, 1.009703278541565])
    for x, theta in ((IMAGES, THETA * 1e32), (images, edge)):
        inputs = [x.clone().requires_grad_(), theta.clone().requires_grad_()]
        same([fused.warp(*inputs)], [reference.warp(*inputs)])
        weights = torch.rand(fused.warp(*inputs).shape)
        ours, theirs = (
            torch.autograd.grad(w(*inputs), inputs, weights) for w in (fused.warp, reference.warp)
        )
        same(ours, theirs)


@COMPILER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_torchs_default_type_and_device_change_nothing(dtype):
    cases = [draw(seed) for seed in range(6)]
    wanted = [run(case) for case in cases]
    torch.set_default_dtype(dtype)
    try:
        found = [run(case) for case in cases]
    finally:
        torch.set_default_dtype(torch.float32)
    inputs = [single(case) for case in cases]
    with torch.device("meta"):
        again = [run(*pair) for pair in zip(cases, inputs, strict=True)]
    for a, b, c in zip(wanted, found, again, strict=True):
        same(a, b)
        same(a, c)


@COMPILER
def test_a_fill_need_not_be_contiguous():
    images, theta = torch.rand(2, 3, 8, 8), geometry.affine(scale=0.5, batch=2)
    for fill in (
        torch.tensor([[0.1, 0.5, 0.9]]).expand(2, 3),
        torch.rand(3, 2).T,
        torch.rand(2, 6)[:, ::2],
    ):
        inputs = images.clone().requires_grad_(), theta.clone().requires_grad_()
        weights = torch.rand(2, 3, 8, 8)
        found, wanted = (
            [out := warp(*inputs, fill=fill), *torch.autograd.grad(out, inputs, weights)]
            for warp in (fused.warp, reference.warp)
        )
        for a, b in zip(found, wanted, strict=True):
            assert torch.allclose(a, b, atol=1e-4)


@COMPILER
@pytest.mark.filterwarnings("ignore:the fast warp handed over")
def test_batched_gradients():
    x, theta = torch.rand(1, 2, 4, 5), geometry.affine(angle=20.0, scale=0.8)
    for k in range(2):
        inputs = [x, theta]

        def moved(changed, k=k, inputs=inputs):
            return fused.warp(*(inputs[:k] + [changed] + inputs[k + 1 :]))

        whole, one_by_one = (
            torch.autograd.functional.jacobian(moved, inputs[k], vectorize=many)
            for many in (True, False)
        )
        assert torch.allclose(whole, one_by_one, atol=1e-5)
