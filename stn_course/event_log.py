"""TensorBoard event files without TensorFlow: scalars and images.

`torch.utils.tensorboard` imports TensorFlow wherever it is installed, which takes seconds
and fills the terminal.  The `tensorboard` package's own record writer does not.
"""

import io
import time
from pathlib import Path

import numpy as np


class EventLog:
    """Appends to one new event file in ``folder``, which is made if need be.

    ``step`` is where the run stands: TensorBoard forgets what older files of the folder
    say beyond it.  Raises ModuleNotFoundError with the cure where tensorboard is missing.
    """

    def __init__(self, folder: Path, step: int = 0):
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"event files need the package tensorboard ({error}): pip install tensorboard"
            ) from None
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
        """``picture``: uint8 [H, W] grey or [H, W, 3] colour."""
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
