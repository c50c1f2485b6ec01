"""One step of training; what a CUDA graph needs of it is checked as far as a CPU can."""

import dataclasses
import traceback
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from stn_course import geometry, models
from stn_course.data import DISTORTIONS, TASKS, recipes
from stn_course.lessons.fast import synchronisation
from stn_course.training import cuda_graph, step
from stn_course.training.config import Config, build
from stn_course.training.loop import steps
from stn_course.training.optimisation import make_optimizer

RECIPES = [*DISTORTIONS, *TASKS]


class FromTheHost(TorchDispatchMode):
    """Notes tensors made of Python's numbers: a graph cannot copy them to the device."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.name() == "aten::lift_fresh":
            self.found.append(traceback.extract_stack()[-2].line)
        return function(*args, **(kwargs or {}))


@contextmanager
def watched():
    """A list of what a graph could not hold of what happens inside."""
    found = []
    with synchronisation.Synchronisations() as asked, FromTheHost() as copied:
        yield found
    found += [*asked.lines, *copied.found]


@pytest.fixture
def capturing(monkeypatch):
    """Values may not be looked at, as while a CUDA graph is recorded."""
    for module in ("checks", "matrices", "homography", "pixels", "splines", "parametrisations"):
        found = __import__(f"stn_course.geometry.{module}", fromlist=["x"])
        if hasattr(found, "values_can_be_checked"):
            monkeypatch.setattr(found, "values_can_be_checked", lambda values: False)
    monkeypatch.setattr("stn_course.sampling.reference.values_can_be_checked", lambda values: False)
    assert not geometry.checks.values_can_be_checked(torch.zeros(1))


def made(name, n=32):
    images = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    return recipes.make(name, images, torch.arange(n) % 10, torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_wait_for_nothing_unless_they_say_so(name, capturing):
    with watched() as found:
        made(name)
    assert bool(found) == (name in recipes.WAITS), found


@pytest.mark.parametrize(
    "config",
    [
        Config(model="stn-small", distort="hard", schedule="onecycle"),
        Config(model="stn-small", distort="hr", pose_weight=1.0, clip=1.0),
        Config(model="tutorial", optimizer="sgd", lr=0.01),
        Config(model="paper-st-cnn", options={"transform": "homography"}, distort="r"),
        Config(model="paper-st-cnn", options={"transform": "tps"}, distort="e"),
        Config("rnn-spn", {"design": "ours"}, distort="sequences", tests=("sequences",)),
    ],
    ids=lambda c: f"{c.model}-{c.distort}",
)
def test_a_step_waits_for_nothing(config, capturing):
    config = dataclasses.replace(config, batch_size=8, precision="float32")
    channels, *size = (1, 28, 28) if config.distort != "sequences" else (1, 28, 28)
    images = torch.randint(0, 256, (16, channels, *size), dtype=torch.uint8)
    model = build(config)
    optimizer = torch.optim.SGD(model.parameters(), config.lr)  # not what is asked about
    one = step.Step(config, 0, model, optimizer, images, torch.arange(16) % 10)
    index = torch.arange(8)
    one(index, 0, config.lr)  # what is made once is made
    with watched() as found:
        drawn = one.draw(index)
        one.learn(*drawn)
    assert found == []


def one_step(labels, index):
    """The loss of a step of a small network on 20 images, and its weights afterwards."""
    torch.manual_seed(0)
    config = Config(model="fc", batch_size=8, precision="float32")
    model = build(config)
    images = (torch.arange(20 * 784) % 251).view(20, 1, 28, 28).to(torch.uint8)
    made = step.Step(config, 0, model, make_optimizer(config, model), images, labels)
    return made(index, 0, 1e-3), [p.detach().clone() for p in model.parameters()]


def test_narrow_labels_and_places_make_the_same_step():
    labels, index = torch.arange(20) % 10, torch.arange(20).flip(0)
    loss, weights = one_step(labels, index)
    for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
        for its, places in ((labels.to(dtype), index), (labels, index.to(dtype))):
            found, theirs = one_step(its, places)
            assert torch.equal(found, loss)
            assert all(torch.equal(a, b) for a, b in zip(weights, theirs, strict=True))


def test_a_step_takes_no_labels_that_are_none():
    index = torch.arange(8)
    for labels in (torch.zeros(20), torch.zeros(20).bool()):
        with pytest.raises(TypeError, match="labels must be a tensor of whole numbers"):
            one_step(labels, index)
    for labels in (torch.zeros(19).long(), torch.zeros(1).long(), torch.zeros(20, 1, 1).long()):
        with pytest.raises(ValueError, match="labels have shape"):
            one_step(labels, index)
    with pytest.raises(ValueError, match=r"labels must be classes.*\(batch entries 3\)"):
        one_step(torch.where(torch.arange(20) == 3, -100, 0), index)
    with pytest.raises(TypeError, match="index must be a tensor of whole numbers, got torch.bool"):
        one_step(torch.zeros(20).long(), torch.ones(20).bool())


def test_the_loss_is_read_by_nobody_but_who_wants_it(monkeypatch):
    """Reading a number waits for the device: a step that is not logged must not."""
    reads = []
    real = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda t: reads.append(1) or real(t))
    config = Config(model="fc", limit=640, batch_size=64, epochs=1)
    run = steps(config, 0)
    next(run)
    before = len(reads)
    for _ in range(8):
        next(run)
    assert len(reads) == before


@pytest.mark.parametrize("layer", [nn.Dropout(0.3), nn.Dropout2d(0.3)])
def test_dropout_by_its_own_dice(layer):
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Identity(), nn.Sequential(layer))
    cuda_graph.own_dropout(net, generator)
    x = torch.ones(200, 50, 4, 4)
    out = net(x)
    assert (out == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    assert out.mean() == pytest.approx(1, abs=0.03)
    if isinstance(layer, nn.Dropout2d):
        assert ((out == 0).flatten(2).float().mean(2) % 1 == 0).all(), "whole channels"
    torch.manual_seed(99)
    generator.manual_seed(3)
    assert torch.equal(net(x), out), "the global stream has no say"
    assert torch.equal(net.eval()(x), x)
    assert models.count_parameters(net) == 0


@pytest.mark.parametrize("turns", [False, True])
def test_a_graph_is_never_recorded_on_the_default_stream(turns, monkeypatch):
    """CUDA refuses it. Simulated: what torch is asked for, not what a GPU does."""
    asked, cuda = [], torch.cuda
    monkeypatch.setattr(cuda, "CUDAGraph", lambda: SimpleNamespace(register_generator_state=print))
    monkeypatch.setattr(cuda, "default_stream", lambda device: "the default")
    monkeypatch.setattr(cuda, "current_stream", lambda device: "a turn" if turns else "the default")
    monkeypatch.setattr(cuda, "Stream", lambda device: "another")
    monkeypatch.setattr(cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(cuda, "graph", lambda graph, stream: asked.append(stream) or nullcontext())
    config = Config(model="fc", precision="float32")
    model, images = build(config), torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    labels = torch.zeros(64, dtype=torch.int64)
    one = step.Step(config, 0, model, make_optimizer(config, model), images, labels)
    one = cuda_graph.RecordedStep(one)
    one.capture(torch.arange(64), ())
    assert asked == ["a turn" if turns else "another"] and one.graph is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("distort", ["hard", "p", None])
def test_a_graph_does_what_the_steps_do(distort, optimizer):
    config = Config(model="stn-small", distort=distort, optimizer=optimizer, precision="float32")
    weights = []
    for record in (True, False):
        torch.manual_seed(0)
        model = build(config).cuda()
        images = torch.randint(0, 256, (640, 1, 28, 28), dtype=torch.uint8).cuda()
        labels = torch.arange(640).cuda() % 10
        one = step.Step(config, 0, model, make_optimizer(config, model), images, labels)
        one = cuda_graph.RecordedStep(one, record=record)
        for number in range(20):
            loss = one(torch.arange(64).cuda() + 64 * (number % 10), number, 1e-3)
        assert (one.graph is not None) == record and loss.isfinite()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_each_step_draws_its_own_distortions_and_the_same_ones_again():
    config = Config(model="fc", distort="hard", tests=("hard",), precision="float32")
    images, labels, index = torch.arange(784).byte().view(1, 1, 28, 28), torch.tensor([3]), [0] * 8

    def drawn(seed, *numbers):
        model = build(config)
        one = step.Step(config, seed, model, make_optimizer(config, model), images, labels)
        for number in numbers:
            one(torch.tensor(index), number, 1e-3)
        return one.batch

    assert torch.equal(drawn(0, 5), drawn(0, 1, 5))
    assert not torch.equal(drawn(0, 5), drawn(0, 6))
    assert not torch.equal(drawn(0, 5), drawn(1, 5))


def test_augment_comes_after_the_rest_and_leaves_the_labels(monkeypatch):
    seen = []
    real = recipes.make
    monkeypatch.setattr(recipes, "make", lambda name, *rest: seen.append(name) or real(name, *rest))
    images = torch.randint(0, 256, (8, 1, 40, 40), dtype=torch.uint8)
    config = Config(model="stn-small", distort="cluttered", frozen=True, augment="gentle")
    model = build(config)
    one = step.Step(
        config, 0, model, torch.optim.SGD(model.parameters()), images, torch.zeros(8, 1).long()
    )
    seen.clear()  # building the network made one scene to learn its size
    one.generator.manual_seed(1)
    x, y, _ = one.draw(torch.arange(8))
    assert seen == ["gentle"] and x.shape == (8, 1, 40, 40) and torch.equal(y, torch.zeros(8, 1))
    assert (x - images / 255).abs().mean() > 0.01
    one.generator.manual_seed(2)
    assert not torch.equal(one.draw(torch.arange(8))[0], x)


def test_augment_must_keep_the_size():
    with pytest.raises(ValueError, match="augment='rts' is unknown; wanted one of pose, gentle"):
        Config(augment="rts")
    with pytest.raises(ValueError, match="augment='gentle' and pose_weight"):
        Config(model="stn-small", distort="hr", pose_weight=1.0, augment="gentle")
