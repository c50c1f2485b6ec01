"""Not-so-Clevr's networks: shapes, sizes, seeds, and who can point at a place never seen."""

import json

import pytest
import torch

from stn_course.data.not_so_clevr import TASKS, Squares, squares
from stn_course.experiments.catalogue import not_so_clevr

SMALL = {"canvas": 16, "side": 3, "steps": 3, "batch_size": 4}


@pytest.mark.parametrize("network", not_so_clevr.NETWORKS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("canvas", [16, 64])
def test_every_network_fits_its_task(task, network, canvas):
    some = Squares(squares(canvas=canvas, side=3)[1].centres[:2], canvas, 3)
    inputs, targets = some.task(task)
    made = not_so_clevr.build(task, network, canvas)(inputs)
    wanted = (2, canvas**2) if task == "classification" else tuple(targets.shape)
    assert made.shape == wanted
    assert not_so_clevr.LOSSES[task](made, targets).isfinite()


def test_coordconv_classifies_with_7553_parameters():
    def count(task, network):
        return sum(p.numel() for p in not_so_clevr.build(task, network).parameters())

    assert count("classification", "coordconv") == count("rendering", "coordconv") == 7553
    assert count("classification", "conv") > 20 * 7553
    assert count("regression", "conv") > 50 * count("regression", "coordconv")


@pytest.mark.parametrize("network", not_so_clevr.NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_a_result_is_json_and_follows_from_its_seed(task, network):
    one, same, other = (
        not_so_clevr.solved(task, network, "uniform", seed, **SMALL)[1] for seed in (1, 1, 2)
    )
    assert json.loads(json.dumps(one)) == one
    assert one["losses"] == same["losses"] != other["losses"] and len(one["losses"]) == 3
    assert one["test"] == same["test"]
    for side in ("train", "test"):
        assert len(one[side]["missed"]) == one[side]["total"] - one[side]["correct"]
        assert ("iou" in one[side]) == (task == "rendering") != ("distance" in one[side])
    assert one["train"]["total"] + one["test"]["total"] == 14 * 14


def test_training_leaves_the_global_stream_alone():
    state = torch.random.get_rng_state()
    not_so_clevr.solved("regression", "conv", **SMALL)
    assert torch.equal(torch.random.get_rng_state(), state)


class Knows(torch.nn.Module):
    """Answers right, moved by `shift` pixels to the right."""

    def __init__(self, task, asked, shift):
        super().__init__()
        moved = Squares(asked.centres + torch.tensor([shift, 0]), asked.canvas, asked.side)
        self.answers = moved.task(task)[1]
        if task == "classification":
            self.answers = torch.nn.functional.one_hot(self.answers, asked.canvas**2).float()
        elif task == "rendering":
            self.answers = self.answers - 0.5  # logits
        self.at = 0

    def forward(self, inputs):
        self.at += len(inputs)
        return self.answers[self.at - len(inputs) : self.at]


@pytest.mark.parametrize("task", TASKS)
def test_scores_of_known_answers(task):
    asked = Squares(squares("quadrant")[1].centres[:70])  # more than one batch of 64; x < 60
    asked = Squares(asked.centres[asked.centres[:, 0] < 55])
    right = not_so_clevr.score(Knows(task, asked, 0), task, asked)
    assert (right["correct"], right["total"], right["missed"]) == (len(asked), len(asked), [])
    wrong = not_so_clevr.score(Knows(task, asked, 3), task, asked)
    assert wrong["correct"] == 0 and wrong["missed"] == asked.centres.tolist()
    if task == "rendering":
        assert right["iou"] == 1 and wrong["iou"] == pytest.approx(54 / 108)
    else:
        assert right["distance"] == pytest.approx(0, abs=1e-4)
        assert wrong["distance"] == pytest.approx(3, abs=1e-4)


def test_coordconv_points_where_it_never_looked_and_conv_cannot():
    budget = {"task": "classification", "split": "quadrant", "batch_size": 8, "steps": 120}
    budget |= {"canvas": 32, "side": 5}
    coord = not_so_clevr.solved(network="coordconv", **budget)[1]
    conv = not_so_clevr.solved(network="conv", **budget)[1]
    assert conv["test"]["correct"] == 0 and conv["test"]["distance"] > 5
    assert coord["test"]["correct"] > 0.5 * coord["test"]["total"]
    assert coord["test"]["distance"] < 2


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="task='naming'; wanted one of"):
        not_so_clevr.solved("naming", "conv")
    with pytest.raises(ValueError, match="network='mlp'; wanted one of"):
        not_so_clevr.solved("regression", "mlp")
    with pytest.raises(ValueError, match="canvas=48; wanted a power of two"):
        not_so_clevr.build("rendering", "conv", 48)
    with pytest.raises(ValueError, match="split='corner'"):
        not_so_clevr.solved("regression", "conv", "corner")
    with pytest.raises(ValueError, match="steps=0, batch_size=32"):
        not_so_clevr.solved("regression", "conv", steps=0)
    train = squares("uniform", canvas=16, side=5)[0]
    budget = {"steps": 1, "batch_size": 8, "lr": 0.1}
    for wrong in ({"batch_size": 0}, {"steps": 1.5}, {"lr": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            not_so_clevr.fit("regression", "conv", train, **budget | wrong)
    with pytest.raises(ValueError, match="canvas=32.0; wanted a power of two"):
        not_so_clevr.build("rendering", "conv", 32.0)
