"""The weights that pages use are those of their records, and read as many digits right."""

import random

import pytest
import torch

from stn_course import models
from stn_course.analysis.accuracy import evaluate
from stn_course.data import is_sample
from stn_course.experiments import catalogue, records, runner
from stn_course.training import checkpoints, datasets
from stn_course.training.config import Config
from stn_course.training.run import weights_sha256

KEPT = sorted(runner.weights_dir().glob("*.safetensors"))


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_kept_weights_are_those_of_the_record(path):
    name, seed = path.stem.rsplit("-", 1)
    record = next(r for r in records.load(name) if r.seed == int(seed))
    model = runner.trained(name, int(seed))
    assert weights_sha256(model) == record.hashes["weights"]
    if is_sample():
        pytest.skip("the counts of the record are of the full MNIST")
    which = next(iter(record.config["tests"]))
    shape = catalogue.find(name).config.shape
    held = datasets.test_set("test", which, torch.device("cpu"), shape)
    few = evaluate(model, held.images[:1000], held.labels[:1000])["correct"]
    rate = record.accuracy(f"test/{which}") / 100
    total = held.labels[:1000].numel()
    assert abs(few - rate * total) < 4 * (rate * (1 - rate) * total) ** 0.5 + 2


def test_the_weights_are_few_bytes_of_rows_of_the_page_and_of_all_others():
    groups = {"seq-": 3e6, "page-": 1.2e6, "": 3e6}
    rest = list(KEPT)
    for start, most in groups.items():
        some = [path for path in rest if path.stem.startswith(start)]
        rest = [path for path in rest if path not in some]
        assert 0 < sum(path.stat().st_size for path in some) < most, start
    assert rest == []


def test_weights_go_round_and_wrong_ones_are_refused(tmp_path):
    net, other = models.build("fc"), models.build("fc")
    path = tmp_path / "fc.safetensors"
    checkpoints.save_weights(path, net)
    assert weights_sha256(checkpoints.read_weights(path, other)) == weights_sha256(net)
    with pytest.raises(ValueError, match="does not fit"):
        checkpoints.read_weights(path, models.build("fc", width=3))
    path.write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="does not fit"):
        checkpoints.read_weights(path, net)
    with pytest.raises(FileNotFoundError, match="no weights were kept"):
        checkpoints.read_weights(tmp_path / "absent", net)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_one_bit_of_stored_weights_is_seen(tmp_path):
    """Of every region of the file: what is accepted must be the same weights."""
    net, path = models.build("fc", width=8), tmp_path / "fc.safetensors"
    checkpoints.save_weights(path, net)
    whole, wanted, refused = path.read_bytes(), weights_sha256(net), 0
    for bit in random.Random(0).sample(range(8 * len(whole)), 60):
        path.write_bytes(flipped(whole, bit))
        try:
            found = checkpoints.read_weights(path, models.build("fc", width=8))
        except ValueError as error:
            refused += 1
            assert "is damaged" in str(error) or "does not fit" in str(error)
        else:
            assert weights_sha256(found) == wanted
    assert refused > 50


def test_kept_weights_are_held_to_their_record(tmp_path, monkeypatch):
    """Those older than their own sum too."""
    path = KEPT[0]
    name, seed = path.stem.rsplit("-", 1)
    data = path.read_bytes()
    (tmp_path / path.name).write_bytes(flipped(data, 8 * (len(data) - 4)))
    monkeypatch.setattr(runner, "weights_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match="is damaged: SHA-256"):
        runner.trained(name, int(seed))


def test_one_bit_of_a_checkpoint_is_seen(tmp_path):
    net = models.build("fc", width=8)
    optimizer = torch.optim.Adam(net.parameters())
    path = checkpoints.save_checkpoint(tmp_path, Config(model="fc"), 0, net, optimizer, {})
    whole, refused = path.read_bytes(), 0
    for bit in random.Random(1).sample(range(8 * len(whole)), 120):
        path.write_bytes(flipped(whole, bit))
        try:
            found = checkpoints.read_checkpoint(path)
        except ValueError as error:
            refused += 1
            assert "is not a whole checkpoint" in str(error)
        else:
            assert all(torch.equal(found["model"][k], v) for k, v in net.state_dict().items())
    assert refused > 80
