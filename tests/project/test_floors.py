"""The floor of a training step: its multiply-adds are counted, and its parts add up."""

import pytest
import torch

from benchmarks import distortions
from benchmarks import floors as measured
from stn_course.experiments.speed import Speed
from tools.book import floors


@pytest.fixture(scope="module")
def whole():
    return measured.Whole.of("se-01")


def test_multiply_adds_are_those_of_the_layers(whole):
    """The tutorial's network, by hand: forward, and backward twice of all but the first layers."""
    batch = 64
    convolutions = [(8 * 49, 22 * 22), (8 * 10 * 25, 7 * 7), (10 * 25, 24 * 24), (10 * 20 * 25, 64)]
    dense = [90 * 32, 32 * 6, 320 * 50, 50 * 10]
    forward = batch * (sum(w * places for w, places in convolutions) + sum(dense))
    first = batch * 8 * 49 * 22 * 22  # the picture itself needs no gradient
    assert whole.multiply_adds() == pytest.approx(3 * forward - first, rel=0.001)


@pytest.mark.parametrize("bf16", [False, True])
def test_the_product_has_as_many(bf16):
    made = measured.product(50 * measured.SIDE**2, bf16)()
    assert made.shape == (measured.SIDE, 50)
    assert made.dtype == (torch.bfloat16 if bf16 else torch.float32)


def test_every_part_of_a_step_is_found(whole):
    parts = measured.shares(whole, steps=2)
    assert list(parts) == [*measured.GROUPS, measured.REST, measured.DRAWN]
    missing = [name for name, took in parts.items() if took <= 0]
    assert missing == ["norms"]  # the tutorial has none
    assert parts[measured.REST] < sum(parts.values()) / 2


def line(name, **more):
    told = {"verdict": "met", "ours": 2e-3, "peer": 8e-3, "peer_name": "all of the step"} | more
    return Speed(14, name, "2 cores", 1, 0, **told)


LINES = [
    line("the net: a step beside its floor, 1 thread", ratio=0.25, peer_name="a product"),
    line("the net: pooling, 1 thread"),
    line("the net: convolutions, backward, 1 thread", ours=6e-3),
]


def test_the_page_shows_the_floor_and_the_largest_part_first():
    text = floors.page(LINES)
    assert "2 cores, 1 thread" in text and ">4.0<" in text and "a product" in text
    assert text.index("convolutions, backward") < text.index("pooling")
    assert "75 %" in text and "25 %" in text
    assert "Not yet run" in floors.page([])


def test_a_step_on_a_busy_machine_has_no_ratio():
    busy = line(LINES[0].name, ratio=0.25, verdict="void", peer_name="a product")
    text = floors.page([busy, *LINES[1:]])
    assert "busy" in text and ">4.0<" not in text


def test_a_line_of_another_benchmark_is_refused():
    with pytest.raises(ValueError, match="no line of the floors"):
        floors.told(Speed(14, "forward", "here", 1, 1, "met"))


def test_an_epochs_parts_have_a_table_of_their_own():
    epoch = "an epoch of 60 000 digits, RTS on 42x42"
    told = {"ratio": 0.5, "peer_name": "a copy of 423 MB, a batch at a time"}
    text = floors.page(
        [
            *LINES,
            line(f"{epoch}: an epoch beside its floor, 1 thread", **told),
            line(f"{epoch}: the warp, 1 thread", ours=6e-3),
            line(f"{epoch}: drawing the transforms, 1 thread"),
        ]
    )
    assert text.count("<table") == 3 and ">2.0<" in text
    steps, epochs = text.split("<table")[2:]
    assert "pooling" in steps and "the warp" not in steps
    assert epochs.index("the warp") < epochs.index("drawing the transforms")


@pytest.mark.parametrize("name", distortions.EPOCHS)
def test_an_epoch_in_parts_is_the_whole(name, monkeypatch):
    """Each digit is drawn, picked and moved once, and as much is copied as is written."""
    images, moved = distortions.digits(600, "cpu"), []

    def warp(images, theta, size, padding):
        moved.append((len(images), len(theta), 4 * len(theta) * size[0] * size[1]))

    monkeypatch.setattr(distortions.fused, "warp", warp)
    parts = distortions.parts(name, images)
    assert list(parts) == ["drawing the transforms", "picking the digits", "the warp"]
    assert len(parts["drawing the transforms"]()) == 600
    parts["picking the digits"]()
    parts["the warp"]()
    assert [(a, b) for a, b, _ in moved] == [(250, 250), (250, 250), (100, 100)]
    by_parts = list(moved)
    distortions.ours(name, images)
    assert moved[len(by_parts) :] == by_parts
    copy, size = distortions.copied(name, images)
    copy()
    assert size == sum(written for *_, written in by_parts)
