"""Target 6, the PyTorch tutorial's network and its steps; target 7, a time to an accuracy.

The peer is written for this from the tutorial's published settings: batches of 64 from a
DataLoader with four worker processes, each image through PIL and torchvision's steps,
F.affine_grid and F.grid_sample, SGD .01, float32. Ours are the same steps by
`training.step.Step`. That they are the same is checked first: from the same weights, without
dropout, in float32, twenty steps on the same batches give the same losses.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import absent, compare, line, seconds
from stn_course.data import mnist
from stn_course.experiments import records, statistics
from stn_course.experiments.catalogue import find
from stn_course.experiments.speed import Speed, resting_on
from stn_course.training.config import build
from stn_course.training.cuda_graph import RecordedStep, make_step
from stn_course.training.loop import fit
from stn_course.training.optimisation import make_optimizer
from stn_course.training.step import Step

MEAN, SD = 0.1307, 0.3081
STEPS = 100  # of one measurement
WORKERS = 4  # as published


class Tutorial(nn.Module):
    """The tutorial's network, as its page describes it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5)
        self.drop, self.fc1, self.fc2 = nn.Dropout2d(), nn.Linear(320, 50), nn.Linear(50, 10)
        self.localization = nn.Sequential(
            nn.Conv2d(1, 8, 7),
            nn.MaxPool2d(2, 2),
            nn.ReLU(),
            nn.Conv2d(8, 10, 5),
            nn.MaxPool2d(2, 2),
            nn.ReLU(),
        )
        self.fc_loc = nn.Sequential(nn.Linear(90, 32), nn.ReLU(), nn.Linear(32, 6))
        nn.init.zeros_(self.fc_loc[2].weight)
        self.fc_loc[2].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, x):
        theta = self.fc_loc(self.localization(x).flatten(1)).view(-1, 2, 3)
        x = F.grid_sample(x, F.affine_grid(theta, x.size(), False), align_corners=False)
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.drop(self.conv2(x)), 2)).flatten(1)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(x), 1)


class Digits(Dataset):
    """A digit at a time, as torchvision's MNIST, ToTensor and Normalize make it, step by step."""

    def __init__(self, images, labels):
        from PIL import Image  # not on every machine that runs the other benchmarks

        self.images, self.labels, self.picture = images[:, 0], labels.tolist(), Image.fromarray

    def __len__(self):
        return len(self.images)

    def __getitem__(self, k):
        picture = self.picture(self.images[k].numpy())
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        x = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        mean, sd = (torch.as_tensor(v, dtype=x.dtype).view(-1, 1, 1) for v in ((MEAN,), (SD,)))
        return x.clone().sub_(mean).div_(sd), self.labels[k]


class Peer:
    """The tutorial's loop, a number of steps at a time."""

    def __init__(self, images, labels, device):
        self.device, self.model = device, Tutorial().to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)
        self.loader = DataLoader(
            Digits(images, labels), 64, shuffle=True, num_workers=WORKERS, persistent_workers=True
        )
        self.batches = iter(())

    def learn(self, x, y):
        x, y = x.to(self.device), y.to(self.device)
        self.optimizer.zero_grad()
        loss = F.nll_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def __call__(self):
        self.model.train()
        for _ in range(STEPS):
            batch = next(self.batches, None)
            if batch is None:
                self.batches = iter(self.loader)
                batch = next(self.batches)
            self.learn(*batch)


class Ours:
    def __init__(self, images, labels, device, precision="auto"):
        self.config = replace(find("se-01").config, precision=precision)
        self.images, self.labels = images.to(device), labels.to(device)
        self.model, self.number = build(self.config).to(device), 0
        self.model.train()
        optimizer = make_optimizer(self.config, self.model)
        self.step = make_step(self.config, 0, self.model, optimizer, self.images, self.labels)

    def __call__(self):
        for _ in range(STEPS):
            index = torch.randint(len(self.images), (64,), device=self.images.device)
            self.step(index, self.number, self.config.lr)
            self.number += 1


