"""Readers of digit rows: their sizes, where they look, what learns from what, how they count."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from stn_course import data, geometry
from stn_course.analysis.accuracy import digit_accuracy, word_accuracy
from stn_course.analysis.glimpses import glimpse_iou, where_it_looks
from stn_course.geometry import box_to_theta
from stn_course.models import SEQUENCE_MODELS, count_parameters
from stn_course.models.losses import sequence_loss
from stn_course.models.sequence import FFNSPN, RNNSPN, PlainCNN, RecurrentTransformer
from stn_course.models.sequence_designs import DESIGNS, glimpse_size
from stn_course.models.transformers import localiser_parameters
from stn_course.sampling import reference

SMALL = replace(data.PUBLISHED_100, sizes=(200, 1, 1), bank_size=500, discarded=0, seed=5)
DOWNS = [None, 1, 1.5, 2, 3, 4, (4, 1), (1, 3.5)]


def images(n=2, size=(100, 100), channels=1, seed=0):
    return torch.rand(n, channels, *size, generator=torch.Generator().manual_seed(seed))


def made(kind, seed=0, moved=0.0, **options):
    """A network with seeded weights; `moved` lets its localiser say what it sees."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = kind(**options)
        if moved:
            torch.nn.init.normal_(net.transformer.head[0].weight, 0, moved)
    return net


# ---------------------------------------------------------------- sizes
def test_the_ffn_spn_of_lj_has_its_published_number_of_parameters():
    assert count_parameters(FFNSPN(design="lj")) == 6_293_916
    assert count_parameters(FFNSPN(design="lj", down=2)) == 6_293_916


def test_the_rnn_spn_of_sk_is_made_as_published():
    net = RNNSPN(design="sk")
    assert (net.transformer.cell.input_size, net.transformer.cell.hidden_size) == (1620, 256)
    assert net.glimpse == (33, 33)
    # conv20 thrice; GRU 256; Dense 6; conv32 thrice; Dense 400 on 32 x 4 x 4; Dense 10.
    features = 10 * 20 + 2 * (9 * 20 + 1) * 20
    gru, head = 3 * 256 * (1620 + 256 + 2), 257 * 6
    reader = 10 * 32 + 2 * (9 * 32 + 1) * 32 + (512 + 1) * 400 + 401 * 10
    assert count_parameters(net) == features + gru + head + reader


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
@pytest.mark.parametrize("down", DOWNS, ids=str)
def test_ours_has_at_most_a_million_parameters_whatever_it_reads(kind, down):
    assert 100_000 < count_parameters(kind(design="ours", down=down)) <= 1_000_000


@pytest.mark.parametrize(
    "down, size",
    [
        (1, (100, 100)),
        (1.5, (66, 66)),
        (2, (50, 50)),
        (3, (33, 33)),
        (4, (25, 25)),
        ((4, 1), (25, 100)),
        ([1, 3.5], (100, 28)),
        (100 / 83, (83, 83)),
        (500, (1, 1)),
    ],
)
def test_sizes_of_a_glimpse(down, size):
    assert glimpse_size((100, 100), down) == size


def test_height_comes_first():
    assert glimpse_size((60, 100), (2, 4)) == (30, 25)


@pytest.mark.parametrize("down", [0, -1, float("inf"), float("nan"), (2,), (1, 2, 3), (0, 1)])
def test_a_wrong_down_is_refused(down):
    with pytest.raises(ValueError, match="down="):
        glimpse_size((100, 100), down)


@pytest.mark.parametrize("down", ["2", None, ("a", 1)])
def test_a_down_of_a_wrong_type_is_refused(down):
    with pytest.raises(TypeError, match="down="):
        glimpse_size((100, 100), down)


# ---------------------------------------------------------------- shapes
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
@pytest.mark.parametrize("down", [1.5, 2, 3, 4, (4, 1)], ids=str)
def test_shapes(kind, design, down):
    net = kind(design=design, down=down).eval()
    steps = 3 if kind is RNNSPN else 1
    with torch.no_grad():
        assert net.look(images()).shape == (2 * steps, 1, *glimpse_size((100, 100), down))
        assert net(images()).shape == (2, 3, 10)
    assert net.theta.shape == (2, steps, 2, 3) and not net.theta.requires_grad


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_other_rows_of_digits(kind):
    net = kind((60, 150), 5, 7, 2, glimpse=(24, 30)).eval()
    with torch.no_grad():
        assert net(images(3, (60, 150), 2)).shape == (3, 5, 7)
    assert net.theta.shape == (3, 5 if kind is RNNSPN else 1, 2, 3)
    assert net(images(0, (60, 150), 2)).shape == (0, 5, 7)


