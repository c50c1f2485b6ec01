"""Layers and networks, by name."""

from stn_course.models.classifiers import CLASSIFIERS, cnn, cnn_blog, fc
from stn_course.models.coordconv import CoordConv2d, add_coords
from stn_course.models.layers import Subsample, glorot_
from stn_course.models.localisers import LOCALISERS
from stn_course.models.losses import mean_loss, pose_error, sequence_loss
from stn_course.models.registry import (
    MODELS,
    ROW_MODELS,
    TRANSFORMS,
    build,
    count_parameters,
    device,
    options_of,
    stn,
    stn_features,
    transformer,
    word_stn,
)
from stn_course.models.sequence import SEQUENCE_MODELS
from stn_course.models.transformers import (
    ParallelTransformers,
    SequentialTransformers,
    SpatialTransformer,
    localiser_parameters,
)
from stn_course.models.words import WordReader

__all__ = [
    "CLASSIFIERS",
    "CoordConv2d",
    "LOCALISERS",
    "MODELS",
    "ParallelTransformers",
    "ROW_MODELS",
    "SEQUENCE_MODELS",
    "SequentialTransformers",
    "SpatialTransformer",
    "Subsample",
    "TRANSFORMS",
    "WordReader",
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
    "word_stn",
]
