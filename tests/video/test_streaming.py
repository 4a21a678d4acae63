"""Decoding ahead, and batches across videos."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from mmpt.video.streaming import AHEAD, Meter, Rows, stream
from tests.video.backbones import FPS, SIZE, Colours


class Made:
    """A video of given greys, a second each; a text is what cannot be read."""

    def __init__(self, *greys: int | str) -> None:
        self.greys = greys
        self.read = 0

    def seconds(self, on_damage: Callable[[str], None]) -> Iterator[np.ndarray]:
        for grey in self.greys:
            if isinstance(grey, str):
                raise ValueError(grey)
            self.read += 1
            yield np.full((FPS, SIZE, SIZE, 3), grey, np.uint8)
        if len(self.greys) == 1:
            on_damage("short")


def run(sources, backbone: Colours, **more) -> list[Rows]:
    return [rows for rows in stream(sources, backbone, l2_normalize=False, **more) if rows.finished]


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_batches_run_across_videos_and_change_nothing(batch: int) -> None:
    videos = [Made(10, 20, 30), Made(40), Made(), Made(50, 60, 70, 80), Made(90)]
    backbone = Colours(batch_seconds=batch)
    found = run(videos, backbone)
    assert len(found) == len(videos) and {rows.source for rows in found} == set(videos)
    for rows in found:
        assert rows.array(4)[:, 0].tolist() == list(rows.source.greys) and rows.error is None
        assert rows.damage == (["short"] if len(rows.source.greys) == 1 else [])
    assert backbone.asked == [batch] * (9 // batch) + [9 % batch] * (9 % batch > 0)


def test_a_video_that_cannot_be_read_harms_no_other() -> None:
    videos = [Made(10, "broken off"), Made("no video"), Made(20, 30)]
    found = {rows.source: rows for rows in run(videos, Colours(batch_seconds=3))}
    assert [str(found[video].error) for video in videos] == ["broken off", "no video", "None"]
    assert found[videos[2]].array(4)[:, 0].tolist() == [20, 30]


def test_no_more_is_read_ahead_than_the_queue_holds() -> None:
    video = Made(*[7] * 1000)
    states = stream([video], Colours(batch_seconds=1), l2_normalize=False)
    next(states)
    assert video.read <= AHEAD + 3  # one computed, one in the reader's hand, one in the backbone's
    states.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "mmpt-decoding"]


def test_a_part_of_a_batch_does_not_wait_for_a_video_that_is_not_there_yet() -> None:
    order: list[object] = []
    computed = threading.Event()

    def sources() -> Iterator[Made | None]:
        yield Made(10)
        yield None
        order.append(computed.wait(10))
        yield Made(20)

    for rows in stream(sources(), Colours(batch_seconds=50), l2_normalize=False):
        if rows.finished:
            order.append(int(rows.array(4)[0, 0]))
            computed.set()
    assert order == [10, True, 20]


def test_what_goes_wrong_elsewhere_ends_the_stream() -> None:
    def sources() -> Iterator[Made]:
        yield Made(10)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        run(sources(), Colours())

    class Broken(Colours):
        def __call__(self, frames):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run([Made(*[1] * 100)], Broken())
    assert not [thread for thread in threading.enumerate() if thread.name == "mmpt-decoding"]


class Late(Made):
    """Seconds that each take a while to read."""

    def seconds(self, on_damage: Callable[[str], None]) -> Iterator[np.ndarray]:
        for second in super().seconds(on_damage):
            time.sleep(0.03)
            yield second


class Heavy(Colours):
    """Seconds that each take a while to compute."""

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        time.sleep(0.03)
        return super().__call__(frames)


def test_a_backbone_that_waits_for_frames_is_seen_to_wait() -> None:
    meter = Meter()
    run([Late(*[10] * 12)], Colours(batch_seconds=1), meter=meter)
    assert meter.starting >= 0.03 and meter.waiting > 0.2 and meter.waiting > meter.computing


def test_a_backbone_that_never_waits_is_seen_not_to() -> None:
    meter = Meter()
    run([Made(*[10] * 12)], Heavy(batch_seconds=1), meter=meter)
    assert meter.computing >= 12 * 0.03 and meter.waiting < meter.computing / 3


def test_the_time_of_several_streams_adds_up() -> None:
    total = Meter(1, 2, 3)
    total.add(Meter(0.5, 0.25, 0.125))
    assert total == Meter(1.5, 2.25, 3.125)
