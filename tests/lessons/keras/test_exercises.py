"""Answers to notebook 06's exercises as people write them, beyond the registered ones."""

import numpy as np
import pytest
import torch

from stn_course.lessons.checking import WrongAnswer, check, find
from stn_course.lessons.keras.exercises import _in_one_order
from tests.keras_twin.support import MISSING
from tests.support import rejection


def test_the_order_by_an_index():
    def dense_kernel(weight, shape):
        h, w, channels = shape
        order = np.arange(h * w * channels).reshape(channels, h, w)
        return weight.T[order.transpose(1, 2, 0).ravel()]

    assert check("6.1", dense_kernel) is dense_kernel


def test_a_kernel_of_the_wrong_shape_is_told():
    assert "you gave an array of shape" in rejection("6.1", lambda weight, shape: weight + 1)
    told = rejection("6.1", lambda weight, shape: weight)
    assert "this is `weight` as it came, unchanged" in told


@pytest.mark.skipif(bool(MISSING), reason="TENSORFLOW NOT INSTALLED: exercise 6.2 was not tested")
def test_the_sampler_by_padding_first():
    from stn_course.keras_twin import bilinear_sample

    def sample(images, grid):
        return bilinear_sample(images, grid, "zeros")

    assert check("6.2", sample) is sample


def test_a_layer_is_found_by_relative_size():
    def first_wrong(layers):
        shape = None
        for name, ours, theirs in layers:
            if ours.ndim == 4:
                shape, theirs = theirs.shape[1:], np.moveaxis(theirs, -1, 1)
            elif name == "flatten":
                theirs = np.moveaxis(theirs.reshape(-1, *shape), -1, 1).reshape(ours.shape)
            if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(ours).max()):
                return name
        return None

    assert check("6.3", first_wrong) is first_wrong


def test_one_that_always_finds_something_is_refused():
    assert "Hint" in rejection("6.3", lambda layers: layers[5][0])


def test_each_number_by_its_own_size_is_refused():
    """Elementwise, as np.allclose compares: a sum near 0 is off by more than 1e-4 of itself."""

    def first_wrong(layers):
        for name, a, b in _in_one_order(layers):
            if not np.allclose(a, b, rtol=1e-4, atol=0):
                return name

    with pytest.raises(WrongAnswer, match="not of each number"):
        check("6.3", first_wrong)


def test_none_for_all_is_no_stub():
    assert "your function returns None, whatever comes" in rejection("6.3", lambda layers: None)

    def nothing_found(layers):
        return None

    assert "your function returns None, whatever comes" in rejection("6.3", nothing_found)


def test_a_kernel_of_another_dtype_or_library_is_told():
    reference = find("6.1").solution
    told = rejection("6.1", lambda weight, shape: reference(weight, shape).astype("float32"))
    assert "they come as float32; wanted float64, as the input has it" in told
    told = rejection("6.1", lambda *case: torch.from_numpy(reference(*case).copy()))
    assert "they come as Tensor; wanted a numpy array" in told


@pytest.mark.skipif(bool(MISSING), reason="TENSORFLOW NOT INSTALLED: exercise 6.2 was not tested")
def test_a_batch_that_a_graph_does_not_know_is_named():
    from stn_course.keras_twin import ops

    def sample(images, grid):
        batch, (h, w, channels) = images.shape[0], images.shape[1:]
        flat, out = ops.reshape(images, (batch * h * w, channels)), 0
        x, y = ((grid[..., k] + 1) * n / 2 - 0.5 for k, n in ((0, w), (1, h)))
        first = ops.reshape(ops.arange(batch) * h * w, (batch, 1, 1))
        for row in (ops.floor(y), ops.floor(y) + 1):
            for column in (ops.floor(x), ops.floor(x) + 1):
                ok = (row >= 0) & (row < h) & (column >= 0) & (column < w)
                weight = (1 - ops.abs(x - column)) * (1 - ops.abs(y - row)) * ops.cast(ok, x.dtype)
                r, c = ops.clip(row, 0, h - 1), ops.clip(column, 0, w - 1)
                index = first + ops.cast(r * w + c, "int32")
                out = out + weight[..., None] * ops.take(flat, index, axis=0)
        return out

    assert "is the batch images.shape[0]?" in rejection("6.2", sample)


@pytest.mark.skipif(bool(MISSING), reason="TENSORFLOW NOT INSTALLED: exercise 6.2 was not tested")
def test_a_sampler_of_another_dtype_is_told():
    from stn_course.keras_twin import ops

    def sample(images, grid):
        return ops.cast(find("6.2").solution(images, grid), "float32")

    assert rejection("6.2", sample) == "6.2: it gives float32; wanted float64, as images"


@pytest.mark.skipif(bool(MISSING), reason="TENSORFLOW NOT INSTALLED: exercise 6.2 was not tested")
def test_a_sampler_that_leaves_keras_or_gives_its_gradient_twice_is_told():
    from stn_course.keras_twin import ops

    solution = find("6.2").solution
    for change in (lambda out: out.numpy(), lambda out: ops.convert_to_tensor(out.numpy())):
        told = rejection("6.2", lambda *case, change=change: change(solution(*case)))
        assert "neither a gradient nor a graph is left: numpy()" in told
    told = rejection("6.2", lambda *case: torch.from_numpy(solution(*case).numpy()))
    assert "it gives torch.float32; wanted float32, as images" in told

    def twice(images, grid):
        return solution(2 * images - ops.stop_gradient(images), grid)

    told = rejection("6.2", twice)
    assert "you are off by up to" in told and " in gradient to the images." in told


def test_a_wider_tolerance_is_not_told_to_take_the_largest():
    def first_wrong(layers):
        ordered = _in_one_order(layers)
        wrong = (n for n, a, b in ordered if np.abs(a - b).max() > 1e-3 * np.abs(a).max())
        return next(wrong, None)

    assert "and so does a wider tolerance" in rejection("6.3", first_wrong)
