"""Reading an image where theta says.

`warp` is the fast one; it hands over to the taught one, `reference.warp`, where no fast way is
open. Both give the same numbers.
"""

from stn_course.sampling.fused import warp
from stn_course.sampling.reference import (
    affine_grid,
    background_of,
    bilinear_sample,
    bilinear_sample_loops,
    flow_grid,
    homography_grid,
    outline,
    tps_grid,
)

__all__ = [
    "affine_grid",
    "background_of",
    "bilinear_sample",
    "bilinear_sample_loops",
    "flow_grid",
    "homography_grid",
    "outline",
    "tps_grid",
    "warp",
]
