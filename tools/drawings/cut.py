"""Two steps of a recurrent cell, and the one way of the gradient that `detach_state` cuts."""

from tools.drawings.canvas import Canvas
from tools.drawings.transformer import both_ways

STEPS = (205, 545)  # the middles of the two steps' columns
BOX = (150, 54)  # of a part
LOSS, HEAD, CELL, FEATURES = 118, 222, 326, 448  # the middles of the rows


def part(canvas: Canvas, x: float, y: float, text: str, kind: str, wide: float = BOX[0]) -> None:
    """A box around (x, y) with its name in it."""
    canvas.rect(x - wide / 2, y - BOX[1] / 2, wide, BOX[1], f"plate {kind}", 8)
    canvas.text(x, y + 8, text, "label", kind="loud")


def scissors(canvas: Canvas, x: float, y: float) -> None:
    """Two blades and two handles around (x, y), which cut a line along x."""
    canvas.path(f"M{x - 9} {y - 9}L{x + 7} {y + 18}M{x + 9} {y - 9}L{x - 7} {y + 18}", "outline")
    for side in (-1, 1):
        canvas.add(f'<circle class="outline" cx="{x + side * 10}" cy="{y + 24}" r="7"/>')


def two_steps() -> tuple[Canvas, str, str]:
    """Features, cell, head and loss of two steps; the state's gradient is cut."""
    canvas = Canvas("cut")
    canvas.text(30, 36, "What is cut", "title", "start")
    canvas.text(30, 66, "dashed: the gradient", "small", "start", "quiet")
    half = BOX[1] / 2
    for step, x in enumerate(STEPS, 1):
        part(canvas, x, LOSS, f"loss {step}", "back")
        part(canvas, x, HEAD, "head, glance", "look", 190)
        part(canvas, x, CELL, f"GRU, step {step}", "locate", 190)
        for above, below in ((LOSS, HEAD), (HEAD, CELL), (CELL, FEATURES)):
            both_ways(canvas, (x, below - half), (x, above + half))
    part(canvas, sum(STEPS) / 2, FEATURES, "features of the picture", "image", 560)
    left, right = STEPS[0] + 95, STEPS[1] - 95
    both_ways(canvas, (left, CELL), (right, CELL))
    middle = (left + right) / 2
    canvas.text(middle, CELL - 22, "state", "small", kind="loud")
    scissors(canvas, middle, CELL + 7)
    canvas.text(middle, CELL + 60, "cut", "small", kind="loud")
    title = "The gradient between two steps of a GRU, and where it is cut"
    told = (
        "The features of the picture go into the GRU at both steps, and its state goes from step 1 "
        "to step 2. At each step the head says where to look, and there is a loss. Dashed arrows "
        "run back from each loss through the head and the GRU into the features. A pair of "
        "scissors cuts the dashed arrow that would run back from step 2 to step 1 along the state."
    )
    return canvas, title, told
