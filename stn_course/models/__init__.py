"""Layers and networks, by name."""

from stn_course.models.classifiers import CLASSIFIERS, cnn, cnn_blog, fc
from stn_course.models.coordconv import CoordConv2d, add_coords
from stn_course.models.layers import Subsample, glorot_
from stn_course.models.localisers import LOCALISERS
from stn_course.models.losses import mean_loss, pose_error, sequence_loss
from stn_course.models.registry import (
    MODELS,
    TRANSFORMS,
    build,
    count_parameters,
    device,
    options_of,
    stn,
    stn_features,
    transformer,
)
from stn_course.models.sequence import SEQUENCE_MODELS
from stn_course.models.transformers import (
    ParallelTransformers,
    SequentialTransformers,
    SpatialTransformer,
    localiser_parameters,
)

__all__ = [
    "CLASSIFIERS",
    "CoordConv2d",
    "LOCALISERS",
    "MODELS",
    "ParallelTransformers",
    "SEQUENCE_MODELS",
    "SequentialTransformers",
    "SpatialTransformer",
    "Subsample",
    "TRANSFORMS",
    "add_coords",
    "build",
    "cnn",
    "cnn_blog",
    "count_parameters",
    "device",
    "fc",
    "glorot_",
    "localiser_parameters",
    "mean_loss",
    "options_of",
    "pose_error",
    "sequence_loss",
    "stn",
    "stn_features",
    "transformer",
]
