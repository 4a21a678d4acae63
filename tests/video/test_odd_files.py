"""Whatever a library raises over one video is that video's failure, and nothing else is."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmpt.video.cutting import cut_clip
from mmpt.video.errors import VideoError
from mmpt.video.features import extract
from mmpt.video.reader import probe, read_frames, read_seconds
from mmpt.video.thumbnails import thumbnail
from tests.video.backbones import Slow
from tests.video.rendering import Track, moving, render

FAULTS: list[tuple[BaseException, str]] = [
    (IndexError("list index out of range"), "IndexError: list index out of range"),
    (UnicodeDecodeError("utf-8", b"\x8c", 0, 1, "invalid start byte"), "UnicodeDecodeError: .* invalid start byte"),
    (OverflowError("value too large to convert to int"), "OverflowError: value too large"),
    (ZeroDivisionError(), r"\(ZeroDivisionError\)"),
    (AssertionError(), r"\(AssertionError\)"),
    (RecursionError("too deep"), "RecursionError: too deep"),
    (MemoryError(), r"takes more memory than there is \(MemoryError\)"),
    (OSError(errno.EIO, "Input/output error"), "OSError: Input/output error"),
]
WAYS_IN: dict[str, Callable[[Path], Any]] = {
    "frames": lambda path: list(read_frames(path, 5, 16)),
    "seconds": lambda path: list(read_seconds(path, 5, 16)),
    "probe": probe,
    "thumbnail": lambda path: thumbnail(path, 1),
    "clip": lambda path: cut_clip(path, 0, 1, path.with_name("clip.mkv")),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("odd") / "odd.mkv", Track(moving(50, 96, 64)))


def break_decoding(monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr({"opened": "av.open", "decoded": "mmpt.video.decoder.VideoDecoder.frames"}[place], fail)


@pytest.mark.parametrize("place", ["opened", "decoded"])
@pytest.mark.parametrize(("error", "told"), FAULTS, ids=lambda value: type(value).__name__)
def test_any_exception_is_told_with_the_file_and_its_class(
    video: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: BaseException, told: str
) -> None:
    if place == "opened" and isinstance(error, OSError):
        told = "cannot be opened"  # what a user can mend is told in more words
    break_decoding(monkeypatch, place, error)
    monkeypatch.setattr("mmpt.video.cutting._copy", lambda *_: 1 / 0)  # copying decodes nothing
    for name, way_in in WAYS_IN.items():
        with pytest.raises(VideoError, match=told) as caught:
            way_in(video)
        assert str(video) in str(caught.value), name
    assert not video.with_name("clip.mkv").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_program_is_heard(
    video: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    break_decoding(monkeypatch, "decoded", stop())
    for way_in in WAYS_IN.values():
        with pytest.raises(stop):
            monkeypatch.setattr("mmpt.video.cutting._copy", lambda *_: 1 / 0)
            way_in(video)


def test_a_fault_of_the_backbone_is_no_fault_of_the_video(video: Path) -> None:
    class Faulty(Slow):
        def __call__(self, frames: Any) -> Any:
            raise IndexError("our own")

    with pytest.raises(IndexError, match="our own"):
        extract(video, Faulty())


def test_a_fault_of_who_takes_the_frames_is_no_fault_of_the_video(video: Path) -> None:
    def take() -> None:
        for _ in read_frames(video, 5, 16):
            raise IndexError("our own")

    with pytest.raises(IndexError, match="our own"):
        take()


def test_what_cannot_be_copied_for_whatever_reason_is_encoded(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr("mmpt.video.cutting._copy", fail)
    assert cut_clip(video, 0.5, 1, video.with_name("part.mkv")) == (0.5, 1)


def test_a_file_that_may_not_be_read_says_so(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by hand: the tests may run as a user who may read everything."""
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(VideoError, match=r"odd\.mkv may not be read by this user .*; change its permissions"):
        probe(video)
