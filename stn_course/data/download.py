"""Data files: downloaded and verified, and the settings that say where data is.

`data.files` looks for a file in the folder named by `STN_COURSE_DATA`, then in the user cache;
`fetch` brings it from mirrors into that cache. Whatever is used has had its SHA-256 checked.

Environment: `STN_COURSE_DATA` (a folder with the files; one that has none of them is an error),
`STN_COURSE_CACHE` (instead of the user cache), `STN_COURSE_OFFLINE=1` (never use the network),
`STN_COURSE_MIRRORS` (base URLs, comma separated), `STN_COURSE_TIMEOUT` (seconds without a byte
after which a mirror is given up; default 10).
"""

import os
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from tqdm import tqdm

CONNECT_SECONDS = 5.0
SLOWEST_BYTES_PER_SECOND = 5000


class DownloadError(RuntimeError):
    """Mirrors answered, but none of them delivered the right bytes."""


@dataclass(frozen=True)
class Settings:
    """Where to look. Hashable, so that caches notice a changed environment."""

    data: str
    cache: str
    mirrors: tuple[str, ...]  # empty: the published ones
    offline: bool
    timeout: float


def read_settings() -> Settings:
    """The environment variables of this module. Raises ValueError for a bad one."""
    env = os.environ.get
    listed = (url.strip() for url in env("STN_COURSE_MIRRORS", "").split(","))
    mirrors = tuple(url.rstrip("/") + "/" for url in listed if url)
    for url in mirrors:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"STN_COURSE_MIRRORS holds {url!r}; http:// or https:// is wanted")
    timeout = env("STN_COURSE_TIMEOUT", "10")
    try:
        seconds = float(timeout)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"STN_COURSE_TIMEOUT is {timeout!r}; a number of seconds > 0 is wanted")
    return Settings(
        data=env("STN_COURSE_DATA", ""),
        cache=env("STN_COURSE_CACHE", ""),
        mirrors=mirrors,
        offline=env("STN_COURSE_OFFLINE", "") not in ("", "0"),
        timeout=seconds,
    )


@lru_cache
def say(line: str) -> None:
    """One line on stderr, once per process."""
    print(f"stn_course: {line}", file=sys.stderr, flush=True)


def cache_folder(settings: Settings) -> Path:
    """Where downloads are kept: STN_COURSE_CACHE, else the user cache."""
    if settings.cache:
        return Path(settings.cache).expanduser()
    import pooch

    return Path(pooch.os_cache("stn-course"))


class _MirrorFailed(Exception):
    """`answered`: data came from this mirror, so a network is there."""

    def __init__(self, why: str, answered: bool):
        super().__init__(why)
        self.answered = answered


def reachable(mirrors: tuple[str, ...]) -> list[str]:
    """The mirrors that give any HTTP answer, asked all at once.

    Threads, because a dead name server or a dropped connection to each of a host's many
    addresses can hold up a plain request far longer than its timeout.
    """
    import requests

    answered = set()

    def ask(url: str) -> None:
        try:
            requests.head(url, timeout=CONNECT_SECONDS)
        except requests.RequestException:
            return
        answered.add(url)

    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in mirrors]
    for thread in threads:
        thread.start()
    end = time.monotonic() + CONNECT_SECONDS + 1
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [url for url in mirrors if url in answered]


def _transfer(url: str, output_file: str, _pooch, *, size: int, timeout: float) -> None:
    """A pooch downloader that gives up on a mirror that stalls, only drips, or sends too much."""
    import requests
    import urllib3

    try:
        response = requests.get(
            url,
            stream=True,
            timeout=(CONNECT_SECONDS, timeout),
            headers={"Accept-Encoding": "identity"},
        )
        response.raise_for_status()
    except requests.HTTPError as error:  # it may be a proxy that says so: no sign of a network
        raise _MirrorFailed(f"HTTP {error.response.status_code}", answered=False) from error
    except requests.RequestException as error:
        raise _MirrorFailed(f"no answer ({type(error).__name__})", answered=False) from error
    start, received = time.monotonic(), 0
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=Path(url).name)
    with response, open(output_file, "wb") as out, bar:
        while True:
            try:
                block = response.raw.read1(1 << 16)  # one receive: the timeout holds for each
            except (urllib3.exceptions.HTTPError, OSError) as error:
                why = f"broke off after {received} bytes ({type(error).__name__})"
                raise _MirrorFailed(why, answered=True) from error
            if not block:
                return
            received += len(block)
            if received > size:  # it may never end
                raise _MirrorFailed(f"sends more than the {size} bytes of the file", answered=True)
            out.write(block)
            bar.update(len(block))
            seconds = time.monotonic() - start
            if seconds > 3 * timeout and received < SLOWEST_BYTES_PER_SECOND * seconds:
                raise _MirrorFailed(f"too slow: {received} bytes in {seconds:.0f} s", answered=True)


def fetch(name: str, sha256: str, size: int, mirrors: list[str], settings: Settings) -> Path | None:
    """Download one file of `size` bytes into the cache; None when no mirror gave any data.

    Written to a temporary file beside its place and moved there once its SHA-256 is right.
    Raises DownloadError, naming each mirror, when data came but never the right bytes.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    failures, answered = [], False
    for base in mirrors:
        try:
            path = pooch.retrieve(
                base + name,
                known_hash="sha256:" + sha256,
                fname=name,
                path=cache_folder(settings),
                downloader=partial(_transfer, size=size, timeout=settings.timeout),
            )
            return Path(path)
        except _MirrorFailed as error:
            failures.append(f"{base}: {error}")
            answered |= error.answered
        except ValueError:  # pooch: the hash of what came is wrong; it kept nothing
            failures.append(f"{base}: served bytes with a wrong SHA-256")
            answered = True
        say(f"{name}: {failures[-1]}")
    if not answered:
        return None
    raise DownloadError(
        f"{name} could not be downloaded; " + "; ".join(failures) + ". Run again later, put the "
        "file into a folder and name it in STN_COURSE_DATA, or set STN_COURSE_OFFLINE=1 to work "
        "on the offline sample."
    )
