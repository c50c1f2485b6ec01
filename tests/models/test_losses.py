"""Labels of any whole numbers mean the same; others, and what is no class, are refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stn_course.analysis.accuracy import digit_accuracy, evaluate, word_accuracy
from stn_course.analysis.predictions import Predictions, predict
from stn_course.models.losses import as_labels, mean_loss, sequence_loss

NARROW = [
    *(torch.int8, torch.int16, torch.int32, torch.uint8),
    *(torch.uint16, torch.uint32, torch.uint64),
]
CLASSES = 26  # letters: from 17 classes on, truth * classes + read is more than a byte


class Reader(nn.Module):
    """Says what is written in the first pixels: class k of 26, one each of `digits`."""

    def __init__(self, digits: int | None = None):
        super().__init__()
        self.digits = digits

    def forward(self, images):
        said = images[:, 0, 0, : self.digits or 1].mul(255).round().long()  # [B, 1 or D]
        logits = F.one_hot(said, CLASSES).float() * 5
        return logits if self.digits else logits[:, 0]


def written(labels):
    """uint8 images [N, 1, 4, 4] of labels [N] or [N, D]."""
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    rows = labels.reshape(len(labels), -1)
    images[:, 0, 0, : rows.shape[1]] = rows.to(torch.uint8)
    return images


LETTERS = torch.arange(CLASSES).repeat(2)
ROWS = LETTERS[:51].view(17, 3)


# ---------------------------------------------------------------- narrow numbers
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_the_confusion_matrix_counts_two_of_each_letter(dtype):
    seen = predict(Reader(), written(LETTERS), LETTERS.to(dtype), batch=7)
    assert np.array_equal(seen.confusion(), 2 * np.eye(CLASSES))
    wrong = (LETTERS + 1) % CLASSES
    seen = predict(Reader(), written(LETTERS), wrong.to(dtype))
    assert np.array_equal(seen.confusion().sum(1), np.full(CLASSES, 2))
    assert seen.confusion()[3, 2] == 2 and seen.labels.dtype == np.int64


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_the_matrix_of_arrays_too(kind):
    """A `Predictions` that somebody else filled."""
    truth = LETTERS.numpy().astype(kind)
    made = Predictions(np.zeros(1), None, None, truth, np.eye(CLASSES)[LETTERS], np.zeros(1))
    assert np.array_equal(made.confusion(), 2 * np.eye(CLASSES))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_losses_and_counts_are_those_of_int64(dtype):
    generator = torch.Generator().manual_seed(0)
    for labels in (LETTERS, LETTERS[:1], ROWS, ROWS[:1]):
        logits = torch.randn(*labels.shape, CLASSES, generator=generator)
        narrow = labels.to(dtype)
        assert torch.equal(mean_loss(logits, narrow), mean_loss(logits, labels))
        if labels.ndim == 2:
            for count in (digit_accuracy, word_accuracy):
                assert count(logits, narrow) == count(logits, labels)
            assert torch.equal(sequence_loss(logits, narrow), mean_loss(logits, labels))
        model = Reader(3 if labels.ndim == 2 else None)
        wanted = evaluate(model, written(labels), labels)
        assert evaluate(model, written(labels), narrow) == wanted
        assert wanted["correct"] == wanted["total"] == labels.numel()


def test_the_gradient_of_the_loss_is_that_of_int64():
    logits = torch.randn(5, 7, 9, dtype=torch.float32, requires_grad=True)
    labels = torch.arange(35).view(5, 7) % 9
    slopes = [
        torch.autograd.grad(mean_loss(logits, each), logits)[0] for each in (labels, labels.byte())
    ]
    exact = F.cross_entropy(logits.double().flatten(0, 1), labels.flatten(), reduction="sum") / 5
    assert torch.equal(*slopes)
    torch.testing.assert_close(slopes[0], torch.autograd.grad(exact, logits)[0])


# ---------------------------------------------------------------- what is none
HUNDRED = torch.full((4,), -100)  # torch's own losses pass over this one without a word
REFUSED = {
    "floats": (torch.ones(4), TypeError, "must be a tensor of whole numbers, got torch.float32"),
    "truth values": (torch.ones(4).bool(), TypeError, "whole numbers, got torch.bool"),
    "complex": (torch.ones(4) * 1j, TypeError, "whole numbers, got torch.complex64"),
    "an array": (np.ones(4, int), TypeError, "labels must be a tensor .* got ndarray"),
    "too many": (torch.ones(5).long(), ValueError, "labels|do not belong together"),
    "one for all": (torch.ones(1).long(), ValueError, "labels|do not belong together"),
    "one more axis": (torch.ones(4, 1).long(), ValueError, "do not belong together"),
    "no axis": (torch.ones(()).long(), ValueError, "labels|do not belong together"),
    "a class too high": (
        torch.tensor([0, 1, 2, 26]),
        ValueError,
        "labels are 0 to 26; wanted .*25",
    ),
    "a negative one": (
        torch.tensor([0, 1, 2, -1]).to(torch.int8),
        ValueError,
        "labels are -1 to 2",
    ),
    "torch's hundred": (HUNDRED, ValueError, "labels are -100 to -100"),
    "255 of a byte": (torch.full((4,), 255, dtype=torch.uint8), ValueError, "labels are 255"),
    "elsewhere": (
        torch.ones(4, dtype=torch.long, device="meta"),
        ValueError,
        "on meta; wanted cpu",
    ),
}


@pytest.mark.parametrize("labels, error, words", REFUSED.values(), ids=REFUSED)
def test_what_is_no_label_is_refused(labels, error, words):
    images = written(LETTERS[:4])
    asked = (
        lambda: mean_loss(torch.zeros(4, CLASSES), labels),
        lambda: evaluate(Reader(), images, labels),
        lambda: predict(Reader(), images, labels),
    )
    for ask in asked:
        with pytest.raises(error, match=words):
            ask()


@pytest.mark.parametrize("labels, error, words", REFUSED.values(), ids=REFUSED)
def test_nor_is_it_counted(labels, error, words):
    if isinstance(labels, np.ndarray):
        labels, words = labels.astype(float), "float64"
    if not isinstance(labels, np.ndarray) and labels.is_meta:
        return  # an array has no device
    made = Predictions(
        np.zeros(1), None, None, np.asarray(labels), np.eye(CLASSES)[:4], np.zeros(1)
    )
    with pytest.raises(error, match=words):
        made.confusion()


def test_rows_are_refused_by_what_reads_single_ones_and_the_other_way_round():
    for model, labels in ((Reader(), ROWS), (Reader(3), ROWS[:, 0]), (Reader(3), ROWS[:, :2])):
        for ask in (evaluate, predict):
            with pytest.raises(ValueError, match="do not belong together"):
                ask(model, written(ROWS), labels)


def test_a_wrong_kind_is_refused_before_the_network_has_worked():
    class Never(nn.Module):
        def forward(self, images):
            raise AssertionError("it was asked")

    for ask in (evaluate, predict):
        for labels in (torch.ones(4), torch.ones(3).long(), torch.ones(4, 1, 1).long()):
            with pytest.raises((TypeError, ValueError), match="labels"):
                ask(Never(), written(LETTERS[:4]), labels)


# ---------------------------------------------------------------- none at all
def test_of_no_images_there_is_no_mean():
    made = Predictions(np.zeros(0), None, None, np.zeros(0, "uint8"), np.zeros((0, 5)), np.zeros(0))
    assert made.confusion().shape == (5, 5) and not made.confusion().any()
    for labels, model in ((LETTERS[:0], Reader()), (ROWS[:0], Reader(3))):
        asked = (
            lambda labels: mean_loss(torch.zeros(*labels.shape, CLASSES), labels),
            lambda labels, model=model: evaluate(model, torch.zeros(0, 1, 4, 4), labels),
            lambda labels, model=model: predict(model, torch.zeros(0, 1, 4, 4), labels),
        )
        for ask in asked:
            with pytest.raises(ValueError, match="labels has no images; wanted at least one"):
                ask(labels.byte())


def test_in_a_traced_graph_values_are_not_looked_at():
    """And the loss is the same there: a look would end the graph."""
    logits, labels = torch.randn(4, 6), torch.tensor([0, 5, 2, 2])

    class Loss(nn.Module):
        def forward(self, logits, labels):
            return mean_loss(logits, labels)

    program = torch.export.export(Loss(), (logits, labels.int()))
    assert torch.equal(program.module()(logits, labels.int()), mean_loss(logits, labels))


def test_who_says_that_they_are_classes_is_believed(monkeypatch):
    """A look is a wait where the labels are on a GPU, as in every step of training."""
    asked = []
    monkeypatch.setattr(
        "stn_course.models.losses.values_can_be_checked", lambda _: bool(asked.append(1)) or True
    )
    as_labels(LETTERS, torch.zeros(52, CLASSES), look=False)
    mean_loss(torch.zeros(52, CLASSES), LETTERS, look=False)
    assert not asked
    mean_loss(torch.zeros(52, CLASSES), LETTERS)
    assert asked