def difference(images, labels, device: str) -> float:
    """Largest relative difference of the losses of twenty steps, without dropout."""
    ours, peer = Ours(images, labels, device, "float32"), Peer(images, labels, device)
    order = (
        "localization.0",
        "localization.3",
        "fc_loc.0",
        "fc_loc.2",
        "conv1",
        "conv2",
        "fc1",
        "fc2",
    )
    names = [f"{layer}.{what}" for layer in order for what in ("weight", "bias")]
    own = ours.model.state_dict().values()
    peer.model.load_state_dict(dict(zip(names, own, strict=True)))
    for model in (ours.model, peer.model):
        model.eval()  # dropout alone tells the two modes apart
    worst = 0.0
    for k in range(20):
        index = torch.arange(64 * k, 64 * (k + 1))
        a = ours.step(index.to(device), k, 0.01).item()
        x = (images[index].float() / 255 - MEAN) / SD
        b = peer.learn(x, labels[index]).item()
        worst = max(worst, abs(a - b) / b)
    assert worst < 1e-3, f"losses differ by {worst:.1e}"
    return worst


def measure(device: str = "cpu") -> Iterator[Speed]:
    """Targets 6 and 7."""
    train, valid = mnist("train"), mnist("valid")
    images = torch.cat([train.images, valid.images])
    labels = torch.cat([train.labels, valid.labels])
    if device == "cuda":
        error = difference(images, labels, device)
        yield replace(
            seconds(
                6,
                "the tutorial's training, 20 epochs of 938 steps",
                4.0,
                [twenty_epochs(images, labels) for _ in range(3)],
                gpu=True,
            ),
            error=error,
        )
        yield graph(images, labels)
        yield to_accuracy(device)
        return
    peer, ours = Peer(images, labels, device), Ours(images, labels, device)
    yield compare(
        6,
        f"the tutorial's training, {STEPS} steps of 64",
        ours,
        peer,
        wanted=3,
        tolerance=1e-3,
        peer_name=f"the tutorial's loop, {WORKERS} workers",
        rounds=15,
        warm=1,
        agreement=lambda: difference(images, labels, device),
    )
    del peer
    yield to_accuracy(device)


def twenty_epochs(images, labels) -> float:
    """Seconds of all the tutorial's steps on a GPU, data and all."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    ours = Ours(images, labels, "cuda")
    for _ in range(20):
        for index in torch.randperm(len(images), device="cuda").split(64):
            loss = ours.step(index, ours.number, ours.config.lr)
            ours.number += 1
        loss.item()
    return time.perf_counter() - start


def graph(images, labels) -> Speed:
    """One step of this course's small network: replayed as a graph, and step by step."""
    index, runs = torch.arange(128).cuda(), []
    for record in (True, False):
        config = replace(find("mild-stn").config, epochs=1)
        model = build(config).cuda()
        optimizer = make_optimizer(config, model)
        step = Step(config, 0, model, optimizer, images.cuda(), labels.cuda())
        step = RecordedStep(step, record=record)
        count = itertools.count()
        runs.append(lambda step=step, count=count: step(index, next(count), 1e-3))
    return compare(
        6,
        "one step of stn-small on MILD, CUDA graph",
        *runs,
        wanted=1,
        peer_name="the same step by step",
        tolerance=1.0,
        agreement=lambda: 0.0,  # tests/training/test_step.py holds the two against each other
        device="cuda",
        seconds=0.05,
    )


def to_accuracy(device: str) -> Speed:
    """Target 7: five runs of fast-clean, on a CPU those of its records, on a GPU made now."""
    name, wanted = "98.87 % on clean digits, mean of 5 seeds", 25.0 if device == "cpu" else 0.5
    if device == "cuda":  # its records are of a CPU: these would take their place
        here = [fit(find("fast-clean").config, seed)[1] for seed in range(5)]
    else:
        here = [r for r in records.load("fast-clean") if r.device == "cpu"]
    if len(here) < 5:
        return absent(7, name, wanted, f"{len(here)} of 5 records of fast-clean", device == "cuda")
    mean = statistics.mean_sd([r.accuracy("test/clean") for r in here])[0]
    times = [r.seconds for r in here]
    why = f"{mean:.2f} % on test, {len(here)} seeds, {here[0].threads} threads"
    if mean < 98.87:
        return absent(7, name, wanted, f"not reached: {why}", device == "cuda")
    own = {} if device == "cuda" else {"rests_on": resting_on(here)}
    return seconds(7, name, wanted, times, device == "cuda", why=why, **own)


if __name__ == "__main__":
    for speed in measure():
        print(line(speed), flush=True)
