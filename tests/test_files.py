"""A file is the old one or the new one: errors, kills, two writers, and who else writes."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack

import pytest

from stn_course import files
from stn_course.files import BusyError, RemovedError, only_writer, write_atomically, written_whole
from tests.support import ROOT

PACKAGE = ROOT / "stn_course"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    write_atomically(path, b"old")
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "x"
    told = f"No space left on device: '{path}'"
    with monkeypatch.context() as patch, pytest.raises(OSError, match=told):
        patch.setattr(files.os, "fsync", full)
        write_atomically(path, b"new")
    with pytest.raises(OSError, match=f"Not a directory: '{path}/y'|File exists: '{path}'"):
        path.touch()
        write_atomically(path / "y", b"new")
    (tmp_path / "z").mkdir()
    with pytest.raises(OSError, match=f"{tmp_path}/z'"):
        write_atomically(tmp_path / "z", b"new")


def test_a_file_is_replaced_and_never_written_into(tmp_path):
    """Who reads the old one meanwhile reads all of it, and a kill leaves one of the two."""
    path = tmp_path / "x"
    write_atomically(path, b"old")
    with open(path, "rb") as reader:
        write_atomically(path, b"new and longer")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new and longer"


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.npz"
    write_atomically(path, b"old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as partial:
        partial.write_bytes(b"half of the n")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError), written_whole(path):
        pass  # nothing was written: nothing takes its place
    assert path.read_bytes() == b"old"


def test_of_two_writers_at_once_both_end_whole(tmp_path):
    path = tmp_path / "made" / "x.npz"
    with written_whole(path) as first, written_whole(path) as second:
        assert first != second and first.suffix == second.suffix == ".npz"
        first.write_bytes(b"the first")
        second.write_bytes(b"the second")
        assert not path.exists()
    assert path.read_bytes() == b"the first"  # whose block ended last
    assert list(path.parent.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file_and_is_swept_later(tmp_path):
    path = tmp_path / "x[1].json"
    write_atomically(path, b"old")
    killed = f"""
        import os, signal
        from stn_course.files import written_whole
        with written_whole({str(path)!r}) as partial:
            partial.write_bytes(b"half of the n")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL and path.read_bytes() == b"old"
    (left,) = set(tmp_path.iterdir()) - {path}
    write_atomically(path, b"new")
    assert left.exists(), "its writer may be at work yet"
    os.utime(left, (time.time() - 2 * files.ABANDONED,) * 2)
    write_atomically(path, b"newer")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"newer"


def test_others_may_read_it_as_the_umask_says(tmp_path):
    path = tmp_path / "x"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


# ---------------------------------------------------------------- one writer
def test_the_second_writer_is_told_who_the_first_is(tmp_path):
    folder, file = tmp_path / "run", tmp_path / "found.jsonl"
    who = rf"is being written to by process {os.getpid()} on \S+ since \d{{4}}-\d\d-\d\d \d\d:"
    with only_writer(folder, file=file):
        with pytest.raises(BusyError, match=f"{re.escape(folder.name)} {who}"), only_writer(folder):
            pass
        (tmp_path / "link").symlink_to(file)
        with (
            pytest.raises(BusyError, match=f"link {who}"),
            only_writer(file=tmp_path / "link"),
        ):
            pass
        with only_writer(tmp_path / "other", file=tmp_path / "other.jsonl"):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["link"], "a lock or an empty folder is left"
    with only_writer(folder):
        (folder / "x").touch()
    assert [p.name for p in folder.iterdir()] == ["x"]