def test_at_full_size_each_reads_all_pixels():
    for kind in SEQUENCE_MODELS.values():
        net = kind(down=1).eval()
        assert net(images()).shape == (2, 3, 10) and net.glimpse == (100, 100)


@pytest.mark.parametrize(
    "options, named",
    [
        ({"design": "vgg"}, "design="),
        ({"padding": "grey"}, "padding="),
        ({"down": 2, "glimpse": (20, 20)}, "down=2, glimpse="),
        ({"digits": 0}, "digits="),
        ({"glimpse": (0, 20)}, "glimpse"),
        ({"design": "sk", "down": 30}, "size="),
    ],
)
@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_wrong_options_are_refused(kind, options, named):
    with pytest.raises(ValueError, match=named):
        kind(**options)


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_images_of_another_size_are_refused(kind):
    with pytest.raises(ValueError, match=r"images have shape .* wanted \[B, 1, 100, 100\]"):
        kind()(images(2, (100, 90)))


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_a_network_can_be_copied_and_sent(kind):
    net = made(kind).eval()
    net(images())
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(images()), net(images()))


# ---------------------------------------------------------------- where they look
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_untrained_they_see_the_image_in_the_size_of_the_glimpse(kind, design, padding):
    x, identity = images(), torch.eye(2, 3)
    net = kind(design=design, down=(2, 4), padding=padding)
    seen = net.look(x).unflatten(0, (2, -1))  # [B, steps, 1, 50, 25]
    resized = reference.warp(x, identity.expand(2, 2, 3), (50, 25), padding)
    assert (seen - resized[:, None]).abs().max() < 1e-5
    assert torch.equal(net.theta, identity.expand_as(net.theta))


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_divided_by_one_and_by_two_they_see_the_image_and_the_mean_of_four(kind):
    x = images()
    whole = kind(down=1).look(x).unflatten(0, (2, -1))
    halved = kind(down=2).look(x).unflatten(0, (2, -1))
    assert (whole - x[:, None]).abs().max() < 2e-5
    assert (halved - F.avg_pool2d(x, 2)[:, None]).abs().max() < 2e-5


@pytest.mark.parametrize("padding", reference.PADDINGS)
def test_every_step_reads_the_same_image_where_its_theta_says(padding):
    net = made(RNNSPN, moved=0.3, down=3, padding=padding).eval()
    x = images(4)
    seen = net.look(x)
    assert (net.theta[:, 0] - net.theta[:, 1]).abs().max() > 1e-3
    for step in range(3):
        wanted = reference.warp(x, net.theta[:, step], (33, 33), padding)
        seen_now = seen.unflatten(0, (4, 3))[:, step]
        torch.testing.assert_close(seen_now, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", [FFNSPN, RNNSPN])
@pytest.mark.parametrize("design", DESIGNS)
def test_theta_is_float32_under_autocast(kind, design):
    net = made(kind, moved=0.1, design=design, down=4).eval()
    said = []

    class Overheard(geometry.Affine):
        def __call__(self, raw):
            said.append(raw)
            return super().__call__(raw)

    net.transformer.transform = Overheard()
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images())
    assert logits.dtype == torch.bfloat16
    for each in (*said, net.theta):
        assert each.dtype == torch.float32
        assert not torch.equal(each, each.bfloat16().float())  # nor rounded on the way


def test_a_bound_keeps_theta_near_the_identity():
    for kind in (FFNSPN, RNNSPN):
        net = made(kind, moved=100.0, bound=0.5).eval()
        net(images())
        away = (net.theta - torch.eye(2, 3)).abs().max()
        assert 0.3 < away <= 0.5


# ---------------------------------------------------------------- what learns from what
@pytest.mark.parametrize("kind", [FFNSPN, RNNSPN])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_gradient_reaches_the_localiser(kind, design):
    net = made(kind, design=design)
    sequence_loss(net(images(4)), torch.tensor([[1, 2, 3]] * 4)).backward()
    head = net.transformer.head[0]
    assert head.bias.grad.abs().min() > 0 and head.weight.grad.abs().max() > 0
    net.zero_grad()
    torch.nn.init.normal_(head.weight, 0, 0.05, generator=torch.Generator().manual_seed(1))
    sequence_loss(net(images(4)), torch.tensor([[1, 2, 3]] * 4)).backward()
    theirs = localiser_parameters(net)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in theirs)
    assert len(theirs) + len(list(net.reader.parameters())) == len(list(net.parameters()))


