"""Clips cut out of videos: what they hold, where they begin, and what they cannot be."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mmpt.video.cutting import cut_clip
from mmpt.video.errors import VideoError
from mmpt.video.reader import probe
from tests.video.rendering import QUICK_VP9, Track, moving, read, render, shades

GOP = {"g": "20", "keyint_min": "20", "sc_threshold": "0"}  # a key frame every 20 frames, no other
FPS = 10


def look(path: Path) -> tuple[list[str], float, list[float]]:
    """What a clip holds: the kinds of its streams, its first time, and the mean grey of each frame."""
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        frames = [(frame.time, frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)]
    return kinds, frames[0][0], [mean for _, mean in frames]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds with sound; frame k has the grey 16 + 4 k; key frames at 0, 2 and 4 s; pictures in another order."""
    track = Track(shades(range(16, 256, 4)), FPS, options={**GOP, "bf": "2", "qp": "4"})
    return render(tmp_path_factory.mktemp("cut") / "source.mp4", track, audio="aac", audio_seconds=6)


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
def test_a_copy_begins_with_the_key_frame_before(source: Path, tmp_path: Path, suffix: str):
    target = tmp_path / f"clip{suffix}"
    start, end = cut_clip(source, 2.7, 4.3, target)
    assert start == 2.0 and 4.3 <= end <= 4.8
    kinds, first, greys = look(target)
    assert kinds == ["video", "audio"] and abs(first) < 0.1
    assert greys[:20] == pytest.approx([16 + 4 * (20 + k) for k in range(20)], abs=2.5)
    assert len(greys) >= 23  # the frames up to 4.3 s
    assert probe(target).codec == probe(source).codec


def test_a_copy_is_the_very_same_picture(source: Path, tmp_path: Path):
    cut_clip(source, 2, 4, tmp_path / "clip.mkv")
    assert np.array_equal(read(tmp_path / "clip.mkv", FPS)[:20], read(source, FPS)[20:40])


def test_a_part_from_the_very_beginning_to_after_the_end_is_the_whole(source: Path, tmp_path: Path):
    assert cut_clip(source, 0, 100, tmp_path / "all.mp4") == (0.0, pytest.approx(6.0, abs=0.05))
    assert np.array_equal(read(tmp_path / "all.mp4", FPS), read(source, FPS))


@pytest.mark.parametrize("start", [0, 2.7])
def test_what_the_container_cannot_hold_is_encoded_anew_and_exact(source: Path, tmp_path: Path, start: float):
    target = tmp_path / "clip.webm"
    assert cut_clip(source, start, start + 1.5, target) == (start, start + 1.5)
    kinds, first, greys = look(target)
    assert kinds == ["video", "audio"] and abs(first) < 0.02
    assert greys == pytest.approx([16 + 4 * (round(start * FPS) + k) for k in range(15)], abs=4)
    assert probe(target).codec == "vp9"


def test_packets_without_times_are_encoded_anew(tmp_path: Path):
    path = render(tmp_path / "old.avi", Track(shades(range(16, 256, 8)), FPS, codec="mpeg4", options={"g": "100"}))
    assert cut_clip(path, 1, 2, tmp_path / "clip.mp4") == (1.0, 2.0)
    _, first, greys = look(tmp_path / "clip.mp4")
    assert abs(first) < 0.02 and greys == pytest.approx([16 + 8 * (10 + k) for k in range(10)], abs=5)


def test_a_copy_that_would_begin_long_before_its_moment_is_encoded_anew(tmp_path: Path):
    options = {"g": "1000", "keyint_min": "1000", "sc_threshold": "0", "preset": "ultrafast"}
    path = render(tmp_path / "one-key-frame.mp4", Track(shades(k % 200 + 16 for k in range(400)), FPS, options=options))
    assert cut_clip(path, 29, 30, tmp_path / "copied.mp4")[0] == 0
    assert cut_clip(path, 31, 32, tmp_path / "encoded.mp4") == (31, 32)
    greys = look(tmp_path / "encoded.mp4")[2]
    assert greys == pytest.approx([(310 + k) % 200 + 16 for k in range(10)], abs=5)


def test_a_stream_whose_time_begins_late_is_cut_by_the_time_that_viewers_see(tmp_path: Path):
    times = [100 + k / FPS for k in range(60)]
    track = Track(shades(range(16, 256, 4)), FPS, times=times, options={**GOP, "qp": "4"})
    path = render(tmp_path / "late.mkv", track)
    start, _ = cut_clip(path, 4.5, 5, tmp_path / "clip.mkv")
    assert start == pytest.approx(4)
    assert look(tmp_path / "clip.mkv")[2][0] == pytest.approx(16 + 4 * 40, abs=2.5)