def test_a_lock_dies_with_its_process(tmp_path):
    killed = f"""
        import os
        from stn_course.files import only_writer
        with only_writer({str(tmp_path)!r}):
            os.write(1, b".")
            input()
    """
    command = [sys.executable, "-c", textwrap.dedent(killed)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.read(1) == b"."
        with pytest.raises(BusyError, match=f"process {process.pid} "), only_writer(tmp_path):
            pass
        process.kill()
    assert (tmp_path / ".lock").exists()
    with only_writer(tmp_path):
        assert f"process {os.getpid()} " in (tmp_path / ".lock").read_text()
    assert not any(tmp_path.iterdir())


def test_who_lost_the_folder_does_not_free_that_of_another(tmp_path):
    folder, first, second = tmp_path / "run", ExitStack(), ExitStack()
    first.enter_context(only_writer(folder))
    shutil.rmtree(folder)
    second.enter_context(only_writer(folder))
    with pytest.raises(RemovedError, match=f"{folder.name} was removed or moved away while"):
        first.close()
    with pytest.raises(BusyError), only_writer(folder):
        pass
    second.close()
    assert not folder.exists()


def test_where_nothing_can_be_written_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    there = tmp_path / "file" / "run"
    with pytest.raises(OSError, match=f"cannot be written to: .*{there}"), only_writer(there):
        pass


def test_a_folder_that_is_removed_meanwhile_is_told_at_the_end(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(RemovedError, match=f"{folder} was removed"), only_writer(folder):
        shutil.rmtree(folder)
    with pytest.raises(ZeroDivisionError), only_writer(folder):  # that is told first
        shutil.rmtree(folder)
        raise ZeroDivisionError


# ---------------------------------------------------------------- nobody else
# What writes without `files`, and why a half-done one does no harm.
KNOWN = {
    ("files.py", "written_whole"): "reads what was written, to flush it",
    ("files.py", "write_atomically"): "to the name that `written_whole` gave",
    ("files.py", "_say_who"): "a line in a lock's file, for people",
    ("analysis/gallery.py", "write_png"): "whoever calls gives a name of `written_whole`",
    ("cli/use.py", "_write_onnx"): "to a name of `written_whole`",
    ("cli/use.py", "_write_program"): "to a name of `written_whole`",
    ("cli/use.py", "_write_keras"): "to a name of `written_whole`",
    ("analysis/run_plots.py", "save"): "to a name of `written_whole`",
    ("keras_twin/run_folder.py", "train"): "to a name of `written_whole`",
    ("data/recipes.py", "write_npz"): "to a name of `written_whole`",
    ("training/listeners.py", "StepsCsv"): "lines; what a kill cut is left out on resuming",
    ("training/tensorboard.py", "EventLog"): "events with a checksum each; a new file each time",
    ("training/tensorboard.py", "image"): "to memory",
    ("training/checkpoints.py", "save_checkpoint"): "to memory",
    ("experiments/records.py", "append"): "a line, which is taken back where the disk is full",
    ("data/download.py", "_transfer"): "to a temporary name; moved when its SHA-256 is right",
    ("lessons/stills.py", "png"): "to memory",
    ("lessons/widgets.py", "png_base64"): "to memory",
    ("lessons/bent_words/helpers.py", "write_folder"): "to a name of `written_whole`",
}
WRITERS = {"write_text", "write_bytes", "savefig", "savez", "savez_compressed", "save", "tofile"}
WRITERS |= {"shutil.copy", "shutil.copyfile", "shutil.move", "json.dump", "save_file", "to_csv"}
OURS = ("run_plots.save", "records.save", "save")  # which are looked at where they stand


def writes(call: ast.Call) -> bool:
    """Whether a call may write a file, by its name and mode."""
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    if last in ("open", "fdopen") and not name.startswith(("Image.", "os.open", "gzip.")):
        modes = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "mode")]
        said = [m.value if isinstance(m, ast.Constant) else "w" for m in modes]
        return any(isinstance(mode, str) and set("wax+") & set(mode) for mode in said)
    return name not in OURS and (name in WRITERS or "." in name and last in WRITERS)


def test_every_open_for_writing_is_known():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for top in ast.walk(tree):
            if isinstance(top, ast.FunctionDef | ast.ClassDef):
                for node in ast.walk(top):
                    if isinstance(node, ast.Call) and writes(node):
                        where = path.relative_to(PACKAGE).as_posix()
                        found.setdefault((where, node.lineno), set()).add(top.name)
    unknown = {
        place: names
        for place, names in found.items()
        if not any((place[0], name) in KNOWN for name in names)
    }
    assert unknown == {}
    used = {(where, name) for (where, _), names in found.items() for name in names}
    assert set(KNOWN) <= used, "no longer there"
