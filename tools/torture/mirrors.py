"""Mirrors that misbehave, several in a row, in any order."""

import hashlib
import os
import random
import time
from pathlib import Path

from stn_course.data import DownloadError
from stn_course.data.download import Settings, fetch
from tests.data.mirrors import BEHAVIOURS, serve
from tools.torture.parts import Fallen

TIMEOUT = 0.3


def mirrors(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Whatever mirrors do, a file under its final name has the right bytes, and it ends soon."""
    os.environ["NO_PROXY"] = "127.0.0.1"
    with serve(folder) as (url, _):
        for k in range(times):
            body, name = chance.randbytes(chance.randint(10, 40_000)), f"{k}.bin"
            (folder / name).write_bytes(body)
            row = [chance.choice(BEHAVIOURS) for _ in range(chance.randint(1, 3))]
            cache = folder / f"cache-{k}"
            settings = Settings("", str(cache), (), False, TIMEOUT)
            sha, start = hashlib.sha256(body).hexdigest(), time.monotonic()
            try:
                places = [f"{url}/{each}/" for each in row]
                found = fetch(name, sha, len(body), places, settings)
            except DownloadError:
                found = None
            seconds = time.monotonic() - start
            kept = [path.name for path in cache.glob("*")] if cache.exists() else []
            if found and found.read_bytes() != body:
                yield f"{row}: other bytes were taken"
            elif kept != ([name] if found else []):
                yield f"{row}: {kept} was left in the cache"
            elif "good" in row and not found:
                yield f"{row}: the good one was not reached"
            elif seconds > 10 * len(row):
                yield f"{row}: took {seconds:.0f} s"
            else:
                yield None
