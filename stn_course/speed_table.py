"""Records of speed as the cells of tables: what was wanted, what was measured."""

from stn_course import speed
from stn_course.stopwatch import length

NOT_YET = "not yet run"
# The lines of the table of targets: what, and what is wanted of a CPU of two cores and of a GPU.
TARGETS = {
    1: ("warp, forward", "3x", "8x"),
    2: ("warp, and its gradient to theta", "3x", "10x"),
    3: ("warp and both gradients, 32 channels", "1.5x", "1x"),
    4: ("thin-plate-spline warp", "8x", "15x"),
    5: ("60 000 digits distorted afresh", "50x", "0.5 ms"),
    6: ("the PyTorch tutorial, 20 epochs", "3x", "4 s"),
    7: ("time to 98.87 % on clean digits", "25 s", "0.5 s"),
    8: ("96 runs of one table", "-", "20 min"),
    9: ("sequences read to 98.26 % a digit", "30 min", "60 s"),
    10: ("the published cluttered sequences", "12 s", "-"),
    11: ("slider to redrawn figure", "50 ms", "-"),
    12: ("first figure after import", "4 s", "-"),
}


def told(record: speed.Speed | None) -> str:
    """What a record of speed says, in a table's cell."""
    if record is None:
        return NOT_YET
    if record.verdict in ("not measured", "void"):
        return record.verdict
    if record.ratio is not None:
        return f"{record.ratio:.1f}x ({record.low:.1f} to {record.high:.1f}), {record.verdict}"
    return f"{length(record.ours)}, {record.verdict}"


def gpu_rows(word: str, where=None) -> list[list[str]]:
    """Name and result of each record of a GPU with ``word`` in its name; says if there is none."""
    found = [r for r in speed.load(where) if r.is_gpu and word in r.name.lower()]
    return [[r.name, r.device, told(r)] for r in found] or [[word, "a GPU", NOT_YET]]


def machines(where=None) -> list[str]:
    """What the records of speed in ``where`` were measured on."""
    return list(dict.fromkeys(record.device for record in speed.load(where)))


def targets(where=None) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of targets, from the records of speed in ``where``."""
    head = ["", "what", "peer", "CPU, wanted", "CPU, measured", "GPU, wanted", "GPU, measured"]
    records, rows = speed.load(where), []
    for number, (what, on_cpu, on_gpu) in TARGETS.items():
        ours = [r for r in records if r.target == number]
        for name in dict.fromkeys(r.name for r in ours) or [what]:
            cells, peers = [], {r.peer_name for r in ours if r.name == name} - {""}
            for gpu, wanted in ((False, on_cpu), (True, on_gpu)):
                found = [r for r in ours if r.name == name and r.is_gpu == gpu]
                one = found[0] if found else None
                if one is not None and one.ratio is None and one.ours is not None:
                    wanted = length(one.wanted)  # one target may have several
                cells += [wanted, "-" if wanted == "-" else told(one)]
            rows.append([str(number), name, ", ".join(sorted(peers)) or "-", *cells])
    return head, rows