def step_gradients(detach_state, step):
    """Of theta at `step`: its gradient to each step's state, and to the features."""
    net = made(RNNSPN, moved=0.3, down=4, detach_state=detach_state).eval()
    states, features = [], []
    net.transformer.cell.register_forward_hook(lambda _m, args, out: states.append(out))
    net.transformer.body.register_forward_hook(lambda _m, args, out: features.append(out))
    theta = net.transformer.locate(images())
    found = torch.autograd.grad(theta[:, step].square().sum(), [*states, *features])
    return theta, found[:3], found[3], states, features[0], net


def test_detaching_the_state_cuts_the_path_between_steps_and_nothing_else():
    whole, through, all_features, *_ = step_gradients(False, 2)
    cut, own, own_features, states, features, net = step_gradients(True, 2)
    assert torch.equal(whole, cut)  # what it computes is the same
    assert [bool(each.any()) for each in through] == [True, True, True]
    assert [bool(each.any()) for each in own] == [False, False, True]
    assert torch.equal(own[2], through[2])
    # What is left is the last step alone, with the state before it as a constant.
    again = features.detach().requires_grad_()
    last = net.transformer.head(net.transformer.cell(again, states[1].detach()))
    (alone,) = torch.autograd.grad(last.square().sum(), again)
    assert torch.allclose(own_features, alone, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(own_features, all_features, rtol=1e-2)


def test_every_step_still_teaches_the_features_when_the_state_is_detached():
    for step in range(3):
        assert step_gradients(True, step)[2].abs().max() > 0


def test_the_steps_share_their_weights():
    assert count_parameters(RNNSPN(digits=3)) == count_parameters(RNNSPN(digits=6))
    net = made(RNNSPN, down=3).eval()
    logits = net(images())
    # Untrained all glimpses are one, so what reads them must say the same of each (to the last
    # bits: which kernel multiplies a row may depend on where in the matrix it stands).
    assert torch.allclose(logits, logits[:, :1].expand(-1, 3, -1), rtol=0, atol=1e-6)


def test_the_features_are_computed_once():
    net, calls = made(RNNSPN, down=4), []
    net.transformer.body.register_forward_hook(lambda *_: calls.append(1))
    net(images())
    assert len(calls) == 1


@pytest.mark.parametrize("kind", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_a_few_steps_on_cluttered_sequences_reduce_the_loss(kind):
    train = data.generate(SMALL, allow_sample=True)["train"]
    x, y = train.images(), train.labels
    net = made(kind, down=3)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    losses = []
    for step in range(30):
        rows = torch.arange(30)  # always the same: what is asked for is learned by heart
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step)  # dropout
            loss = sequence_loss(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 5.5 < losses[0] < 9  # 3 ln 10 = 6.9
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.3, losses


# ---------------------------------------------------------------- how they are measured
LABELS = torch.tensor([[1, 2, 0], [3, 3, 3], [0, 1, 2], [2, 2, 1]])
GUESSES = torch.tensor([[1, 2, 0], [3, 3, 1], [2, 0, 1], [2, 2, 1]])  # 3, 2, 0, 3 right
LOGITS = F.one_hot(GUESSES, 4).float() * 5


def test_digits_and_words_are_counted():
    assert digit_accuracy(LOGITS, LABELS) == (8, 12)
    assert word_accuracy(LOGITS, LABELS) == (2, 4)
    assert all(type(n) is int for n in digit_accuracy(LOGITS, LABELS))


def test_the_loss_is_the_mean_over_images_of_the_sum_over_digits():
    right, wrong = (torch.tensor(v).exp() / (torch.tensor(5.0).exp() + 3) for v in (5.0, 0.0))
    wanted = -(8 * right.log() + 4 * wrong.log()) / 4
    assert sequence_loss(LOGITS, LABELS).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert sequence_loss(LOGITS.bfloat16(), LABELS).dtype == torch.float32


@pytest.mark.parametrize("count", [sequence_loss, digit_accuracy, word_accuracy])
def test_logits_and_labels_must_belong_together(count):
    for logits, labels in ((LOGITS[:, :2], LABELS), (LOGITS, LABELS[:3]), (LOGITS[0], LABELS[0])):
        with pytest.raises(ValueError, match="do not belong together"):
            count(logits, labels)


def test_a_loss_of_nothing_is_refused():
    with pytest.raises(ValueError, match="labels has no images"):
        sequence_loss(LOGITS[:0], LABELS[:0])


BOXES = torch.tensor([[[0, 10, 28, 38], [28, 20, 56, 48], [56, 30, 84, 58]]])  # [1, 3, 4]


def thetas(boxes, canvas=100):
    """The glimpses that see exactly `boxes` [B, S, 4] (pixels): [B, S, 2, 3]."""
    to_canvas = box_to_theta(boxes.flatten(0, 1), canvas)
    half = 1 / to_canvas[:, [0, 1], [0, 1]]  # the same boxes the other way round
    centre = -to_canvas[:, :, 2] * half
    return torch.cat([torch.diag_embed(half), centre[:, :, None]], 2).unflatten(0, boxes.shape[:2])


def test_glimpses_that_see_their_digits_exactly_have_an_iou_of_one():
    assert glimpse_iou(thetas(BOXES), BOXES, 100).tolist()[0] == pytest.approx([1, 1, 1], abs=1e-5)


def test_iou_is_of_each_step_with_its_own_digit():
    swapped = thetas(BOXES[:, [1, 0, 2]])
    assert glimpse_iou(swapped, BOXES, 100).tolist()[0] == pytest.approx([0, 0, 1], abs=1e-5)
    half = BOXES.clone()
    half[0, 0, 2] = 14  # the left half of the first digit
    half[0, 1, :] = torch.tensor([28, 6, 56, 48])  # half as much again of the second
    got = glimpse_iou(thetas(half), BOXES, 100)
    assert got.shape == (1, 3) and got.tolist()[0] == pytest.approx([1 / 2, 2 / 3, 1], abs=1e-5)


def test_an_untrained_glimpse_covers_the_whole_canvas():
    net = FFNSPN().eval()
    net(images(1))
    around = 84 * 48 / 100**2  # x 0 ... 84, y 10 ... 58
    assert glimpse_iou(net.theta, BOXES, 100).tolist()[0] == pytest.approx([around], abs=1e-5)
    net = RNNSPN().eval()
    net(images(1))
    one = 28 * 28 / 100**2
    assert glimpse_iou(net.theta, BOXES, 100).tolist()[0] == pytest.approx([one] * 3, abs=1e-5)


def test_several_images_keep_their_rows_and_none_is_none():
    two, seen = torch.cat([BOXES, BOXES.flip(1)]), torch.cat([BOXES, BOXES])
    got = glimpse_iou(thetas(seen), two, 100)
    assert torch.allclose(got, torch.tensor([[1.0, 1, 1], [0, 1, 0]]), atol=1e-5)
    assert glimpse_iou(thetas(BOXES)[:0], BOXES[:0], 100).shape == (0, 3)


def test_glimpses_and_boxes_must_belong_together():
    theta = thetas(BOXES)
    with pytest.raises(ValueError, match="theta has 2 steps; wanted 1 or 3"):
        glimpse_iou(theta[:, :2], BOXES, 100)
    for a, b in ((theta[..., :2], BOXES), (theta, BOXES[..., :2]), (theta, BOXES[:0])):
        with pytest.raises(ValueError, match="do not belong together"):
            glimpse_iou(a, b, 100)


def test_the_plain_cnn_has_no_localiser():
    assert localiser_parameters(PlainCNN()) == []


def test_all_glimpses_are_read_as_if_one_by_one():
    net = made(RNNSPN, moved=0.05, channels=2)
    x = images(3, channels=2)
    x[:, :, 0] = x[:, :, -1] = 0.3  # a background that is not black
    seen = net.look(x).unflatten(0, (3, 3))  # [B, steps, C, H, W]
    assert net.theta.shape == (3, 3, 2, 3) and net.theta.std(1).amax() > 1e-3
    for step in range(3):
        alone = reference.warp(x, net.theta[:, step], net.glimpse)
        torch.testing.assert_close(seen[:, step], alone, rtol=0, atol=2e-5)


def test_where_it_looks_is_asked_of_every_image_and_leaves_the_model_alone():
    class Fixed(torch.nn.Module):
        """Looks at the left half of all but the first image of a batch."""

        def check(self, x):
            assert x.shape[1:] == (1, 100, 100)

        def look(self, x):
            assert not self.training and x.dtype == torch.float32 and x.max() <= 1
            self.theta = torch.tensor([[[[0.5, 0, -0.5], [0, 1, 0]]]]).repeat(len(x), 1, 1, 1)
            self.theta[0, 0] = torch.eye(2, 3)

    net, boxes = Fixed(), torch.tensor([0, 0, 50, 100]).repeat(5, 1, 1)
    pixels = torch.full((5, 1, 100, 100), 255, dtype=torch.uint8)
    for batch, whole in ((250, 1), (2, 3)):  # batches of which the first image is seen whole
        overlap = glimpse_iou(where_it_looks(net, pixels, batch), boxes, 100)
        assert overlap.shape == (5, 1)
        assert overlap.mean().item() == pytest.approx((0.5 * whole + 5 - whole) / 5)
    assert net.training
    with pytest.raises(ValueError, match="images is empty"):
        where_it_looks(net, pixels[:0])
    with pytest.raises(
        ValueError, match=r"images have shape \[5, 1, 100, 100\]; wanted \[B, 1, 40"
    ):
        where_it_looks(FFNSPN((40, 60)), pixels)


def test_the_first_look_is_the_image_or_strips_of_it():
    x = images(2)
    whole = made(RNNSPN)
    whole.look(x)
    assert torch.equal(whole.theta, torch.eye(2, 3).expand(2, 3, 2, 3))
    net = made(RNNSPN, first_look="strips")
    seen = net.look(x).unflatten(0, (2, 3))  # [B, 3, 1, H, W]
    wanted = torch.tensor([[[0.45, 0, tx], [0, 1, 0]] for tx in (-0.55, 0, 0.55)])
    torch.testing.assert_close(net.theta, wanted.expand(2, 3, 2, 3))
    left = x.clone()
    left[..., 45:] = 0  # all but the first strip
    assert torch.equal(net.look(left).unflatten(0, (2, 3))[:, 0, :, :, :-1], seen[:, 0, :, :, :-1])
    assert not torch.equal(net.look(left).unflatten(0, (2, 3))[:, 1], seen[:, 1])
    net(x).sum().backward()
    assert net.transformer.starts.grad.abs().amax(1).min() > 0
    assert any(p is net.transformer.starts for p in localiser_parameters(net))
    with pytest.raises(ValueError, match="first_look='middle'; wanted 'image' or 'strips'"):
        RNNSPN(first_look="middle")
    with pytest.raises(ValueError, match="first_look='strips', bound=0.5; wanted one"):
        RNNSPN(first_look="strips", bound=0.5)
    with pytest.raises(ValueError, match="starts has shape .2, 6.; wanted .3, 6."):
        net.transformer.begin(torch.zeros(2, 6))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("first_look", ["image", "strips"])
def test_three_glimpses_in_other_types(dtype, first_look):
    torch.manual_seed(0)
    net = RNNSPN((40, 60), first_look=first_look).eval()
    images = torch.rand(2, 1, 40, 60)
    wanted, theta = net(images), net.theta
    net = copy.deepcopy(net).to(dtype)
    logits = net(images.to(dtype))
    assert logits.dtype == dtype and torch.allclose(logits.float(), wanted, atol=0.1)
    assert net.theta.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.allclose(net.theta.float(), theta, atol=0.02)
    net(images.to(dtype)).float().sum().backward()
    assert net.transformer.cell.weight_ih.grad.dtype == dtype


def test_images_and_counts_are_checked():
    net = RNNSPN((40, 60))
    for wrong, message in [(None, "got NoneType"), (torch.zeros(1).numpy(), "ndarray")]:
        with pytest.raises(TypeError, match=message):
            net(wrong)
    for digits in (2.5, "3"):
        with pytest.raises(TypeError, match=f"digits={digits!r}; wanted a whole number"):
            RNNSPN((40, 60), digits)
    with pytest.raises(ValueError, match="steps=0; wanted at least 1"):
        RecurrentTransformer([], 4, 4, 0, geometry.Affine(), (8, 8))
    net.eval()
    torch.func.jacrev(lambda x: net(x).sum())(torch.rand(1, 1, 40, 60))
    copy.deepcopy(net)


def test_a_set_without_boxes_has_no_overlap():
    with pytest.raises(ValueError, match="boxes is None"):
        glimpse_iou(torch.eye(2, 3).expand(4, 1, 2, 3), None, 40)


def test_sks_state_starts_from_narrow_weights():
    torch.manual_seed(0)
    cell = RNNSPN((100, 100), design="sk").transformer.cell
    assert cell.weight_hh.std().item() == pytest.approx(0.1, rel=0.02)
    assert not cell.bias_ih.any() and not cell.bias_hh.any()
