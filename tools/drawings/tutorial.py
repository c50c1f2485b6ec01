"""The PyTorch tutorial's net, and SE's seven runs of it: what differs stands out."""

from dataclasses import dataclass

from stn_course import models
from stn_course.experiments.catalogue.coordconv import EXPERIMENTS, SE_RUNS
from tools.drawings import shapes, trace
from tools.drawings.canvas import Canvas, line_height
from tools.drawings.readers import wrapped
from tools.drawings.trace import Stage, said, sides, thousands
from tools.drawings.transformer import LEFT, RIGHT, band

SIZE = (28, 28)
SCALE = 1.5  # units a pixel, in the small drawings
CELL = (335, 262)  # of the seven
GAP = 12
APART = 80  # units from one shape to the next


@dataclass(frozen=True)
class Run:
    """One of the seven: its number, its network and for how long it was trained."""

    number: str
    told: str
    parameters: int
    localiser: list[Stage]  # none: without a transformer
    classifier: list[Stage]
    epochs: int


def run_of(number: str) -> Run:
    name, told = SE_RUNS[number]
    model = models.build(name, size=SIZE)
    steps = trace.trace(model, 1, SIZE)
    # Where this course also has a run of another length, SE's own is called "-source".
    published = EXPERIMENTS.get(f"se-{number}-source") or EXPERIMENTS[f"se-{number}"]
    if any(step.module is model[0] for step in steps) and hasattr(model[0], "theta"):
        before, _, after = trace.split(steps)
    else:
        before, after = [], steps
    return Run(
        number=number,
        told=told,
        parameters=models.count_parameters(model),
        localiser=trace.stages(before) if before else [],
        classifier=trace.stages(after),
        epochs=published.config.epochs,
    )


def small_row(canvas: Canvas, left: float, y: float, stages: list[Stage], kind: str) -> None:
    """The shapes of `stages` around `y`; those that get coordinates stand out."""
    x, before = left + 48, None
    for stage in stages:
        mark = "look heavy" if stage.coords else kind
        box = shapes.any_shape(canvas, x, y, stage.shape, SCALE, mark)
        if before is not None:
            canvas.arrow([(before + 5, y), (box[0] - 4, y)], head=8)
        if stage.coords:
            canvas.text(x + 4, box[1] - 9, "+x, y", "small", kind="loud")
        before, x = box[2], x + APART


def cell(canvas: Canvas, left: float, top: float, run: Run, first: Run) -> None:
    """One run in its frame: `first` is the one that it is compared with."""
    width, height = CELL
    line = line_height("small")
    canvas.rect(left, top, width, height, "rule", 10)
    canvas.text(left + 14, top + 34, run.number, "title", "start")
    canvas.lines(left + 62, top + 32, told_in_lines(run.told, width - 74), "small", "start")
    upper, lower = top + 100, top + 178
    if run.localiser:
        small_row(canvas, left, upper, run.localiser, "locate")
    else:
        canvas.rect(left + 16, upper - 28, width - 32, 56, "outline gone", 8)
        canvas.text(left + width / 2, upper + 8, "no transformer", "small", kind="loud")
    small_row(canvas, left, lower, run.classifier, "read")
    same_net = (run.localiser, run.classifier) == (first.localiser, first.classifier)
    alone = same_net and run.epochs != first.epochs  # nothing else differs
    if alone:
        canvas.rect(left + width - 146, top + height - 38, 136, 32, "plate look heavy", 16)
    epochs, x = f"{run.epochs} epochs", left + width - 78
    canvas.text(x, top + height - 15, epochs, "small", kind="loud" if alone else "quiet")
    count = thousands(run.parameters)
    canvas.text(left + 16, top + height - 14, count, "small", "start", "quiet")
    canvas.reach(top + height + line / 2)


def told_in_lines(text: str, width: float) -> list[str]:
    """`text` at its commas, or at a space near its middle, where it is too wide."""
    lines = wrapped(text.split(", "), width)
    if len(lines) == 1 and len(text) > 24:
        words = text.split()
        half = (len(words) + 1) // 2
        lines = [" ".join(words[:half]), " ".join(words[half:])]
    return lines


def key(canvas: Canvas, left: float, top: float) -> None:
    """What the small drawings mean, in the last place."""
    line = line_height("small")
    canvas.rect(left + 18, top + 22, 26, 26, "plate locate", 2)
    canvas.text(left + 62, top + 43, "localiser", "small", "start")
    canvas.rect(left + 18, top + 66, 26, 26, "plate read", 2)
    canvas.text(left + 62, top + 87, "classifier", "small", "start")
    canvas.rect(left + 18, top + 110, 26, 26, "plate look heavy", 2)
    told = ["what differs: x and y", "told to a convolution,", "no transformer, or only"]
    told += ["longer training"]
    below = canvas.lines(left + 62, top + 131, told, "small", "start")
    canvas.text(left + 18, below + line / 2, "grey: parameters", "small", "start", "quiet")


def seven() -> tuple[Canvas, str, str]:
    runs = [run_of(number) for number in SE_RUNS]
    first, canvas = runs[0], Canvas("tutorial")
    shape = sides((1, *SIZE))
    canvas.text(LEFT, 36, "The tutorial’s network", "title", "start")
    canvas.text(RIGHT, 36, f"image {shape}", "small", "end", "loud")
    for title, told, stages, kind in (
        ("localiser", "says where to look", first.localiser, "locate"),
        ("classifier", "says what it is", first.classifier, "read"),
    ):
        count = thousands(sum(stage.parameters for stage in stages))
        top = canvas.bottom + 16
        band(canvas, top, title, f"{told} · {count} parameters", stages, kind, gradient=False)
    canvas.text(LEFT, canvas.bottom + 52, "SE’s seven runs", "title", "start")
    start = canvas.bottom + 16
    for k, run in enumerate(runs):
        row, column = divmod(k, 2)
        left = LEFT + column * (CELL[0] + GAP)
        cell(canvas, left, start + row * (CELL[1] + GAP), run, first)
    row, column = divmod(len(runs), 2)
    left = LEFT + column * (CELL[0] + GAP)
    key(canvas, left, start + row * (CELL[1] + GAP))
    canvas.reach(start + (row + 1) * (CELL[1] + GAP))
    canvas.text((LEFT + RIGHT) / 2, canvas.bottom + 24, shapes.KEY, "small", kind="quiet")
    title = f"The PyTorch tutorial's network and the {len(runs)} runs of SE's that vary it"
    return canvas, title, described(runs)


def described(runs: list[Run]) -> str:
    first = runs[0]

    def coords(stages):
        return any(stage.coords for stage in stages)

    found = [
        f"For images of {sides((1, *SIZE))}. Localiser: {said(first.localiser)}. "
        f"Classifier: {said(first.classifier)}."
    ]
    for run in runs:
        parts = ["a transformer" if run.localiser else "no transformer"]
        parts += ["coordinates in the localiser"] * coords(run.localiser)
        parts += ["coordinates in the classifier"] * coords(run.classifier)
        count = f"{run.parameters:,}".replace(",", " ")
        found.append(f"Run {run.number}: {', '.join(parts)}; {run.epochs} epochs; {count} numbers.")
    return " ".join(found)
