"""The step of training on CUDA: recorded once as a graph, then replayed by one call.

A step of a small network is some hundred kernels of a few microseconds each: to start them one by
one takes longer than to run them. So the first steps run as they do on the CPU, the next one is
recorded, and from there on one call replays the whole of it.
"""

import warnings

import torch
from torch import Tensor, nn

from stn_course.data import recipes
from stn_course.training.config import Config
from stn_course.training.step import Step

WARM = 3  # steps before one is recorded: they compile kernels and allocate what is kept


def make_step(config: Config, seed: int, model, optimizer, images: Tensor, labels: Tensor):
    """The step of a run: a `Step`, on CUDA a recorded one."""
    step = Step(config, seed, model, optimizer, images, labels)
    return RecordedStep(step) if images.is_cuda else step


class RecordedStep:
    """A `Step` on a GPU, called like it; its loss is overwritten by the next call.

    Dropout and the learning rate are changed so that a graph can hold them. With `record` False,
    and for RMSprop, which reads its rate on the host at every step, no graph is made.
    """

    def __init__(self, step: Step, record: bool = True):
        self.step, self.calls, self.graph = step, 0, None
        self.batch: Tensor | None = None
        self.right: Tensor | None = None
        config = step.config
        self.record = record and config.optimizer != "rmsprop"
        # Whether the images are drawn inside the graph too; some recipes wait for the device.
        self.draws = not (step.fresh and config.distort in recipes.WAITS)
        own_dropout(step.model, step.generator)
        for group in step.optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=step.images.device)
            if "capturable" in group:
                group["capturable"] = True

    @property
    def bf16(self) -> bool:
        return self.step.bf16

    def __call__(self, index: Tensor, number: int, rate: float) -> Tensor:
        self.step.prepare(number, rate)
        self.calls += 1
        if self.record and self.calls > WARM and len(index) == self.step.config.batch_size:
            return self._replay(index)
        return self._plainly(self.step.draw(index))

    def _plainly(self, drawn: tuple) -> Tensor:
        loss = self.step.learn(*drawn)
        self.batch, self.right = self.step.batch, self.step.right
        return loss

    def _replay(self, index: Tensor) -> Tensor:
        drawn = () if self.draws else self.step.draw(index)
        if self.graph is None:
            try:
                self.capture(index, drawn)
            except RuntimeError as error:
                self.record, self.graph = False, None
                warnings.warn(f"no CUDA graph, step by step instead: {error}", stacklevel=3)
                return self._plainly(drawn or self.step.draw(index))
        self.index.copy_(index)
        for kept, now in zip(self.drawn, drawn, strict=True):
            if kept is not None:
                kept.copy_(now)
        self.graph.replay()
        self.batch, self.right = self.static
        return self.loss

    def capture(self, index: Tensor, drawn: tuple) -> None:
        """Record one step; `drawn` are its images where they are made outside the graph."""
        step, device = self.step, self.step.images.device
        self.index = index.clone()
        self.drawn = tuple(None if t is None else t.clone() for t in drawn)
        step.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(step.generator)
        stream = torch.cuda.current_stream(device)  # one of many, where runs take turns
        if stream == torch.cuda.default_stream(device):  # on which nothing can be recorded
            stream = torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.cuda.graph(graph, stream=stream):
            self.loss = step.learn(*(self.drawn or step.draw(self.index)))
        self.static, self.graph = (step.batch, step.right), graph


class Dropout(nn.Module):
    """Dropout by a generator of its own: several runs at once must not share the global one."""

    def __init__(self, like: nn.Module, generator: torch.Generator):
        super().__init__()
        self.p, self.generator, self.whole = like.p, generator, isinstance(like, nn.Dropout2d)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty(x.shape[:2] + (1, 1) if self.whole else x.shape)
        return x * keep.bernoulli_(1 - self.p, generator=self.generator).div_(1 - self.p)


def own_dropout(model: nn.Module, generator: torch.Generator) -> None:
    """Let every dropout of `model` draw from `generator`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                setattr(module, name, Dropout(child, generator))
