"""The hazards: each function tries one `times` times and yields what fell, in words."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from tools.torture import verbs
from tools.torture.children import Ended, run
from tools.torture.verbs import VERBS, Verb

Fallen = Iterator[str | None]  # one a try: None where all was well
LONG = ("run --jobs", "course")  # and so killed alone


class Skipped(Exception):
    """What a part needs is not on this machine."""


def _crashed(ended: Ended) -> str | None:
    if ended.code is None:
        return "it hung"
    if ended.code < 0 or ended.code == 70 or "Traceback" in ended.said:
        return f"ended with {ended.code}: {ended.said[-600:]}"
    return None


def _same_after_all(verb: Verb, folder: Path, whole: dict, moment: str) -> str | None:
    """What lies there after a disturbance is whole, and the same command completes it."""
    try:
        verb.holds(folder)
    except Exception as error:
        return f"{moment}: left behind broken: {error!r}"
    ended = verbs.begun(verb, folder).wait()
    if ended.code:
        return f"{moment}: not completed afterwards: {ended.code} {ended.said[-600:]}"
    try:
        found = verb.holds(folder)
    except Exception as error:
        return f"{moment}: broken after completion: {error!r}"
    if found != whole:
        others = sorted(k for k in found.keys() | whole if found.get(k) != whole.get(k))
        return f"{moment}: completed to something else: {', '.join(others[:5])}"
    return None


def kills(name: str):
    """Killed at random moments and right before random writes, then run again."""

    def part(times: int, chance: random.Random, folder: Path) -> Fallen:
        verb = VERBS[name]
        whole, seconds = verbs.wanted(verb, folder / "whole")
        for k in range(times):
            there = verbs.anew(verb, folder / "killed")
            if k % 2:
                number = chance.randint(1, 30)
                moment = f"killed before write {number}"
                child = verbs.begun(verb, there, kill_at=number)
                child.wait()
            else:
                after = chance.uniform(0, seconds)
                moment = f"killed after {after:.2f} s"
                child = verbs.begun(verb, there)
                child.kill_after(after)
            if left := child.left_over():
                yield f"{moment}: {len(left)} of its processes live on"
            else:
                yield _same_after_all(verb, there, whole, moment)

    return part


def two_at_once(times: int, chance: random.Random, folder: Path) -> Fallen:
    """Two of the same command into one place: one result, and a clear word to the other."""
    names, made = [name for name in VERBS if name not in LONG], {}
    for k in range(times):
        verb = VERBS[names[k % len(names)]]
        if verb.name not in made:
            made[verb.name] = verbs.wanted(verb, folder / f"whole-{len(made)}")
        whole, seconds = made[verb.name]
        there = verbs.anew(verb, folder / "both")
        first = verbs.begun(verb, there)
        time.sleep(chance.uniform(0, seconds / 2))
        second = verbs.begun(verb, there)
        ended = [second.wait(), first.wait()]
        refused = [e for e in ended if e.code]
        fell = next(filter(None, map(_crashed, ended)), None)
        if not fell and len(refused) > 1:
            fell = f"both were refused: {refused[0].said[-300:]} {refused[1].said[-300:]}"
        if not fell and any("being written to by" not in e.said for e in refused):
            fell = f"refused without a word of the other: {refused[0].said[-300:]}"
        fell = fell or _same_after_all(verb, there, whole, "two at once")
        yield f"{verb.name}: {fell}" if fell else None


def full_disk(times: int, chance: random.Random, folder: Path) -> Fallen:
    """No file may be longer than so many bytes; then the disk is large again."""
    names, made = [name for name in VERBS if name not in LONG], {}
    for k in range(times):
        verb = VERBS[names[k % len(names)]]
        if verb.name not in made:
            made[verb.name] = verbs.wanted(verb, folder / f"whole-{len(made)}")
        there, most = verbs.anew(verb, folder / "full"), int(10 ** chance.uniform(3.0, 5.5))
        ended = verbs.begun(verb, there, most_bytes=most).wait()
        # What it says goes to such a file, too: where that is full, it can end in any way.
        fell = _crashed(ended) if len(ended.said.encode()) < most else None
        fell = fell or _same_after_all(verb, there, made[verb.name][0], f"at most {most} bytes")
        yield f"{verb.name}: {fell}" if fell else None


def bit_flips(times: int, chance: random.Random, folder: Path) -> Fallen:
    """One bit of one stored file is turned: whoever reads it refuses it, or says the same."""
    whole = folder / "whole"
    verbs.wanted(VERBS["train"], whole)
    again = [*verbs.sweep("--seeds", "1")(whole)]
    run(again, whole)
    readers = {
        "made.jsonl": again,
        "run/checkpoint.pt": ["test", "run", "--out", "said", "--limit", "50"],
        "run/config.json": ["test", "run", "--out", "said", "--limit", "50"],
        "run/record.json": verbs.train(whole),
    }
    readers = {name: words for name, words in readers.items() if (whole / name).exists()}
    before = {name: (whole / name).read_bytes() for name in readers}

    def told(ended: Ended) -> str:
        return "\n".join(line for line in ended.said.splitlines() if " s" not in line)

    def answer(ended: Ended):
        return told(ended), verbs.trained(whole), verbs.lines(whole)

    right = {name: answer(run(words, whole)) for name, words in readers.items()}
    for k in range(times):
        name = list(readers)[k % len(readers)]
        data = bytearray(before[name])
        place, bit = chance.randrange(len(data)), chance.randrange(8)
        data[place] ^= 1 << bit
        (whole / name).write_bytes(data)
        ended = run(readers[name], whole)
        fell = _crashed(ended)
        if not fell and not ended.code:
            for other, content in before.items():
                if other != name:
                    (whole / other).write_bytes(content)
            try:
                found = answer(ended)
            except ValueError as error:
                found = error
            if found != right[name]:
                fell = f"taken, and another answer: {ended.said[-300:]}"
        for other, content in before.items():
            (whole / other).write_bytes(content)
        yield f"{name}, byte {place}, bit {bit}: {fell}" if fell else None
