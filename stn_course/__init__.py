"""How spatial transformers work: the tested helpers that the notebooks import.

What is named here is loaded when it is asked for, so that importing the package loads no
framework::

    from stn_course import warp, SpatialTransformer, CoordConv2d, Config, fit, check, show
    from stn_course import geometry, sampling, data, models, training, experiments, lessons
"""

from importlib import import_module

from stn_course import extras

extras.bear_each_other()
extras.wait_briefly()

_HOMES = {
    "affine_grid": "sampling",
    "homography_grid": "sampling",
    "tps_grid": "sampling",
    "bilinear_sample": "sampling",
    "warp": "sampling",
    "SpatialTransformer": "models",
    "ParallelTransformers": "models",
    "SequentialTransformers": "models",
    "CoordConv2d": "models",
    "Config": "training.config",
    "fit": "training.loop",
    "Listener": "training.listeners",
    "load": "training.run_folder",
    "check": "lessons.checking",
    "show": "lessons.checking",
}
_PACKAGES = (
    "geometry",
    "sampling",
    "data",
    "models",
    "analysis",
    "training",
    "keras_twin",
    "experiments",
    "lessons",
    "cli",
)

__all__ = sorted([*_HOMES, *_PACKAGES])


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"stn_course.{_HOMES[name]}"), name)
    if name in _PACKAGES:
        return import_module(f"stn_course.{name}")
    raise AttributeError(f"module 'stn_course' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
