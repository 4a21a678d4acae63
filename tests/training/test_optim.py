"""The learning rate by update, the optimizer against the paper's formula, TensorBoard's files."""

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from mmpt.config.training import OptimConfig
from mmpt.training.events import EventFile, _checksum
from mmpt.training.optim import MovingAverage, learning_rate, make_optimizer

PAPER = OptimConfig(lr=(5e-5,), lr_scheduler="polynomial_decay", warmup_updates=1000, total_num_update=11_000)


@pytest.mark.parametrize(
    ("update", "rate"),
    [(1, 0.0), (2, 5e-8), (501, 2.5e-5), (1001, 5e-5), (6001, 2.5e-5), (11_000, 5e-9), (11_001, 0.0), (20_000, 0.0)],
)
def test_the_papers_schedule(update: int, rate: float) -> None:
    assert learning_rate(PAPER, update, 0) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("keys", "rates"),
    [
        # four updates of warm-up, then down to 0.2 at the tenth: written down by hand
        ({"warmup_updates": 4, "total_num_update": 10}, [0, 0.2, 0.4, 0.6, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.2]),
        ({"warmup_updates": 0, "total_num_update": 3}, [0.8, 0.6, 0.4, 0.2, 0.2]),
        ({"warmup_updates": 2, "total_num_update": 4, "power": 2.0}, [0, 0.4, 0.8, 0.35, 0.2, 0.2]),
        ({"warmup_updates": 3, "total_num_update": 2}, [0, 0.8 / 3, 1.6 / 3, 0.8, 0.2, 0.2]),
        ({"warmup_updates": 2, "total_num_update": 2}, [0, 0.4, 0.8, 0.2]),
    ],
)
def test_an_update_has_the_rate_of_the_updates_before_it(keys: dict[str, Any], rates: list[float]) -> None:
    config = OptimConfig(lr=(0.8,), lr_scheduler="polynomial_decay", end_learning_rate=0.2, **keys)
    assert [learning_rate(config, n, 0) for n in range(1, len(rates) + 1)] == pytest.approx(rates)


def test_rates_by_epoch() -> None:
    config = OptimConfig(lr=(0.3, 0.2), lr_scheduler="fixed", warmup_updates=2)
    assert [learning_rate(config, update, epoch) for update, epoch in ((1, 0), (2, 0), (3, 0), (4, 1), (5, 7))] == [
        *(0.15, 0.3, 0.3, 0.2, 0.2),
    ]


def test_the_average_forgets_what_it_began_with() -> None:
    linear = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(linear.weight, 10.0)
    average = MovingAverage(linear, 0.5)
    torch.nn.init.constant_(linear.weight, 20.0)
    seen = []
    for updates in (0, 1, 20):
        average.update(linear, updates)
        seen.append(average.weights["weight"].item())
    assert seen == pytest.approx([10 * 0.1 + 20 * 0.9, 19 * 2 / 11 + 20 * 9 / 11, (19 * 2 / 11 + 20 * 9 / 11 + 20) / 2])


def test_adam_is_adams_formula_with_decay_apart() -> None:
    linear = torch.nn.Linear(3, 1, bias=False)
    weight = linear.weight.detach().clone().double()
    config = OptimConfig(lr=(0.1,), adam_betas=(0.9, 0.98), weight_decay=0.5, clip_norm=0.0, max_epoch=1)
    optimizer = make_optimizer(linear, config)
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step in range(1, 4):
        linear(torch.tensor([[1.0, 2.0, -step]])).sum().backward()
        gradient = torch.tensor([[1.0, 2.0, -step]]).double()
        optimizer.step()
        optimizer.zero_grad()
        first = 0.9 * first + 0.1 * gradient
        second = 0.98 * second + 0.02 * gradient**2
        weight = weight * (1 - 0.1 * 0.5)
        weight = weight - 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.98**step)).sqrt() + 1e-8)
    torch.testing.assert_close(linear.weight.detach().double(), weight, rtol=1e-5, atol=1e-6)


def test_the_checksum_is_crc32c() -> None:
    """The standard's own example, RFC 3720, B.4: 32 bytes of zeros; TensorBoard stores it turned and shifted."""
    value = 0x8A9136AA
    masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _checksum(bytes(32)) == struct.pack("<I", masked)
    assert zlib.crc32(bytes(32)) != value


def records(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert data[8:12] == _checksum(data[:8]) and data[12 + length : 16 + length] == _checksum(
            data[12 : 12 + length]
        )
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def test_events_are_records_of_numbers(tmp_path: Path) -> None:
    events = EventFile(tmp_path / "run")
    events.rewind(0)
    events.log({"update/loss": 1.5}, 300)
    events.close()
    (path,) = (tmp_path / "run").iterdir()
    version, numbers = records(path)
    assert version.endswith(b"brain.Event:2")
    assert numbers[9:12] == b"\x10\xac\x02", "step 300"
    assert b"update/loss" in numbers and numbers.endswith(struct.pack("<f", 1.5))


@pytest.mark.parametrize(("updates", "first"), [(4, 5), (0, 0)])
def test_what_is_told_again_is_taken_back_before(tmp_path: Path, updates: int, first: int) -> None:
    """TensorBoard forgets an older file's numbers from the step of a session that starts (Event.session_log) on."""
    (tmp_path / "events.out.tfevents.1.here.1").touch()
    events = EventFile(tmp_path)
    events.rewind(updates)
    events.log({"update/loss": 1.5}, 5)
    events.close()
    path = next(path for path in tmp_path.iterdir() if path.stat().st_size)
    version, start, numbers = records(path)
    assert version[9:11] == start[9:11] == bytes([0x10, first]) and start.endswith(b"\x3a\x02\x08\x01")
    assert numbers[9:11] == b"\x10\x05"