def test_mpeg_ts_is_cut_too(tmp_path: Path):
    track = Track(shades(range(16, 256, 4)), FPS, options={**GOP, "qp": "4"})
    path = render(tmp_path / "stream.ts", track, audio="aac", audio_seconds=6)
    start, end = cut_clip(path, 2.5, 3.5, tmp_path / "clip.mp4")
    assert start == pytest.approx(2, abs=0.05) and end >= 3.45
    kinds, first, greys = look(tmp_path / "clip.mp4")
    assert kinds == ["video", "audio"] and abs(first) < 0.1
    assert greys[0] == pytest.approx(16 + 4 * 20, abs=2.5)


def test_a_turned_video_stays_turned(tmp_path: Path):
    path = render(tmp_path / "turned.mov", Track(moving(20), FPS, turn=(90, False, False)))
    cut_clip(path, 0, 1, tmp_path / "copied.mp4")
    cut_clip(path, 0, 1, tmp_path / "encoded.webm")
    for name in ("copied.mp4", "encoded.webm"):
        info = probe(tmp_path / name)
        assert (info.width, info.height) == (48, 64), name


def test_odd_sizes_and_wide_pixels_are_encoded_in_their_shape(tmp_path: Path):
    shape = {"sample_aspect_ratio": Fraction(2)}
    track = Track(moving(10, 65, 49), FPS, pix_fmt="yuv444p", setup=shape)
    path = render(tmp_path / "odd.mkv", track)
    cut_clip(path, 0, 0.5, tmp_path / "clip.webm")
    info = probe(tmp_path / "clip.webm")
    assert (info.width, info.height) == (130, 48)


def test_a_webm_is_copied_into_a_webm(tmp_path: Path):
    path = render(tmp_path / "own.webm", Track(moving(20), FPS, "libvpx-vp9", options={**QUICK_VP9, "g": "10"}))
    assert cut_clip(path, 1.2, 1.8, tmp_path / "clip.webm")[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("start", "end", "name", "told"),
    [
        (3, 3, "clip.mp4", "from 3 to 3"),
        (-1, 3, "clip.mp4", "from -1 to 3"),
        (0, float("inf"), "clip.mp4", "from 0 to inf"),
        (0, 1, "clip.gif", "no kind of file"),
        (7, 9, "clip.mp4", "ends"),
        (7, 9, "clip.webm", "ends"),
    ],
)
def test_what_cannot_be_cut_leaves_nothing(
    source: Path, tmp_path: Path, start: float, end: float, name: str, told: str
):
    with pytest.raises(ValueError, match=told):
        cut_clip(source, start, end, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_clip_does_not_take_the_place_of_its_video(source: Path, tmp_path: Path):
    path = tmp_path / "video.mp4"
    path.write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match="take the place"):
        cut_clip(path, 0, 1, path)
    assert path.read_bytes() == source.read_bytes()


def test_what_is_no_video_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no video at"):
        cut_clip(tmp_path / "absent.mp4", 0, 1, tmp_path / "clip.mp4")
    (tmp_path / "words.mp4").write_text("no video, only words")
    with pytest.raises(VideoError, match=r"words\.mp4"):
        cut_clip(tmp_path / "words.mp4", 0, 1, tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["words.mp4"]


def test_an_older_clip_stays_when_the_new_one_fails(source: Path, tmp_path: Path):
    target = tmp_path / "clip.mp4"
    target.write_bytes(b"kept")
    with pytest.raises(VideoError):
        cut_clip(source, 50, 60, target)
    assert target.read_bytes() == b"kept"


def test_real_videos_give_clips_that_play(real_videos: Path, tmp_path: Path):
    for path in sorted(real_videos.iterdir()):
        if path.name == "corrupted.mp4":  # the copy is as damaged as the original
            continue
        seconds = probe(path).duration or 3
        want = seconds * 0.6, seconds * 0.9
        start, end = cut_clip(path, *want, tmp_path / "clip.mkv")
        assert start <= want[0] and end >= want[1] - 0.2, path
        _, first, greys = look(tmp_path / "clip.mkv")
        assert abs(first) < 0.1 and len(greys) > 1, path
        info, was = probe(tmp_path / "clip.mkv"), probe(path)
        assert (info.width, info.height) == (was.width, was.height), path
