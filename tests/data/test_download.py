"""Fetching files from mirrors that misbehave, and what happens when none can be reached."""

import gzip
import hashlib
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stn_course import data
from stn_course.data import DownloadError, digits, download
from stn_course.data.digits import SAMPLE, locate
from tests.data.mirrors import serve

TIMEOUT = 0.4


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Four small IDX files that stand for MNIST: (folder, {name: bytes})."""
    folder = tmp_path / "published"
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = {}
    for stem, n in (("train", 12), ("t10k", 4)):
        images = struct.pack(">4i", 0x803, n, 28, 28) + rng.bytes(n * 784)
        labels = struct.pack(">2i", 0x801, n) + bytes(range(n))
        contents[f"{stem}-images-idx3-ubyte.gz"] = gzip.compress(images, mtime=0)
        contents[f"{stem}-labels-idx1-ubyte.gz"] = gzip.compress(labels, mtime=0)
    for name, body in contents.items():
        (folder / name).write_bytes(body)
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}
    monkeypatch.setattr(digits, "MNIST_FILES", hashes)
    monkeypatch.setattr(digits, "MNIST_BYTES", {name: len(b) for name, b in contents.items()})
    return folder, contents


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Points the course to an empty cache and the given mirrors."""
    for name in ("STN_COURSE_DATA", "STN_COURSE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STN_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STN_COURSE_TIMEOUT", str(TIMEOUT))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def use(*mirrors):
        monkeypatch.setenv("STN_COURSE_MIRRORS", ",".join(mirrors))
        download.say.cache_clear()
        return tmp_path / "cache"

    return use


def test_ends_with_the_right_bytes_after_bad_mirrors(published, environment, capsys):
    folder, contents = published
    order = ("refuse", "mute", "stall", "truncate", "wrong", "good")
    with serve(folder) as (url, asked):
        cache = environment(*(f"{url}/{behaviour}" for behaviour in order))
        train, test = data.mnist("train"), data.mnist("test")
    assert {p.name: p.read_bytes() for p in cache.iterdir()} == contents  # and no leftovers
    first = next(iter(contents))
    assert [path for path in asked if path.endswith(first)] == [f"/{b}/{first}" for b in order]
    assert train.labels.tolist() == list(range(12)) and test.images.shape == (4, 1, 28, 28)
    assert train.source == "full MNIST (70 000 digits) from a verified download"
    said = capsys.readouterr().err
    for part in ("HTTP 403", "no answer", "broke off", "wrong SHA-256", first):
        assert part in said


def test_second_process_finds_the_cache(published, environment):
    folder, _ = published
    with serve(folder) as (url, asked):
        environment(f"{url}/good")
        data.mnist("train")
        assert len(asked) == 4
        locate.cache_clear()  # as a new process would
        assert data.source() == "full MNIST (70 000 digits) from the user cache"
        assert len(asked) == 4


@pytest.mark.parametrize("behaviour", ["wrong", "truncate", "stall", "drip", "endless"])
def test_only_bad_bytes_is_an_error_that_names_the_mirrors(
    behaviour, published, environment, monkeypatch
):
    folder, contents = published
    start = time.monotonic()
    with serve(folder) as (url, _):
        cache = environment(f"{url}/{behaviour}", f"{url}/wrong", f"{url}/mute")
        with pytest.raises(DownloadError) as caught:
            data.mnist("train")
    message = str(caught.value)
    for wanted in (f"{url}/{behaviour}/", f"{url}/wrong/", next(iter(contents)), "OFFLINE=1"):
        assert wanted in message
    assert not any(cache.iterdir())
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("behaviour", ["wrong", "truncate", "stall", "drip", "endless"])
def test_a_mirror_that_gave_some_bytes_is_no_missing_network(behaviour, published, environment):
    folder, _ = published
    with serve(folder) as (url, _):
        environment(f"{url}/{behaviour}")
        with pytest.raises(DownloadError, match=f"{url}/{behaviour}/"):
            data.mnist("train")


