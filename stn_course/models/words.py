"""A network that reads words of a fixed number of signs: one head reads them all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stn_course.geometry import check_size, real_number, whole_number
from stn_course.models.layers import Size
from stn_course.sampling import reference


class WordReader(nn.Module):
    """Images [B, C, h, w] to logits [B, digits, classes], signs from left to right.

    Convolutions leave a row of columns, one for every four pixels. Sign k is read from a weighted
    mean of them, which begins as the k-th part of the row and which what the columns hold moves.
    One linear layer reads all signs: one that was learned at one place is known at the others.

    `width` scales the channels. `inside`, a transformer of feature maps, stands after the first
    convolution. Raises TypeError or ValueError for sizes and numbers that are none, and for
    images of another size.
    """

    def __init__(
        self,
        size: Size = (32, 96),
        classes: int = 10,
        channels: int = 1,
        *,
        digits: int = 3,
        width: float = 1.0,
        inside: Callable[[Size, int], nn.Module] | None = None,
    ):
        super().__init__()
        self.size, self.channels = check_size(size), whole_number("channels", channels)
        self.digits, classes = whole_number("digits", digits), whole_number("classes", classes)
        width = real_number("width", width, above=0)
        a, b, c, d = (max(1, round(n * width)) for n in (16, 48, 64, 96))
        body, inputs = [], self.channels
        for out, kernel, stride in ((a, 5, 2), (b, 3, 2), (c, 3, 1)):
            conv = nn.Conv2d(inputs, out, kernel, stride, kernel // 2, bias=False)
            body += [conv, nn.BatchNorm2d(out), nn.ReLU()]
            inputs = out
        if inside is not None:
            body.insert(3, inside(tuple(-(-n // 2) for n in self.size), a))
        rows, columns = (-(-n // 4) for n in self.size)
        body.append(nn.Conv2d(c, d, (rows, 3), padding=(0, 1), bias=False))
        body += [nn.BatchNorm2d(d), nn.ReLU()]
        self.columns = nn.Sequential(*body)  # [B, d, 1, columns]
        self.where = nn.Conv1d(d, self.digits, 3, padding=1)
        middles = (torch.arange(self.digits) + 0.5) * columns / self.digits
        away = (torch.arange(columns) + 0.5 - middles[:, None]) / (columns / self.digits)
        self.places = nn.Parameter(-2 * away.square())  # [digits, columns]
        self.drop, self.read = nn.Dropout(0.2), nn.Linear(d, classes)

    def forward(self, images: Tensor) -> Tensor:
        reference.check_images(images)
        if tuple(images.shape[1:]) != (self.channels, *self.size):
            wanted = ", ".join(map(str, (self.channels, *self.size)))
            raise ValueError(f"images have shape {list(images.shape)}; wanted [B, {wanted}]")
        columns = self.columns(images).squeeze(2)  # [B, d, columns]
        weights = (self.where(columns) + self.places).softmax(2)  # [B, digits, columns]
        return self.read(self.drop(weights @ columns.mT))  # [B, digits, classes]
