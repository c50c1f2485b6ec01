"""One step of training: a batch, its loss, its gradients, an update.  On CUDA it is a graph.

A step of a small network is some hundred kernels of a few microseconds each: to start them one by
one takes longer than to run them.  So on CUDA the first steps run as they do on the CPU, the next
one is recorded, and from there on one call replays the whole of it.
"""

import platform
import warnings

import torch
from torch import Tensor, nn

from stn_course.config import STEP, Config, stream
from stn_course.data import recipes
from stn_course.geometry import Affine
from stn_course.looks import front_of
from stn_course.measure import mean_loss, prepare
from stn_course.pose import pose_error
from stn_course.transformers import SpatialTransformer

WARM = 3  # steps before one is recorded: they compile kernels and allocate what is kept


def low_precision(config: Config, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: if asked for, or if ``auto`` and fast here."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Builds without oneDNN, as for Apple's processors, do not have the question; and what an x86
    # processor can do without instructions of its own for it, is slower than float32.
    if not torch.backends.mkldnn.is_available():
        return False
    if platform.machine() in ("x86_64", "AMD64") and not torch.cpu._is_avx512_bf16_supported():
        return False
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def posed(config: Config, model: nn.Module) -> nn.Module | None:
    """The transformer whose pose is part of the loss, told to keep it; None without one."""
    if not config.pose_weight:
        return None
    front = front_of(model)
    if not isinstance(front, SpatialTransformer) or not isinstance(front.transform, Affine):
        raise ValueError(f"pose_weight needs an affine transformer; {config.model!r} has none")
    front.keep_live = True
    return front


class Step:
    """Called with the indices of a batch, the number of the step and its rate; gives the loss.

    Step ``number`` depends on the configuration, the seed and ``number`` alone.  The loss is a
    tensor [] on the device, overwritten by the next call: reading it waits for the device.
    ``batch`` holds the images of the last call.  With ``record`` False no graph is made.
    """

    def __init__(
        self,
        config: Config,
        seed: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        images: Tensor,
        labels: Tensor,
        record: bool = True,
    ):
        self.config, self.seed, self.model, self.optimizer = config, seed, model, optimizer
        self.images, self.labels = images, labels
        self.bf16, self.front = low_precision(config, images.device), posed(config, model)
        self.dice = torch.Generator(images.device)
        self.batch: Tensor | None = None
        self.calls, self.graph = 0, None
        self.on_cuda = images.is_cuda
        self.fresh = config.distort is not None and not config.frozen
        # RMSprop reads its rate on the host, at every step.
        self.record = record and self.on_cuda and config.optimizer != "rmsprop"
        self.draws = not (self.fresh and config.distort in recipes.WAITS)  # inside the graph too
        if self.on_cuda:
            _own_dropout(model, self.dice)
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(float(group["lr"]), device=images.device)
                if "capturable" in group:
                    group["capturable"] = True
        else:
            for group in optimizer.param_groups:  # a checkpoint from a GPU has the graph's
                group["lr"] = float(group["lr"])
                if "capturable" in group:
                    group["capturable"] = False

    def __call__(self, index: Tensor, number: int, rate: float) -> Tensor:
        key = stream(STEP, self.seed, number)
        self.dice.manual_seed(key)
        if not self.on_cuda:
            torch.manual_seed(key)  # dropout
        for group in self.optimizer.param_groups:
            _set_rate(group, rate * group.get("scale", 1.0))
        self.calls += 1
        if self.record and self.calls > WARM and len(index) == self.config.batch_size:
            return self._replay(index)
        return self._learn(*self._draw(index))

    def _draw(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images [B, C, H, W], labels, and the true motion where the loss needs it."""
        x, y, motion = prepare(self.images[index]), self.labels[index], None
        if self.fresh:
            made, y = recipes.make(self.config.distort, x, y, self.dice)
            x, motion = made.images, made.theta if self.front is not None else None
        if self.config.augment:
            x = recipes.make(self.config.augment, x, y, self.dice)[0].images
        return x, y, motion

    def _learn(self, x: Tensor, y: Tensor, motion: Tensor | None) -> Tensor:
        self.batch = x
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(x.to(memory_format=torch.channels_last))  # [B, classes]
            loss = mean_loss(logits, y)
        if self.front is not None:
            loss = loss + self.config.pose_weight * pose_error(motion, self.front.live)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return loss.detach()

    # ------------------------------------------------------------ the graph
    def _replay(self, index: Tensor) -> Tensor:
        drawn = () if self.draws else self._draw(index)
        if self.graph is None:
            try:
                self._record(index, drawn)
            except RuntimeError as error:
                self.record, self.graph = False, None
                warnings.warn(f"no CUDA graph, step by step instead: {error}", stacklevel=3)
                return self._learn(*(drawn or self._draw(index)))
        self.index.copy_(index)
        for kept, now in zip(self.drawn, drawn, strict=True):
            if kept is not None:
                kept.copy_(now)
        self.graph.replay()
        self.batch = self.static
        return self.loss

    def _record(self, index: Tensor, drawn: tuple) -> None:
        self.index = index.clone()
        self.drawn = tuple(None if t is None else t.clone() for t in drawn)
        self.optimizer.zero_grad(set_to_none=True)
        graph, device = torch.cuda.CUDAGraph(), self.images.device
        graph.register_generator_state(self.dice)
        stream = torch.cuda.current_stream(device)  # one of many, where runs take turns
        if stream == torch.cuda.default_stream(device):  # on which nothing can be recorded
            stream = torch.cuda.Stream(device)
        with torch.cuda.device(device), torch.cuda.graph(graph, stream=stream):
            self.loss = self._learn(*(self.drawn or self._draw(self.index)))
        self.static, self.graph = self.batch, graph


def _set_rate(group: dict, rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)  # a graph reads the number from where it always was
    else:
        group["lr"] = rate


class _Dropout(nn.Module):
    """Dropout by a generator of its own: several runs at once must not share the global one."""

    def __init__(self, like: nn.Module, dice: torch.Generator):
        super().__init__()
        self.p, self.dice, self.whole = like.p, dice, isinstance(like, nn.Dropout2d)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = x.new_empty(x.shape[:2] + (1, 1) if self.whole else x.shape)
        return x * keep.bernoulli_(1 - self.p, generator=self.dice).div_(1 - self.p)


def _own_dropout(model: nn.Module, dice: torch.Generator) -> None:
    """Let every dropout of ``model`` throw ``dice``."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout | nn.Dropout2d):
                setattr(module, name, _Dropout(child, dice))
