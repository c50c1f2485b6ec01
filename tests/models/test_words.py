"""The reader of words, alone and behind a transformer that is shown less than it reads."""

import pytest
import torch

from stn_course import geometry, models
from stn_course.training.config import Config, build


def scenes(n=2, channels=3, seed=0):
    return torch.rand(n, channels, 32, 96, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("size", [(32, 96), (16, 48), (33, 41)])
def test_a_row_of_logits_at_any_size(batch, size):
    net = models.WordReader(size, 24, 3, digits=5).eval()
    assert net(torch.rand(batch, 3, *size)).shape == (batch, 5, 24)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match=r"wanted \[B, 3, 32, 96\]"):
        models.WordReader((32, 96), 24, 3)(torch.rand(1, 3, 32, 95))
    with pytest.raises(ValueError, match="width"):
        models.WordReader(width=0)


def test_the_first_look_of_sign_k_is_the_kth_part_of_the_row():
    net = models.WordReader((32, 100), 24, 3, digits=5)
    share = net.places.softmax(1)  # [5, 25]
    middle = share @ (torch.arange(25) + 0.5)
    torch.testing.assert_close(middle[1:4], torch.tensor([7.5, 12.5, 17.5]), atol=0.05, rtol=0)
    assert (share.argmax(1) == torch.tensor([2, 7, 12, 17, 22])).all()


def test_one_head_reads_all_signs():
    net = models.WordReader((32, 96), 24, 3, digits=5)
    assert net.read.out_features == 24
    few, many = (models.count_parameters(models.WordReader(digits=n)) for n in (3, 5))
    assert many - few == 2 * (96 * 3 + 1 + 24)  # where it looks for two more


def test_words_get_their_reader_from_a_configuration():
    net = build(Config(model="word-stn", distort="words", tests=()))
    assert net(scenes()).shape == (2, 5, 24)
    with pytest.raises(ValueError, match="gives an image one label"):
        build(Config(model="stn-small", distort="words", tests=()))
    with pytest.raises(ValueError, match="gives an image a row of labels"):
        build(Config(model="word-cnn", distort="hard", tests=()))


@pytest.mark.parametrize(
    ("grey", "sees", "shape"),
    [
        (False, None, (2, 3, 32, 96)),
        (True, None, (2, 1, 32, 96)),
        (False, (16, 48), (2, 3, 16, 48)),
        (True, (8, 24), (2, 1, 8, 24)),
    ],
)
def test_what_the_localiser_is_shown(grey, sees, shape):
    front = models.transformer((32, 96), 3, sees=sees, grey=grey)
    seen = []
    first = next(m for m in front.modules() if isinstance(m, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = scenes()
    assert front(x).shape == x.shape  # what is read keeps its colours and its size
    assert seen[0].shape == shape
    wanted = x.mean(1, keepdim=True) if grey else x
    if sees is not None:
        k = 32 // sees[0]
        wanted = torch.nn.functional.avg_pool2d(wanted, k)
    torch.testing.assert_close(seen[0], wanted)


def test_control_points_of_a_spline_by_name():
    front = models.transformer((32, 96), 3, transform="tps", grid=(2, 5), bound=0.4)
    assert front.transform == geometry.ThinPlateSpline((2, 5), 0.4)
    with pytest.raises(TypeError, match="grid"):
        models.transformer((32, 96), 3, transform="affine", grid=(2, 5))
    with pytest.raises(ValueError, match="sees"):
        models.transformer((32, 96), 3, sees=(0, 5))


def test_every_parameter_learns():
    net = models.build("word-stn", size=(32, 96), classes=24, channels=3, digits=5, sees=(16, 48))
    torch.nn.init.normal_(net[0].head[0].weight, 0, 0.01)
    models.mean_loss(net(scenes(4)), torch.zeros(4, 5, dtype=torch.long)).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
