"""Being asked to stop."""

import signal
import time
from collections.abc import Iterator

import pytest

from mmpt.training import signals
from mmpt.training.signals import Stop
from tests.processes import restore_signals


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    restore_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_same_wish_told_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM signals every process, and torchrun passes on to its processes what it was told itself."""
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.asked and stop.code == 128 + signal.SIGTERM
        monkeypatch.setattr(signals, "ECHO", 0.0)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
