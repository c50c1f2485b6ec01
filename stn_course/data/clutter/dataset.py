"""A set of cluttered images that is kept as draws and rendered in batches, on any device.

Only what was drawn at random is stored (which digits and patches, and where: a few MB), beside the
digits themselves. Pixels are k/256, exact in float32.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from stn_course.geometry import as_int64


def _moved(thing, device):
    tensors = {f.name: getattr(thing, f.name) for f in fields(thing) if f.init}
    return replace(thing, **{k: v.to(device) for k, v in tensors.items() if torch.is_tensor(v)})


@dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn for N images of D digits and P patches, and the two banks."""

    digit_bank: Tensor  # uint8 [n, 28, 28]
    patch_bank: Tensor  # uint8 [m, S, S]
    digit_ids: Tensor  # int32 [N, D]
    digit_at: Tensor  # int16 [N, D, 2], x and y of the upper left corner
    patch_ids: Tensor  # int32 [N, P]
    patch_at: Tensor  # int16 [N, P, 2]

    def render(self, rows: Tensor, canvas: int) -> Tensor:
        digits = self._paste(canvas, self.digit_bank, self.digit_ids[rows], self.digit_at[rows])
        clutter = self._paste(canvas, self.patch_bank, self.patch_ids[rows], self.patch_at[rows])
        return digits.add_(clutter).clamp_(max=256).mul_(1 / 256)  # [B, H, W]

    @staticmethod
    def _paste(canvas: int, bank: Tensor, ids: Tensor, at: Tensor) -> Tensor:
        out = torch.zeros(len(ids), canvas, canvas, device=ids.device)  # [B, H, W]
        side = bank.shape[-1]
        # Windows share memory, but one assignment writes one window of each image only.
        windows = out.unfold(1, side, 1).unfold(2, side, 1)  # [B, y, x, side, side]
        image = torch.arange(len(ids), device=ids.device)
        x, y = at.long().unbind(-1)  # [B, K] each
        for k in range(ids.shape[1]):  # in order: a later one covers an earlier one
            windows[image, y[:, k], x[:, k]] = bank[ids[:, k].long()].float()
        return out


@dataclass(frozen=True, eq=False)
class Stored:
    """Images read from a file, as k of k/256."""

    pixels: Tensor  # int16 [N, H, W]

    def render(self, rows: Tensor, canvas: int) -> Tensor:
        return self.pixels[rows].float().mul_(1 / 256)  # [B, H, W]


@dataclass(frozen=True, eq=False, repr=False)
class ClutterSet:
    """N images with D digits each. Make one with `cluttered`, `sequences` or `generate`."""

    labels: Tensor  # int64 [N, D], from left to right
    boxes: Tensor | None  # int64 [N, D, 4], see `generate`; None for a set read from its file
    source: str
    canvas: int  # side of an image in pixels
    _content: Draws | Stored
    _elsewhere: dict = field(default_factory=dict, init=False)  # device: this set

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        side, digits = self.canvas, self.labels.shape[1]
        return f"ClutterSet({len(self)} images {side}x{side}, digits: {digits}; {self.source})"

    def to(self, device: torch.device | str) -> "ClutterSet":
        """This set with its draws and digits on `device`, where images will be rendered."""
        key = str(torch.device(device))
        if torch.empty(0, device=device).device == self.labels.device:
            return self
        if key not in self._elsewhere:
            content = _moved(self._content, device)
            self._elsewhere[key] = replace(_moved(self, device), _content=content)
        return self._elsewhere[key]

    def images(self, index=slice(None), device: torch.device | str | None = None) -> Tensor:
        """Images in [0, 1], float32 [B, 1, H, W], on `device` (default: where the set is).

        `index`: a number, a slice, or a list, array or tensor of numbers or of one truth value an
        image. Raises IndexError outside the set, TypeError for numbers that are not whole.
        """
        if device is not None:
            return self.to(device).images(index)
        here = self.labels.device
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=here)
            if index.dtype != torch.bool:  # torch takes [] for floats, and bytes for truth values
                index = as_int64(index if index.numel() else index.long(), "index")
        rows = torch.arange(len(self), device=here)[index].reshape(-1)
        out = torch.empty(len(rows), 1, self.canvas, self.canvas, device=here)
        step = self._step()
        for i in range(0, len(rows), step):
            out[i : i + step, 0] = self._content.render(rows[i : i + step], self.canvas)
        return out

    def _step(self) -> int:
        """Images rendered at once: few on a CPU, so that they stay in its cache."""
        return max(1, 1_280_000 // self.canvas**2) if self.labels.device.type == "cpu" else 8192

    def _batches(self) -> Iterator[np.ndarray]:
        for i in range(0, len(self), self._step()):
            yield self.images(slice(i, i + self._step())).flatten(1).cpu().numpy()

    def _int32_labels(self) -> np.ndarray:
        return self.labels.cpu().numpy().astype(np.int32)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """(images float32 [N, H*W], labels int32 [N, D]). The 60 000 sequences take 2.4 GB."""
        return self.images().flatten(1).cpu().numpy(), self._int32_labels()

    def sha256(self) -> tuple[str, str]:
        """SHA-256 of the two `arrays`, without ever holding all images."""
        images = hashlib.sha256()
        # One core renders while the other hashes what was rendered last. More threads for the
        # rendering wait for each other after every small step, and take five times as long as soon
        # as another process wants a core.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(1) as beside:
                hashed = beside.submit(images.update, b"")
                for batch in self._batches():
                    hashed.result()
                    hashed = beside.submit(images.update, batch)
                hashed.result()
        finally:
            torch.set_num_threads(threads)
        return images.hexdigest(), hashlib.sha256(self._int32_labels()).hexdigest()
