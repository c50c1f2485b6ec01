"""The networks of the course in Keras, weight for weight equal to those in torch.

The only part of the course that needs Keras and TensorFlow; importing it without them raises
`loading.MissingTensorFlow`, which says what to install. Images are channels last, [B, h, w, C].
"""

from stn_course.keras_twin.convert import from_torch, to_torch
from stn_course.keras_twin.layers import (
    AddCoords,
    HighestRow,
    ParallelTransformers,
    SpatialTransformer,
)
from stn_course.keras_twin.parity import evaluate, layer_differences, theta_gradients
from stn_course.keras_twin.sampling import (
    affine_grid,
    background_of,
    bilinear_sample,
    keras,
    ops,
    warp,
)
from stn_course.keras_twin.weights import flatten_order

__all__ = [
    "AddCoords",
    "HighestRow",
    "ParallelTransformers",
    "SpatialTransformer",
    "affine_grid",
    "background_of",
    "bilinear_sample",
    "evaluate",
    "flatten_order",
    "from_torch",
    "keras",
    "layer_differences",
    "ops",
    "theta_gradients",
    "to_torch",
    "warp",
]
