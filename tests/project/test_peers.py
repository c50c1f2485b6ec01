"""The benchmark beside peers: all are asked for the same warp, and the page says who is quicker."""

import pytest
import torch

from benchmarks import peers
from stn_course.experiments.speed import Speed
from tools.book import speed

RIM = 0.85  # the share of a small picture that no peer takes to be half outside
SHAPES = ((3, 1, (28, 28), None), (2, 1, (37, 53), (61, 29)), (2, 3, (40, 30), None))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_peer_is_asked_for_the_same_warp(shape):
    of, asked = peers.case(*shape), 0
    for kind, name, make, tolerance in peers.peers_of(of, shape):
        try:
            call, batch = make(of)
        except ImportError:
            continue
        ours, theirs = peers.ours(of, kind)(), batch(call())
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, name
        assert peers.apart(ours, theirs, RIM) <= tolerance, name
        assert peers.apart(ours, theirs.flip(3), RIM) > tolerance, name
        asked += 1
    assert asked >= 2  # torch's pair, and OpenCV or kornia


def test_every_size_has_a_peer_and_bytes_have_one_where_pictures_have_colours():
    for shape in peers.SIZES:
        few = (1, *shape[1:])  # the same peers, and quick to make
        kinds = {kind for kind, *_ in peers.peers_of(peers.case(1, 1, (4, 4)), few)}
        assert "float32" in kinds
        assert (f"bytes{peers.OLD}" in kinds) == (shape[1] <= 4)
        assert ("bytes" in kinds) == (shape[1] == 3)


def line(ratio=2.0, low=1.9, high=2.1, kind="float32", peer="OpenCV, per image", **more):
    name = f"{kind}, 4 x 3x512x512, beside {peer}, 2 threads"
    told = {"verdict": "met", "ours": 1e-3, "peer": 2e-3, "peer_name": peer} | more
    return Speed(13, name, "2 cores", 2, 1, ratio=ratio, low=low, high=high, **told)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (line(), "ours"),
        (line(0.5, 0.4, 0.6, verdict="missed"), "theirs"),
        (line(1.02, 0.9, 1.1, verdict="missed"), "no difference"),
        (line(verdict="void"), "void: the machine was busy"),
        (line(None, None, None, verdict="not measured", ours=None, peer=None), "not installed"),
    ],
)
def test_who_is_quicker_is_what_the_interval_says(record, said):
    assert speed.verdict(record) == said


def test_the_page_shows_all_and_the_quicker_peer_in_bold(tmp_path):
    lines = [line(), line(0.5, 0.4, 0.6, kind="bytes", verdict="missed")]
    lines += [line(0.25, 0.2, 0.3, kind="floor", peer="a copy of the output's bytes")]
    text = speed.page(lines, tmp_path)
    assert "2 cores, 2 threads" in text and text.count("<tr>") == 5
    assert text.count("<strong>theirs</strong>") == 1 and ">4.0<" in text
    assert (tmp_path / "speed-0.svg").exists()
    assert "Not yet run" in speed.page([], tmp_path)


def test_a_line_of_another_benchmark_is_refused():
    with pytest.raises(ValueError, match="no line of the peers"):
        speed.told(Speed(13, "forward", "here", 1, 1, "met"))


def test_what_is_far_apart_is_told():
    ours, theirs = torch.zeros(1, 1, 10, 10), torch.zeros(1, 1, 10, 10)
    theirs[0, 0, :5] = 0.5
    assert peers.apart(ours, theirs, 0.98) == 0.5
    assert peers.apart(ours, ours, 1) == 0