def test_a_body_without_end_is_cut_where_the_file_ends(published, tmp_path):
    folder, contents = published
    name, body = next(iter(contents.items()))
    with serve(folder) as (url, _), pytest.raises(Exception, match=f"the {len(body)} bytes of the"):
        download._transfer(f"{url}/endless/{name}", tmp_path / "x", None, size=len(body), timeout=9)
    assert (tmp_path / "x").stat().st_size <= len(body)


@pytest.mark.parametrize("behaviour", ["refuse", "mute"])
def test_mirrors_that_give_no_data_lead_to_the_sample(behaviour, published, environment, capsys):
    folder, _ = published
    with serve(folder) as (url, _):
        environment(f"{url}/{behaviour}")
        assert data.is_sample()
    assert "using the offline sample (5 000 digits of MNIST)" in capsys.readouterr().err


def test_no_network_is_noticed_in_time(published, environment, monkeypatch):
    """One port refuses, one takes connections and says nothing, one name does not exist."""
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = [s.getsockname()[1] for s in (silent, closed)]
        environment(*(f"http://127.0.0.1:{port}" for port in ports), "http://nowhere.invalid")
        start = time.monotonic()
        assert data.source() == SAMPLE
        assert time.monotonic() - start < 3


def test_unusable_settings_are_named(environment, monkeypatch):
    environment("ftp://127.0.0.1")
    with pytest.raises(ValueError, match="STN_COURSE_MIRRORS.*ftp://127.0.0.1"):
        data.mnist("train")
    environment("http://127.0.0.1")
    for value in ("soon", "0", "nan"):
        monkeypatch.setenv("STN_COURSE_TIMEOUT", value)
        with pytest.raises(ValueError, match="STN_COURSE_TIMEOUT"):
            data.mnist("train")


def run_fresh(code: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    """Another Python with an empty cache and no STN_COURSE_ variables but those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STN_COURSE_")}
    environment = {**kept, "STN_COURSE_CACHE": str(tmp_path / "cache"), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_without_files_and_network_the_sample_says_so(tmp_path):
    code = (
        "from stn_course import data\n"
        "for split in ('train', 'valid', 'test', 'train'):\n"
        "    digits = data.mnist(split)\n"
        "    print(len(digits), digits.source)\n"
        "print([row.ok for row in data.fetch_all()])\n"
        "data.sequences('test')\n"
    )
    done = run_fresh(code, tmp_path, STN_COURSE_OFFLINE="1")
    sample = "offline sample (5 000 digits of MNIST)"
    out = done.stdout.splitlines()
    assert out[:4] == [f"{n} {sample}" for n in (4000, 500, 500, 4000)]
    assert out[4] == "[True]"
    assert done.stderr.count("using the " + sample) == 1
    assert "FullMnistNeededError" in done.stderr and done.returncode == 1


@pytest.mark.full_data
def test_fresh_download_of_the_real_files(tmp_path):
    """A new process, an empty cache, and mirrors that truncate and serve a wrong byte."""
    (tmp_path / "real").mkdir()
    for name, (path, _) in locate(download.read_settings()).items():
        (tmp_path / "real" / name).write_bytes(path.read_bytes())
    code = (
        "from stn_course import data\n"
        "digits = data.mnist('test')\n"
        "print(len(digits), digits.labels[:5].tolist(), digits.source)\n"
    )
    with serve(tmp_path / "real") as (url, _):
        mirrors = ",".join(f"{url}/{b}" for b in ("truncate", "wrong", "good"))
        done = run_fresh(
            code, tmp_path, STN_COURSE_MIRRORS=mirrors, STN_COURSE_TIMEOUT="1", NO_PROXY="127.0.0.1"
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        "10000 [7, 2, 1, 0, 4] full MNIST (70 000 digits) from a verified download"
    )
    assert "train-images-idx3-ubyte.gz" in done.stderr  # the progress bar
