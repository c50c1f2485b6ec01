"""The spatial transformer as a module, and several of them in parallel and in sequence.

Jaderberg et al. 2015, arXiv 1506.02025. A localiser looks at the image and says where to
read it; the image is read there; and the gradient tells the localiser where to look.
"""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from stn_course import geometry
from stn_course.geometry import Parametrisation
from stn_course.sampling import fused, reference


class SpatialTransformer(nn.Module):
    """Reads images [B, C, h, w] where its localiser says: [B, C, H, W].

    localiser: `nn.Sequential` from images to `transform.n` raw numbers [B, n]. Its last
        linear layer, and what follows it, runs in float32 or better whatever the type of the
        rest, under autocast too, or theta would come in steps of 1/256.
    transform: a parametrisation of `geometry`, from raw numbers to a transform.
    size: (H, W) of the output, by default the input's divided by `down` (any number above
        0, or two for height and width; rounded down); `pool` halves it once more by
        averaging, so that a shrunken picture is not read in gaps.
    padding: what lies outside, as in `reference.warp`.
    antialias: average over each output pixel where the transform shrinks, see
        `sampling.shrinking`: of use where the output has fewer pixels than what it reads.
    identity_start: zero weights and the identity's bias in that last linear layer, so that
        untrained it hands on what it gets (unless something bends it on the way, as a tanh
        after that layer does). False leaves them as the localiser has them.

    `theta` is the transform of the last call (detached): [B, 2, 3], [B, 3, 3] or offsets.
    With `keep_live`, `live` is the same with its gradient, for losses of the pose itself.

    On feature maps it works just as well, but it only moves them: it cannot give what the
    earlier layers *would have computed* on a straightened image. A filter that looks for
    upright strokes answers differently to a turned digit, and turning its answers back does
    not mend that: invariance needs the transformer before the filters (Finnveden et al.,
    arXiv 2004.11678). Shifts, which convolutions commute with, are the exception.

    Raises TypeError or ValueError for a localiser that is not such a Sequential or whose
    last linear layer does not give `transform.n` numbers, and for a wrong size or down.
    """

    def __init__(
        self,
        localiser: nn.Sequential,
        transform: Parametrisation,
        size: tuple[int, int] | None = None,
        padding: str = "background",
        pool: bool = False,
        down: float | tuple[float, float] = 1.0,
        identity_start: bool = True,
        antialias: bool = False,
    ):
        super().__init__()
        if not isinstance(transform, Parametrisation):
            raise TypeError(f"transform is {transform!r}; wanted a parametrisation of `geometry`")
        linear = _last_linear(localiser)
        if localiser[linear].out_features != transform.n:
            raise ValueError(
                f"localiser ends in {localiser[linear].out_features} numbers; wanted the "
                f"{transform.n} of {transform}"
            )
        whole = geometry.check_down(down)
        down = whole if geometry.as_number(down) is None else whole[0]
        if size is not None and down != 1:
            raise ValueError(f"down={down}, size={size}; wanted one of them")
        if padding not in reference.PADDINGS:
            raise ValueError(f"padding={padding!r}; wanted one of {reference.PADDINGS}")
        self.body, self.head = localiser[:linear], localiser[linear:]
        self.transform, self.padding = transform, padding
        self.size = None if size is None else geometry.check_size(size)
        self.pool, self.down, self.antialias = pool, down, bool(antialias)
        self.theta: Tensor | None = None
        self.keep_live, self.live = False, None
        if identity_start:
            if self.head[0].bias is None:
                raise ValueError(
                    "localiser's last nn.Linear has no bias to start from the identity; wanted "
                    "one, or identity_start=False"
                )
            nn.init.zeros_(self.head[0].weight)
            with torch.no_grad():
                self.head[0].bias.copy_(transform.identity())

    def locate(self, images: Tensor) -> Tensor:
        """The transform for each of `images`, in float32 or better."""
        reference.check_images(images)
        features, exact = self.body(images), exact_type(self.head)  # [B, F]
        with geometry.exactly(images):
            raw = in_type(exact, self.head)(features.to(exact))
            return self.transform.on(raw, tuple(images.shape[2:]))

    def __getstate__(self) -> dict:
        return without_calls(self.__dict__)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) that images of (h, w) are read into, before `pool`."""
        return self.size or geometry.shrunk_size(size, self.down)

    def read(self, images: Tensor, theta: Tensor) -> Tensor:
        """`images` where `theta` says, pooled if this transformer pools."""
        self.theta, self.live = theta.detach(), theta if self.keep_live else None
        size = self.output_size(tuple(images.shape[2:]))
        out = fused.warp(images, theta, size, self.padding, antialias=self.antialias)
        return F.avg_pool2d(out, 2) if self.pool else out

    def forward(self, images: Tensor) -> Tensor:
        return self.read(images, self.locate(images))

    def extra_repr(self) -> str:
        return f"transform={self.transform}, size={self.size}, down={self.down}, pool={self.pool}"


def _last_linear(localiser: nn.Module) -> int:
    """Where in `localiser` its last linear layer stands."""
    if not isinstance(localiser, nn.Sequential):
        raise TypeError(f"localiser is {type(localiser).__name__}; wanted an nn.Sequential")
    linear = [
        k for k, layer in enumerate(localiser) for m in layer.modules() if isinstance(m, nn.Linear)
    ]
    if not linear or not isinstance(localiser[linear[-1]], nn.Linear):
        where = f"inside layer {linear[-1]}" if linear else "nowhere"
        raise ValueError(
            f"localiser's last nn.Linear is {where}; wanted it as a layer of the nn.Sequential "
            "itself, where theta is made"
        )
    if isinstance(localiser[linear[-1]], nn.LazyLinear):
        raise ValueError("localiser's last layer is an nn.LazyLinear; wanted one that has its size")
    return linear[-1]


def exact_type(module: nn.Module) -> torch.dtype:
    """The type of what `module` learns, float32 or better; float32 of one that is quantised."""
    return reduce(torch.promote_types, (p.dtype for p in module.parameters()), torch.float32)


def in_type(dtype: torch.dtype, module: nn.Module) -> Callable[..., Tensor]:
    """`module` with its parameters in `dtype`; their gradients find the way back."""
    own = dict(module.named_parameters())
    if all(p.dtype == dtype for p in own.values()):
        return module
    parts = {name: p.to(dtype) for name, p in own.items()}
    return lambda *inputs: functional_call(module, parts, inputs)


def without_calls(state: dict) -> dict:
    """A module's `state` as a copy or a file has it: what was learned, of no call's graph.

    `live` belongs to one, and `theta` too if a transform of `torch.func` made it.
    """
    theta = state.get("theta")
    if theta is not None and torch._C._functorch.is_functorch_wrapped_tensor(theta):
        theta = None
    return state | {"theta": theta} | ({"live": None} if "live" in state else {})


class ParallelTransformers(nn.Module):
    """Each transformer reads the whole input its own way; channels side by side.

    [B, C, h, w] -> [B, C * transformers, H, W], the first transformer's channels first. The
    addition net of the STN paper has two: one to look at each digit.
    """

    def __init__(self, *transformers: SpatialTransformer):
        super().__init__()
        self.transformers = nn.ModuleList(_some(transformers))
        sizes = [(each.size, each.down, each.pool) for each in transformers]
        if any(size != sizes[0] for size in sizes):
            raise ValueError(f"transformers have (size, down, pool) {sizes}; wanted all alike")

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([each(images) for each in self.transformers], 1)


class SequentialTransformers(nn.Module):
    """Each transformer corrects what those before it made; the input is read once, at the end.

    Transforms are composed instead of pictures blurred and cut several times (Lin and Lucey,
    arXiv 1612.03897). Affine transforms and homographies only; `theta` is the composition
    of the last call. The last transformer decides about size and pooling.
    """

    def __init__(self, *transformers: SpatialTransformer):
        super().__init__()
        self.transformers = nn.ModuleList(_some(transformers))
        for k, each in enumerate(self.transformers):
            if isinstance(each.transform, geometry.ThinPlateSpline):
                raise ValueError(f"transformer {k} is a spline; wanted transforms that compose")
        self.theta: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        seen, theta = images, None
        for each in self.transformers:
            step = each.locate(seen)
            theta = step if theta is None else geometry.compose(theta, step)
            seen = each.read(images, theta)
            each.theta = step.detach()
        self.theta = theta.detach()
        return seen

    def __getstate__(self) -> dict:
        return without_calls(self.__dict__)


def _some(transformers: tuple) -> tuple:
    if not transformers:
        raise ValueError("transformers is empty; wanted at least one")
    for each in transformers:
        if not isinstance(each, SpatialTransformer):
            raise TypeError(f"got {type(each).__name__}; wanted transformers only")
    return transformers


def localiser_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of all localisers in `model`: those of its spatial transformers."""
    found = {
        id(p): p
        for module in model.modules()
        if isinstance(module, SpatialTransformer)
        for p in module.parameters()
    }
    return list(found.values())


TRANSFORMERS = (SpatialTransformer, ParallelTransformers, SequentialTransformers)


def first_transformer(model: nn.Module) -> nn.Module | None:
    """The first transformer of `model`, the whole of it where it has parts; None without."""
    return next((m for m in model.modules() if isinstance(m, TRANSFORMERS)), None)


def first_posed_transformer(model: nn.Module) -> nn.Module:
    """`front_of` a model whose first transformer has a `theta`; ValueError for another."""
    front = first_transformer(model)
    if front is None:
        raise ValueError("model has no spatial transformer, so there is no theta to read")
    if isinstance(front, ParallelTransformers):
        raise ValueError("model has several transformers side by side; wanted one, with one theta")
    return front
