"""One step of training: a batch, its loss, its gradients, an update."""

import platform

import torch
from torch import Tensor, nn

from stn_course.data import recipes, to_float
from stn_course.data.seeding import STEP, stream
from stn_course.geometry import Affine, as_int64, raise_where
from stn_course.models import SpatialTransformer, mean_loss, pose_error
from stn_course.models.losses import labels_of
from stn_course.models.transformers import first_transformer
from stn_course.training.config import Config
from stn_course.training.optimisation import set_rate


class Step:
    """Called with the indices of a batch, the number of the step and its rate; gives the loss.

    Step `number` depends on the configuration, the seed and `number` alone. The loss is a tensor
    [] on the device. `batch` holds the images of the last call and `right` how many of its labels
    were read right on the way, a tensor [] too. Raises TypeError or ValueError for
    labels that are not those of the images, once: no step looks at them.
    """

    def __init__(self, config: Config, seed: int, model: nn.Module, optimizer, images, labels):
        self.config, self.seed, self.model, self.optimizer = config, seed, model, optimizer
        self.images, self.labels = images, labels_of(images, labels)  # uint8 [N, C, H, W], [N, ...]
        raise_where(self.labels < 0, "labels must be classes, got negative ones")
        self.bf16, self.front = low_precision(config, images.device), posed(config, model)
        self.fresh = config.distort is not None and not config.frozen
        self.generator = torch.Generator(images.device)
        self.batch: Tensor | None = None
        self.right: Tensor | None = None

    def __call__(self, index: Tensor, number: int, rate: float) -> Tensor:
        self.prepare(number, rate)
        return self.learn(*self.draw(index))

    def prepare(self, number: int, rate: float) -> None:
        """Seed what this step draws, and set its learning rate."""
        self.generator.manual_seed(stream(STEP, self.seed, number))
        if not self.images.is_cuda:
            torch.manual_seed(stream(STEP, self.seed, number))  # dropout
        set_rate(self.optimizer, rate)

    def draw(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images [B, C, H, W] of a batch, labels, and the true motion where the loss needs it."""
        index = as_int64(index, "index")  # bytes would be truth values to torch
        x, y, motion = to_float(self.images[index]), self.labels[index], None
        if self.fresh:
            made, y = recipes.make(self.config.distort, x, y, self.generator)
            x, motion = made.images, made.theta if self.front is not None else None
        if self.config.augment:
            x = recipes.make(self.config.augment, x, y, self.generator)[0].images
        return x, y, motion

    def learn(self, x: Tensor, y: Tensor, motion: Tensor | None) -> Tensor:
        """Cross-entropy (`losses.mean_loss`), its gradients, an update; the loss without graph."""
        self.batch = x
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            logits = self.model(x.to(memory_format=torch.channels_last))  # [B, classes]
            loss = mean_loss(logits, y, look=False)  # no step waits
        self.right = (logits.detach().argmax(-1) == y).sum()
        if self.front is not None:
            loss = loss + self.config.pose_weight * pose_error(motion, self.front.live)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return loss.detach()


def low_precision(config: Config, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16: if asked for, or if `auto` and fast here."""
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
    front = first_transformer(model)
    if not isinstance(front, SpatialTransformer) or not isinstance(front.transform, Affine):
        raise ValueError(f"pose_weight needs an affine transformer; {config.model!r} has none")
    front.keep_live = True
    return front
