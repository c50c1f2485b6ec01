"""Transforms of the plane: affine, homography and thin-plate spline.

Conventions, here and in every module that builds on this one:

- Coordinates are (x, y), x first, x to the right and y *down*. [-1, 1] spans the image from edge
  to edge (`align_corners=False`); with `align_corners=True` from the centre of the first pixel to
  the centre of the last.
- A transform ("theta") answers "where in the input is this output pixel read?": it maps **output
  to input** coordinates. Moving the content one way moves theta the other way.
- Everything is batched, differentiable and computed in float32 or better, under autocast too.
- Values are checked (finite, not singular) wherever they can be read; inside `torch.func`
  transforms, compilation and CUDA graph capture only shapes and types are.
"""

from stn_course.geometry.boxes import (
    box_corners,
    box_to_theta,
    glimpse_boxes,
    iou,
    transform_boxes,
    transform_polygons,
)
from stn_course.geometry.caching import cached_by_shape
from stn_course.geometry.checks import (
    as_float,
    as_int64,
    as_matrix,
    as_measure,
    as_number,
    as_whole,
    check_down,
    check_size,
    choices,
    exactly,
    is_number,
    one_of,
    plain_size,
    raise_where,
    real_number,
    shrunk_size,
    values_can_be_checked,
    whole_number,
    widened,
)
from stn_course.geometry.fitting import homography_from_points, robust_homography
from stn_course.geometry.homography import frame_corners, homography_from_corners, quads_fit
from stn_course.geometry.matrices import affine, compose, identity, invert, matmul, to_homogeneous
from stn_course.geometry.parametrisations import (
    Affine,
    Attention,
    Corners,
    Homography,
    Parametrisation,
    Rotation,
    Similarity,
    ThinPlateSpline,
    Translation,
)
from stn_course.geometry.pixels import (
    from_pixels,
    pixel_centres,
    pixels_across,
    pixels_per_unit,
    to_pixels,
)
from stn_course.geometry.points import transform_kind, transform_points, transform_points_back
from stn_course.geometry.splines import (
    control_grid,
    control_points,
    is_landmark_spline,
    landmark_places,
    spline_from_landmarks,
    tps_basis,
)

__all__ = [
    "Affine",
    "Attention",
    "Corners",
    "Homography",
    "Parametrisation",
    "Rotation",
    "Similarity",
    "ThinPlateSpline",
    "Translation",
    "affine",
    "as_float",
    "as_int64",
    "as_matrix",
    "as_measure",
    "as_number",
    "as_whole",
    "box_corners",
    "box_to_theta",
    "cached_by_shape",
    "check_down",
    "check_size",
    "choices",
    "compose",
    "control_grid",
    "control_points",
    "exactly",
    "frame_corners",
    "from_pixels",
    "glimpse_boxes",
    "homography_from_corners",
    "homography_from_points",
    "identity",
    "invert",
    "is_landmark_spline",
    "is_number",
    "iou",
    "landmark_places",
    "matmul",
    "one_of",
    "pixel_centres",
    "pixels_across",
    "pixels_per_unit",
    "plain_size",
    "quads_fit",
    "raise_where",
    "real_number",
    "robust_homography",
    "shrunk_size",
    "spline_from_landmarks",
    "to_homogeneous",
    "to_pixels",
    "transform_boxes",
    "transform_kind",
    "transform_points",
    "transform_points_back",
    "transform_polygons",
    "tps_basis",
    "values_can_be_checked",
    "whole_number",
    "widened",
]
