"""Networks that read a row of digits: without a glimpse, with one, and with one a digit.

`PlainCNN`, `FFNSPN` and `RNNSPN` are the three that Sønderby et al. compare ("Recurrent Spatial
Transformer Networks", arXiv 1509.05329), each in the three designs of `sequence_designs`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stn_course import geometry
from stn_course.geometry import one_of, whole_number
from stn_course.models.layers import Size, dense, normal_, width_of
from stn_course.models.sequence_designs import DESIGNS, Down, glimpse_size, strips
from stn_course.models.transformers import SpatialTransformer, exact_type, in_type, without_calls
from stn_course.sampling import fused, reference


class RecurrentTransformer(SpatialTransformer):
    """Looks at the same images `steps` times, each time elsewhere.

    [B, C, h, w] -> [B * steps, C, H, W], the glimpses of one image after one another. The
    features are computed once; a GRU sees them at every step and remembers what it has done;
    one linear layer, in float32 like the GRU, makes each step's transform of its state.

    features: from images to `width` numbers; state: units of the GRU; `transform` (an affine
    one), `size` and `padding` as in `SpatialTransformer`. `detach_state` stops the gradient
    between steps: what a step does is then never learned for the sake of a later one, though the
    features still learn from all. `theta` of the last call is [B, steps, 2, 3].
    """

    def __init__(
        self,
        features: Iterable[nn.Module],
        width: int,
        state: int,
        steps: int,
        transform: geometry.Parametrisation,
        size: Size,
        padding: str = "background",
        detach_state: bool = False,
    ):
        super().__init__(
            nn.Sequential(*features, nn.Linear(state, transform.n)), transform, size, padding
        )
        steps = whole_number("steps", steps)
        self.cell = nn.GRUCell(width, state)
        self.steps, self.detach_state = steps, detach_state
        self.starts: nn.Parameter | None = None

    def begin(self, starts: Tensor) -> None:
        """Let each step begin elsewhere: `starts` [steps, n], learned, join the head's."""
        wanted = (self.steps, self.transform.n)
        if starts.shape != wanted:
            raise ValueError(f"starts has shape {list(starts.shape)}; wanted {list(wanted)}")
        self.starts = nn.Parameter(starts.clone())
        nn.init.zeros_(self.head[0].bias)

    def locate(self, images: Tensor) -> Tensor:
        """The transforms of each image, in float32: [B, steps, 2, 3]."""
        features, state, thetas = self.body(images), None, []  # [B, width]
        size, exact = tuple(images.shape[2:]), exact_type(self.head)
        with geometry.exactly(images):
            features = features.to(exact)
            cell, head = in_type(exact, self.cell), in_type(exact, self.head)
            for step in range(self.steps):
                if state is not None and self.detach_state:
                    state = state.detach()
                state = cell(features, state)  # [B, state]
                raw = head(state)  # [B, n]
                raw = raw if self.starts is None else raw + self.starts[step]
                thetas.append(self.transform.on(raw, size))  # [B, 2, 3]
        return torch.stack(thetas, 1)

    def read(self, images: Tensor, theta: Tensor) -> Tensor:
        self.theta, self.live = theta.detach(), theta if self.keep_live else None
        size = self.output_size(tuple(images.shape[2:]))
        glimpses = [fused.warp(images, each, size, self.padding) for each in theta.unbind(1)]
        return torch.stack(glimpses, 1).flatten(0, 1)  # [B * steps, C, H, W]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, steps={self.steps}, detach_state={self.detach_state}"


# ---------------------------------------------------------------- the three networks
class SequenceNet(nn.Module):
    """What the three share: images [B, C, h, w] to logits [B, digits, classes].

    size: (h, w) of the images. design: "lj", "sk" or "ours". The classifier gets the size of
    the image divided by `down` (see `glimpse_size`) or exactly `glimpse` (H, W); with neither
    of them what the design has, or the image's size divided by `usual_down`. padding: what
    lies outside, as in `reference.warp`.

    `theta` says where the last call looked (detached): [B, steps, 2, 3]. A network has a
    `look`, from images to what its `reader` gets: [B * steps, C, H, W].

    Raises TypeError or ValueError for options that are none of these, for a size of which the
    convolutions leave nothing, and for images that are not of the size they were built for.
    """

    kind: str
    usual_down: float

    def __init__(
        self,
        size: Size = (100, 100),
        digits: int = 3,
        classes: int = 10,
        channels: int = 1,
        *,
        design: str = "ours",
        down: Down | None = None,
        glimpse: Size | None = None,
        padding: str = "background",
    ):
        super().__init__()
        one_of("design", design, DESIGNS)
        if padding not in reference.PADDINGS:
            raise ValueError(f"padding={padding!r}; wanted one of {reference.PADDINGS}")
        if down is not None and glimpse is not None:
            raise ValueError(f"down={down}, glimpse={glimpse}; wanted one of them")
        digits = whole_number("digits", digits)
        classes, channels = whole_number("classes", classes), whole_number("channels", channels)
        self.plan, self.padding = DESIGNS[design], padding
        self.size, self.channels = geometry.check_size(size), channels
        self.digits, self.classes, self.outputs = digits, classes, digits * classes
        if down is None and glimpse is None:
            glimpse = self.plan.glimpses.get(self.kind)
        if glimpse is None:
            self.glimpse = glimpse_size(size, self.usual_down if down is None else down)
        else:
            self.glimpse = geometry.check_size(glimpse, "glimpse")
        self.theta: Tensor | None = None

    def check(self, images: Tensor) -> None:
        """TypeError or ValueError unless images are floating point and as large as wanted."""
        reference.check_images(images)
        wanted = (self.channels, *self.size)
        if tuple(images.shape[1:]) != wanted:
            shape = ", ".join(map(str, wanted))
            raise ValueError(f"images have shape {list(images.shape)}; wanted [B, {shape}]")

    def forward(self, images: Tensor) -> Tensor:
        self.check(images)
        return self.reader(self.look(images)).reshape(-1, self.digits, self.classes)

    def __getstate__(self) -> dict:
        return without_calls(self.__dict__)


