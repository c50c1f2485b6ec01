"""TensorBoard event files without TensorFlow: scalars and images.

`torch.utils.tensorboard` imports TensorFlow wherever it is installed, which takes seconds
and fills the terminal. The `tensorboard` package's own record writer does not.
"""

import io
import sys
import time
from pathlib import Path

import numpy as np

from stn_course.analysis.predictions import predict
from stn_course.extras import needs
from stn_course.training.config import CLEAN
from stn_course.training.datasets import test_set
from stn_course.training.listeners import Listener

SHOWN = 8  # images of the validation set that are shown


class TensorBoard(Listener):
    """Scalars of every `log_every`-th step and each epoch, and what the transformer reads.

    They go to `folder/tensorboard`. Without that package: an error if it is `wanted`, else a line
    on stderr.
    """

    def __init__(self, folder, log_every: int = 0, wanted: bool = True):
        self.folder, self.log_every, self.wanted = Path(folder), log_every, wanted
        self.events = None

    def start(self, run) -> None:
        try:
            self.events = EventLog(self.folder / "tensorboard", run.state.step)
        except ModuleNotFoundError as error:
            if self.wanted:
                raise
            print(f"no event files for TensorBoard: {error}", file=sys.stderr)
            return
        for name, value in run.state.before.items() if not run.state.step else ():
            self.events.scalar(f"epoch/{name}", value, 0)
        split = "test" if run.valid is None else "valid"
        held = test_set(split, run.config.distort or CLEAN, run.device)
        self.shown = held.images[:SHOWN].clone(), held.labels[:SHOWN]  # let go of the rest

    def step(self, run) -> None:
        if self.events and self.log_every and run.state.step % self.log_every == 0:
            self.events.scalar("step/loss", run.loss.item(), run.state.step)
            self.events.scalar("step/accuracy", run.accuracy, run.state.step)
            self.events.scalar("step/rate", run.rate, run.state.step)
            self.events.flush()  # before a checkpoint that a kill may follow

    def epoch(self, run) -> None:
        if not self.events:
            return
        step = run.state.step
        for name, values in run.history().items():
            self.events.scalar(f"epoch/{name}", values[-1], step)
        seen = predict(run.model, *self.shown)
        self.events.image("input", np.hstack(seen.inputs), step)
        if seen.outputs is not None:
            self.events.image("warped", np.hstack(seen.outputs), step)
            self.events.image("sampled box", np.hstack([*with_boxes(seen)]), step)
        self.events.flush()

    def close(self) -> None:
        if self.events:
            self.events.close()


def show_learning(rows: list[dict], folder: Path) -> None:
    """What was measured of each checkpoint, as scalars against the epoch in `folder`, anew.

    Without the package: a line on stderr.
    """
    try:
        events = EventLog(folder)
    except ModuleNotFoundError as error:
        print(f"no event files for TensorBoard: {error}", file=sys.stderr)
        return
    for old in set(folder.glob("events.*")) - {events.path}:
        old.unlink()
    for row in rows:
        accuracy = 100 * row["correct"] / row["total"]
        events.scalar(f"accuracy/{row['split']}", accuracy, row["epoch"])
        events.scalar(f"loss/{row['split']}", row["loss"], row["epoch"])
    events.close()


OUTLINES = ("#ef4444", "#0d9488", "#d97706", "#7c3aed", "#64748b")  # first, second, third, ...


def with_boxes(seen, zoom: int = 4):
    """Each input, `zoom` times as large, with the outline of what was read.

    Red; of several the second is teal, the third amber, as in the gallery.
    """
    with needs("course"):
        from PIL import Image, ImageDraw

    for image, polygons in zip(seen.inputs, seen.boxes, strict=True):
        h, w = zoom * image.shape[0], zoom * image.shape[1]
        picture = Image.fromarray(image).resize((w, h), Image.Resampling.NEAREST).convert("RGB")
        draw = ImageDraw.Draw(picture)
        for channel in range(seen.channels):
            wide = w / seen.channels
            for nth, polygon in enumerate(polygons):
                places = (polygon + 1) / 2 * (wide, h) + (channel * wide, 0)
                colour = OUTLINES[nth % len(OUTLINES)]
                draw.polygon([tuple(p) for p in places.tolist()], outline=colour, width=2)
        yield np.asarray(picture)


class EventLog:
    """Appends to one new event file in `folder`, which is made if need be.

    `step` is where the run stands: TensorBoard forgets what older files of the folder
    say beyond it. Raises ModuleNotFoundError where tensorboard is missing.
    """

    def __init__(self, folder: Path, step: int = 0):
        with needs("course"):
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        self._events, self._summaries = event_pb2, summary_pb2
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"events.out.tfevents.{time.time_ns()}"
        self._writer = RecordWriter(open(self.path, "xb"))
        self._write(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(session_log=start, step=step + 1)

    def scalar(self, tag: str, value: float, step: int) -> None:
        self._summary(step, tag=tag, simple_value=value)

    def image(self, tag: str, picture: np.ndarray, step: int) -> None:
        """`picture`: uint8 [H, W] grey or [H, W, 3] colour."""
        with needs("course"):
            from PIL import Image

        png = io.BytesIO()
        Image.fromarray(picture).save(png, "png")
        made = self._summaries.Summary.Image(
            height=picture.shape[0],
            width=picture.shape[1],
            colorspace=1 if picture.ndim == 2 else 3,
            encoded_image_string=png.getvalue(),
        )
        self._summary(step, tag=tag, image=made)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _summary(self, step: int, **value) -> None:
        summary = self._summaries.Summary(value=[self._summaries.Summary.Value(**value)])
        self._write(step=step, summary=summary)

    def _write(self, **event) -> None:
        made = self._events.Event(wall_time=time.time(), **event)
        self._writer.write(made.SerializeToString())
