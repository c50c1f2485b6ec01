"""On what terms a number stands: its split, its transformer, how that starts, what came after.

Of a published number somebody read them in its source; of ours they follow from the record.
Two numbers side by side are alike where their terms are, and `unlike` names those that are not.
"""

from dataclasses import dataclass, replace

from stn_course.training.record import RunRecord

NONE = "no transformer"
KINDS = {"homography": "projective", "corners": "projective by corners", "tps": "thin-plate"}
IDENTITY, RANDOM, STRIPS = "from the identity", "from a random pose", "from three strips"
RANDOM_HEADS = ("hr", "hr-padded")  # networks whose first theta is drawn


@dataclass(frozen=True)
class Terms:
    """What a number is of. `runs`: how many, of a published one. `where` it stands there.

    `after`: what was done beside training by the labels, or with the numbers afterwards.
    """

    split: str = "test"
    transformer: str = "affine"
    start: str = IDENTITY
    after: str = ""
    runs: str = ""
    where: str = ""

    def __str__(self) -> str:
        moves = ", ".join(part for part in (self.transformer, self.start) if part)
        return "; ".join(part for part in (self.split, moves, self.after, self.runs) if part)


def without(terms: Terms) -> Terms:
    """The same source's number of a network without a transformer."""
    return replace(terms, transformer=NONE, start="")


def learned_on(recipe: str) -> str:
    """The start of XQ's networks that went on from one of its mixtures."""
    return f"from what it had learned on the {recipe} mixture"


def unlike(theirs: Terms, ours: Terms) -> list[str]:
    """In which terms the two differ, and how: `split: validation, here test`."""
    return [
        f"{name}: {getattr(theirs, name) or 'nothing'}, here {getattr(ours, name) or 'nothing'}"
        for name in ("split", "transformer", "start", "after")
        if getattr(theirs, name) != getattr(ours, name)
    ]


# ---------------------------------------------------------------- ours, from a record
def of_runs(runs: list[RunRecord], which: str) -> Terms:
    """The terms of what `runs` of one experiment say on `which`, as their configurations have them.

    ValueError where two of them differ.
    """
    split = which.partition("/")[0]
    if all("correct_before_centring" in run.probes for run in runs):
        return Terms(split, "shift alone", RANDOM, _centred(runs))
    terms = {_of_config(run.config, split, run.start.get("run", "")) for run in runs}
    if len(terms) != 1:
        raise ValueError(f"runs of {runs[0].experiment} have terms {sorted(map(str, terms))}")
    return terms.pop()


def _of_config(config: dict, split: str, went_on_from: str) -> Terms:
    kind = _transformer(config)
    if went_on_from:  # an experiment, whose name ends in its recipe
        return Terms(split, kind, learned_on(went_on_from.rpartition("-")[2]), _after(config))
    return Terms(split, kind, "" if kind == NONE else _start(config), _after(config))


def _transformer(config: dict) -> str:
    name, options = config.get("model", ""), config.get("options", {})
    moved = name in ("stn", "ffn-spn", "rnn-spn", *RANDOM_HEADS) or (
        name.startswith(("stn-", "paper-st-", "tutorial")) and not name.startswith("tutorial-cnn")
    )
    if not moved:
        return NONE
    kind = options.get("transform", "affine")
    several = options.get("transformers", 1)
    return ("" if several == 1 else f"{several} x ") + KINDS.get(kind, kind)


def _start(config: dict) -> str:
    options = config.get("options", {})
    if config["model"] in RANDOM_HEADS or options.get("identity_start") is False:
        return RANDOM
    return STRIPS if options.get("first_look") == "strips" else IDENTITY


def _after(config: dict) -> str:
    said = ["the pose asked for as well"] if config.get("pose_weight") else []
    said += ["the epoch best on validation"] if config.get("patience") else []
    return ", ".join(said)


def _centred(runs: list[RunRecord]) -> str:
    found = [sum(run.probes["correct_before_centring"].values()) for run in runs]
    total = sum(result["total"] for run in runs for result in run.results.values())
    return f"after centring (as found {100 * sum(found) / total:.1f} %)"


def budget(run: RunRecord) -> str:
    """What `run` learned from and for how long: `60 000 drawn once, with clean, 5 epochs`."""
    config = run.config
    if "distort" not in config:  # a run of its own kind
        steps = config.get("steps")
        return f"{steps:,} steps of {config['batch_size']}".replace(",", " ") if steps else ""
    made = (
        "clean"
        if not config["distort"]
        else "drawn once"
        if config.get("frozen")
        else "drawn afresh"
    )
    said = [made, *(["with clean"] if config.get("with_clean") else [])]
    said += ["and moved afresh"] if config.get("augment") else []
    return ", ".join([*said, f"{len(run.curves['train_loss'])} epochs"])
