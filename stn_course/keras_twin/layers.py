"""The spatial transformer as a Keras layer, and the few other layers that Keras does not have.

All of them save and load with the model: `keras.models.load_model("stn.keras")` needs only
that this module was imported.
"""

import numpy as np

from stn_course import geometry
from stn_course.geometry import Parametrisation
from stn_course.keras_twin.parametrisations import described, made, to_theta
from stn_course.keras_twin.sampling import PADDINGS, keras, ops, two, warp
from stn_course.keras_twin.settings import LAST, check_layout

registered = keras.saving.register_keras_serializable("stn_course")


@registered
class SpatialTransformer(keras.layers.Layer):
    """Reads images [B, h, w, C] where its localiser says: [B, H, W, C].

    Jaderberg et al. 2015, arXiv 1506.02025.

    localiser: a layer or model from images to features [B, F]. The last dense layer, from
        features to the transform's n raw numbers, is this layer's own (`head`): it is float32
        whatever the policy, and so are theta, the grid and the weights of its neighbours.
    transform: a name ("affine", "attention", "homography", "tps", ...), the parametrisation of
        `stn_course.geometry` with its bounds, or that as a dict with its "name". One of your own
        has a method `in_keras(raw, ops, size)`, and, to be saved, a name in `models.TRANSFORMS`.
    size: (H, W) of the output, by default the input's divided by `down`; `pool` halves it
        once more by averaging.
    padding: "background" (the median of each image's border), "zeros", "border" or "reflection".
    identity_start: the head begins with zero weights and the identity's bias; False: as any
        dense layer in Keras.
    activation: of the head (HR had tanh there, which keeps the identity out of reach).

    It has no `antialias`, as torch's has.

    `locate(images)` gives theta alone, `read(images, theta)` the rest of the way.

    Raises TypeError or ValueError for options that are none of these, and for a localiser that
    counts its channels first.
    """

    def __init__(
        self,
        localiser: keras.layers.Layer,
        transform: str | dict | Parametrisation = "affine",
        size: tuple[int, int] | None = None,
        padding: str = "background",
        pool: bool = False,
        down: float = 1.0,
        identity_start: bool = True,
        activation: str | None = None,
        **options,
    ):
        super().__init__(**options)
        if not isinstance(localiser, keras.layers.Layer):
            raise TypeError(f"localiser is {type(localiser).__name__}; wanted a Keras layer")
        check_layout(localiser)
        geometry.shrunk_size((1, 1), down)  # raises for what is no division
        if size is not None and down != 1:
            raise ValueError(f"down={down}, size={size}; wanted one of them")
        if padding not in PADDINGS:
            raise ValueError(f"padding={padding!r}; wanted one of {PADDINGS}")
        self.localiser, self.transform = localiser, made(transform)
        self.size = None if size is None else two(size)
        self.padding, self.pool, self.down = padding, pool, down
        self.identity_start, self.activation = identity_start, activation
        identity, start = self.transform.identity().numpy(), {}
        if identity_start:
            start["kernel_initializer"] = "zeros"
            start["bias_initializer"] = lambda shape, dtype: ops.cast(identity, dtype)
        exact = "float64" if self.compute_dtype == "float64" else "float32"
        self.head = keras.layers.Dense(
            self.transform.n, activation, dtype=exact, name="head", **start
        )

    def build(self, input_shape):
        if not self.localiser.built:
            self.localiser.build(input_shape)
            check_layout(self.localiser)  # of what is made there, too
        features = tuple(self.localiser.compute_output_shape(input_shape))
        if len(features) != 2:
            raise ValueError(f"localiser gives {features}; wanted features (batch, F)")
        self.head.build(features)

    def locate(self, images, training: bool | None = None):
        """The transform for each of `images`, in float32: [B, 2, 3], [B, 3, 3] or offsets."""
        raw = self.head(self.localiser(images, training=training))
        return to_theta(self.transform, raw, tuple(images.shape[1:3]))

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) that images of (h, w) are read into, before `pool`."""
        return self.size or geometry.shrunk_size(size, self.down)

    def read(self, images, theta):
        """`images` where `theta` says, pooled if this transformer pools."""
        out = warp(images, theta, self.output_size(tuple(images.shape[1:3])), self.padding)
        return ops.average_pool(out, 2, data_format=LAST) if self.pool else out

    def call(self, images, training=None):
        return self.read(images, self.locate(images, training))

    def compute_output_shape(self, input_shape):
        height, width = self.output_size(tuple(input_shape[1:3]))
        if self.pool:
            height, width = height // 2, width // 2
        return (input_shape[0], height, width, input_shape[3])

    def get_config(self):
        return super().get_config() | {
            "localiser": keras.saving.serialize_keras_object(self.localiser),
            "transform": described(self.transform),
            "size": self.size,
            "padding": self.padding,
            "pool": self.pool,
            "down": self.down,
            "identity_start": self.identity_start,
            "activation": self.activation,
        }

    @classmethod
    def from_config(cls, config):
        localiser = keras.saving.deserialize_keras_object(config["localiser"])
        return cls(**config | {"localiser": localiser})


@registered
class ParallelTransformers(keras.layers.Layer):
    """Each transformer reads the whole input its own way; channels side by side."""

    def __init__(self, transformers, **options):
        super().__init__(**options)
        if not transformers:
            raise ValueError("transformers is empty; wanted at least one")
        self.transformers = list(transformers)

    def build(self, input_shape):
        for each in self.transformers:
            if not each.built:
                each.build(input_shape)

    def call(self, images, training=None):
        return ops.concatenate([t(images, training=training) for t in self.transformers], -1)

    def compute_output_shape(self, input_shape):
        shapes = [each.compute_output_shape(input_shape) for each in self.transformers]
        return (*shapes[0][:3], sum(shape[3] for shape in shapes))

    def get_config(self):
        kept = [keras.saving.serialize_keras_object(each) for each in self.transformers]
        return super().get_config() | {"transformers": kept}

    @classmethod
    def from_config(cls, config):
        loaded = [keras.saving.deserialize_keras_object(c) for c in config["transformers"]]
        return cls(**config | {"transformers": loaded})


@registered
class HighestRow(keras.layers.Layer):
    """The largest value of each column: [B, H, W, C] -> [B, W, C]."""

    def call(self, x):
        return ops.amax(x, 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])


@registered
class AddCoords(keras.layers.Layer):
    """Where each pixel is, behind its channels: [B, H, W, C] -> [B, H, W, C + 2 or 3].

    x, y and, with `radius`, the distance from the middle, as `coordconv.add_coords`.
    """

    def __init__(self, radius: bool = False, **options):
        super().__init__(**options)
        self.radius = radius

    def call(self, x):
        h, w = x.shape[1:3]
        columns, rows = (np.float32(2 * np.arange(n) + 1) / np.float32(n) - 1 for n in (w, h))
        maps = [np.tile(columns, (h, 1)), np.tile(rows[:, None], (1, w))]
        maps += [np.hypot(*maps)] if self.radius else []
        coords = ops.cast(np.stack(maps, 2)[None], x.dtype)  # [1, H, W, 2 or 3]
        tiled = ops.broadcast_to(coords, (ops.shape(x)[0], *coords.shape[1:]))
        return ops.concatenate([x, tiled], 3)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:3], input_shape[3] + 2 + self.radius)

    def get_config(self):
        return super().get_config() | {"radius": self.radius}