class PlainCNN(SequenceNet):
    """Reads the whole image at once: the baseline of arXiv 1509.05329.

    Their published code has only the other two networks; here it is the FFN-SPN's classifier.
    `theta` is always the identity, [B, 1, 2, 3].
    """

    kind, usual_down = "CNN", 1.0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.reader = self.plan.start(self.plan.reader(self.glimpse, self.outputs, self.channels))
        identity = geometry.Affine().identity().view(1, 2, 3)
        self.register_buffer("identity", identity, persistent=False)

    def look(self, images: Tensor) -> Tensor:
        theta = self.identity.expand(images.shape[0], 2, 3)  # no len(): the batch may be a symbol
        self.theta = theta[:, None]
        if images.shape[2:] == self.glimpse:
            return images
        return fused.warp(images, theta, self.glimpse, self.padding)


class FFNSPN(SequenceNet):
    """One glimpse of the whole row, read by a classifier with a softmax a digit.

    The FFN-SPN of arXiv 1509.05329; the design "lj" has LJ's 6 293 916 parameters. `bound`
    keeps each entry of theta that near to the identity's (`geometry.Affine`).
    """

    kind, usual_down = "FFN-SPN", 2.0

    def __init__(self, *args, bound: float | None = None, **options):
        super().__init__(*args, **options)
        plan, transform = self.plan, geometry.Affine(bound)
        body = plan.features(self.channels)
        wide = dense(width_of(body, self.size, self.channels), plan.hidden, plan.drop)
        localiser = nn.Sequential(*body, *wide, nn.Linear(plan.hidden, transform.n))
        self.transformer = SpatialTransformer(
            plan.start(localiser), transform, self.glimpse, self.padding
        )
        self.reader = plan.start(plan.reader(self.glimpse, self.outputs, self.channels))

    def look(self, images: Tensor) -> Tensor:
        glimpses = self.transformer(images)
        self.theta = self.transformer.theta[:, None]
        return glimpses


class RNNSPN(SequenceNet):
    """One glimpse a digit, one after another, all read by the same classifier.

    The RNN-SPN of arXiv 1509.05329: one pass over the features, a GRU, and three transforms of
    the *same* image (`RecurrentTransformer`, which also says what `detach_state` does).
    `bound` as in `FFNSPN`.

    first_look: what the glimpses of an untrained network are. "image": all of them the whole
    image, as in the paper, and the order of reading is still to be found. "strips": upright
    strips side by side (`sequence_designs.strips`), which the classifier can read from the start.
    """

    kind, usual_down = "RNN-SPN", 3.0

    def __init__(
        self,
        *args,
        bound: float | None = None,
        detach_state: bool = False,
        first_look: str = "image",
        **options,
    ):
        super().__init__(*args, **options)
        plan, body = self.plan, self.plan.start(nn.Sequential(*self.plan.features(self.channels)))
        width = width_of(body, self.size, self.channels)
        self.transformer = RecurrentTransformer(
            body,
            width,
            plan.state,
            self.digits,
            geometry.Affine(bound),
            self.glimpse,
            self.padding,
            detach_state,
        )
        if plan.state_start is not None:
            normal_(self.transformer.cell, plan.state_start)
        if first_look not in ("image", "strips"):
            raise ValueError(f"first_look={first_look!r}; wanted 'image' or 'strips'")
        if first_look == "strips":
            if bound is not None:
                raise ValueError(f"first_look='strips', bound={bound}; wanted one of them")
            self.transformer.begin(strips(self.digits))
        self.reader = plan.start(plan.step_reader(self.glimpse, self.classes, self.channels))

    def look(self, images: Tensor) -> Tensor:
        glimpses = self.transformer(images)
        self.theta = self.transformer.theta
        return glimpses


SEQUENCE_MODELS = {"sequence-cnn": PlainCNN, "ffn-spn": FFNSPN, "rnn-spn": RNNSPN}
