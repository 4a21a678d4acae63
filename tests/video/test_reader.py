"""What read_frames gives: the right pixels of the right moment, upright and cropped, in memory that stays flat."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmpt.video import reader
from mmpt.video.errors import VideoDamageWarning
from mmpt.video.reader import probe, read_frames, read_seconds
from tests.video.rendering import QUICK_VP9, QUIET_HEVC, Track, lossless, moving, read, render, shades

REAL = sorted(json.loads((Path(__file__).parent / "ffmpeg_digests.json").read_text())["videos"])


def greys(path: Path, fps: float = 30, **more: float) -> list[int]:
    """One value a frame, for clips of plain grey pictures."""
    frames = read(path, fps, 16, **more)
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


# --- which frame stands for which moment ------------------------------------------------------------------------------


def on_the_grid(times: list[Fraction], end: Fraction, fps: Fraction) -> list[int]:
    """The rule of ffmpeg's fps filter in plain words: a place shows the last frame that rounds to it or earlier."""
    places = [math.floor(time * fps + Fraction(1, 2)) for time in times]
    count = math.floor(end * fps + Fraction(1, 2))
    return [max(k for k, place in enumerate(places) if place <= j) for j in range(count)]


@pytest.mark.parametrize("rate", [5, 19.62, 24, 25, 30, 60, 119.88])
@pytest.mark.parametrize("fps", [30, 7.5, 25])
def test_frames_are_repeated_or_left_out(tmp_path: Path, rate: float, fps: float) -> None:
    path = render(tmp_path / "clip.mov", lossless(shades(range(10, 130, 2)), rate, mov=True))
    exact = Fraction(rate).limit_denominator(1001)
    expected = on_the_grid([k / exact for k in range(60)], 60 / exact, Fraction(fps))
    assert [round((value - 10) / 2) for value in greys(path, fps)] == expected


def test_five_frames_a_second_become_six_of_each(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades([10, 20, 30]), 5))
    assert greys(path) == [10] * 6 + [20] * 6 + [30] * 6


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    times = [0, 0.1, 0.5, 0.6, 1.9]
    path = render(tmp_path / "clip.mkv", lossless(shades([10, 20, 30, 40, 50]), 10, times=times))
    assert greys(path, 10)[:19] == [10] + [20] * 4 + [30] + [40] * 13


def test_frames_in_another_order_in_the_file(tmp_path: Path) -> None:
    track = Track(shades(range(20, 220, 5)), options={"bf": "3", "qp": "0"}, pix_fmt="yuv444p")
    frames = read(render(tmp_path / "clip.mov", track), 25, 16)[:, 0, 0, 0].astype(int)
    assert len(frames) == 40
    assert np.abs(frames - range(20, 220, 5)).max() <= 2


def test_video_that_begins_after_the_sound_shows_its_first_frame_from_the_start(tmp_path: Path) -> None:
    track = lossless(shades([10, 20, 30]), 10, times=[0.5, 0.6, 0.7])
    path = render(tmp_path / "clip.mkv", track, audio="mp2", audio_seconds=1)
    assert greys(path, 10)[:8] == [10] * 6 + [20, 30]


def test_video_alone_begins_with_its_first_frame(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades([10, 20, 30]), 10, times=[0.5, 0.6, 0.7]))
    assert greys(path, 10) == [10, 20, 30]


def test_file_without_timestamps(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.h264", Track(shades(range(20, 220, 5)), options={"bf": "3"}))
    frames = read(path, 25, 16)[:, 0, 0, 0].astype(int)
    assert len(frames) == 40
    assert np.abs(frames - range(20, 220, 5)).max() <= 6
    assert probe(path).duration is None
    assert np.array_equal(read(path, 25, 16, start=1.2), read(path, 25, 16)[30:])


def test_clip_shorter_than_half_a_frame_still_has_one(tmp_path: Path) -> None:
    assert greys(render(tmp_path / "clip.mkv", lossless(shades([70]), 100))) == [70]


# --- which pixels -----------------------------------------------------------------------------------------------------


def test_largest_stream_is_the_video(tmp_path: Path) -> None:
    small, large = shades([40] * 10, 32, 32), shades([200] * 10, 64, 64)
    path = render(tmp_path / "clip.mkv", lossless(small), lossless(large), audio="mp2")
    assert set(greys(path)) == {200}
    assert probe(path).width == 64


def test_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    cover = Track(shades([250], 128, 128), codec="mjpeg", pix_fmt="yuvj420p", cover=True)
    path = render(tmp_path / "clip.mp4", Track(shades([60] * 10, 32, 32)), cover)
    assert np.abs(read(path, 25, 16).astype(int) - 60).max() <= 3
    assert probe(path).width == 32


QUARTER_TURNS = {0: 0, 90: 1, 180: 2, 270: 3}  # degrees counter-clockwise -> numpy's quarter turns


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", QUARTER_TURNS)
def test_picture_is_made_upright(tmp_path: Path, degrees: int, flip: bool) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30] = 250, 0, 0
    picture[20:, :30] = 0, 250, 0
    path = render(tmp_path / "clip.mov", lossless([picture] * 3, turn=(degrees, flip, False), mov=True))
    upright = np.rot90(picture, QUARTER_TURNS[degrees])
    upright = upright[:, ::-1] if flip else upright
    frame = read(path, 25, 40)[0]
    middle = upright[(upright.shape[0] - 40) // 2 :, (upright.shape[1] - 40) // 2 :][:40, :40]
    assert np.array_equal(frame, middle)
    info = probe(path)
    assert (info.height, info.width) == upright.shape[:2]


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(426, 240, 224), (51, 67, 32), (20, 12, 64), (300, 40, 40), (32, 32, 32), (9, 400, 16)],
)
def test_shorter_side_is_scaled_and_the_middle_cut_out(tmp_path: Path, width: int, height: int, size: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, width // 2 :] = 255
    picture[height // 2 :] //= 2
    frames = read(render(tmp_path / "clip.mkv", lossless([picture] * 2)), 25, size)
    assert frames.shape == (2, size, size, 3)
    quarter, middle = size // 4, size // 2
    assert frames[0, quarter, quarter, 0] == 0
    assert frames[0, quarter, quarter + middle, 0] == 255
    assert frames[0, quarter + middle, quarter + middle, 0] == 127


@pytest.mark.parametrize(
    "track",
    [
        Track(shades([0, 255] * 5), pix_fmt="yuvj420p", setup={"color_range": 2}),
        Track(shades([0, 255] * 5), pix_fmt="yuv420p10le"),
        Track(shades([0, 255] * 5), codec="mjpeg", pix_fmt="yuvj420p"),
        Track(shades([0, 255] * 5), codec="libx265", options=QUIET_HEVC),
    ],
    ids=["full range", "ten bits", "motion jpeg", "h265"],
)
def test_black_is_black_and_white_is_white(tmp_path: Path, track: Track) -> None:
    frames = read(render(tmp_path / "clip.mkv", track), 25, 16).astype(int)
    assert len(frames) == 10
    assert frames[::2].max() <= 4
    assert frames[1::2].min() >= 250


def test_av1_and_a_file_without_a_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "0")
    track = Track(shades([60] * 10, 64, 64), codec="libsvtav1", options={"preset": "12"})
    path = render(tmp_path / "clip.mkv", track, live="1")  # a live file is written without its length
    info = probe(path)
    assert (info.codec, info.duration, info.frames) == ("av1", None, None)
    assert np.abs(read(path, 25, 16).astype(int) - 60).max() <= 3


@pytest.mark.parametrize("later", [0, 1000])
def test_recordings_joined_end_to_end(tmp_path: Path, later: int) -> None:
    """Timestamps begin anew in the second part, or jump ahead, and its pictures have another size."""
    times = [later + k / 25 for k in range(50)]
    first = render(tmp_path / "a.ts", Track(shades([60] * 50, 64, 48), options={"bf": "0"}))
    second = render(tmp_path / "b.ts", Track(shades([180] * 50, 96, 96), options={"bf": "0"}, times=times))
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.warns(VideoDamageWarning, match=r"is damaged from second 1\.\d\d on \(parts of the file") as caught:
        frames = read(path, 25, 16).astype(int)
    assert "lost" not in str(caught[0].message)
    assert len(frames) == 100
    assert np.abs(frames[:45] - 60).max() <= 3
    assert np.abs(frames[55:] - 180).max() <= 3


# --- chunks, seconds, parts -------------------------------------------------------------------------------------------


def test_chunks_are_seconds_and_arrays_of_their_own(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades(range(10, 110)), 40))
    chunks = list(read_frames(path, 40, 16))
    assert [chunk.shape for chunk in chunks] == [(40, 16, 16, 3), (40, 16, 16, 3), (20, 16, 16, 3)]
    assert all(chunk.dtype == np.uint8 for chunk in chunks)
    kept = chunks[0].copy()
    chunks[1][:] = 0
    chunks[2][:] = 0
    assert np.array_equal(chunks[0], kept)
    assert [len(chunk) for chunk in read_frames(path, 40, 16, chunk_seconds=0.75)] == [30, 30, 30, 10]
    assert [len(chunk) for chunk in read_frames(path, 29.97, 16)] == [30, 30, 15]


def test_every_started_second_is_whole_and_the_rest_black(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades([90] * 23), 10))
    blocks = list(read_seconds(path, 10, 16))
    assert [block.shape for block in blocks] == [(10, 16, 16, 3)] * 3
    assert (blocks[2][:3] == 90).all()
    assert not blocks[2][3:].any()
    assert len(list(read_seconds(path, 10, 16, start=0.5))) == 2
    assert len(list(read_seconds(path, 10, 16, start=1, end=2))) == 1
    with pytest.raises(ValueError, match=r"fps is 29\.97.*whole number"):
        read_seconds(path, 29.97)  # pyright: ignore[reportArgumentType]


GROUPS = {"g": "12", "bf": "3"}  # many key frames and frames out of order, so that seeking matters
PARTS: dict[str, Callable[[Path], Path]] = {
    "clip.mp4": lambda path: render(path, Track(moving(150), options=GROUPS), audio="aac", audio_seconds=6),
    "open.mkv": lambda path: render(
        path, Track(moving(150), options={"x264-params": "open-gop=1:keyint=15:bframes=3"})
    ),
    "clip.avi": lambda path: render(
        path, Track(moving(150), codec="mpeg4", options={"bf": "2", "g": "20"}), audio="mp2"
    ),
    "clip.webm": lambda path: render(path, Track(moving(150), codec="libvpx-vp9", options={**QUICK_VP9, "g": "30"})),
    "one_group.mp4": lambda path: render(path, Track(moving(150), fps=24, options={"g": "500"})),
    "refresh.mkv": lambda path: render(path, Track(moving(150), options={"x264-params": "intra-refresh=1:keyint=20"})),
    "stream.ts": lambda path: render(path, Track(moving(150), options=GROUPS), audio="mp2", audio_seconds=6),
}


@pytest.fixture(scope="module", params=PARTS)
def clip_and_frames(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray]:
    path = PARTS[request.param](tmp_path_factory.mktemp("parts") / request.param)
    return path, read(path, 30, 16)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.floats(0, 7), length=st.floats(0.01, 7), always_seek=st.booleans(), whole=st.booleans())
def test_a_part_is_the_same_as_that_time_of_the_whole(
    clip_and_frames: tuple[Path, np.ndarray], start: float, length: float, always_seek: bool, whole: bool
) -> None:
    path, full = clip_and_frames
    start = float(int(start)) if whole else start
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "SEEK_FROM", 0.0 if always_seek else reader.SEEK_FROM)
        part = read(path, 30, 16, start, start + length)
    assert np.array_equal(part, full[math.ceil(start * 30 - 1e-6) : math.ceil((start + length) * 30 - 1e-6)])


@pytest.mark.filterwarnings("ignore::mmpt.video.errors.VideoDamageWarning")
@pytest.mark.parametrize("name", [name for name in REAL if name != "corrupted.mp4"])
def test_part_of_a_real_video(real_videos: Path, name: str) -> None:
    full = read(real_videos / name)
    for start in (0.05, 0.4 * len(full) / 30, len(full) / 30 - 0.2):
        if start > 0:
            assert np.array_equal(read(real_videos / name, start=start), full[math.ceil(start * 30 - 1e-6) :])


def test_past_the_end_nothing_is_given(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mp4", Track(moving(50)))
    assert list(read_frames(path, start=2)) == []
    assert list(read_frames(path, start=500)) == []
    assert len(read(path, start=1.5, end=500)) == 15


def test_seeking_begins_at_the_key_frame_before(tmp_path: Path) -> None:
    from mmpt.video.damage import DamageLog
    from mmpt.video.decoder import VideoDecoder

    path = render(tmp_path / "clip.mp4", Track(moving(250), options={"g": "25"}))
    with VideoDecoder(path, Fraction(25), DamageLog(path, 0)) as video:
        next(video.frames())
        assert [tick for tick, _ in video.frames_around(210)] == list(range(200, 250))


# --- memory and threads -----------------------------------------------------------------------------------------------

MEASURE = """
import resource, sys
from mmpt.video.reader import read_frames
frames = sum(len(chunk) for chunk in read_frames(sys.argv[1], 30, 64))
print(frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """The long clip's frames are 220 MB; held all together, or leaked, they would show."""
    pictures = moving(25)
    used = []
    for seconds in (20, 600):
        path = render(
            tmp_path / f"{seconds}.mp4", Track(pictures * (seconds // 5), fps=5, options={"preset": "ultrafast"})
        )
        run = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
        frames, kilobytes = map(int, run.stdout.split())
        assert frames == 30 * seconds
        used.append(kilobytes)
    assert used[1] - used[0] < 30_000


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system has no /proc to count open files in")
def test_leaving_early_closes_the_file(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mp4", Track(moving(100)))
    chunks = read_frames(path, 30, 16)
    next(chunks)
    assert any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())
    chunks.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())


def test_two_readers_do_not_disturb_each_other(tmp_path: Path) -> None:
    first = render(tmp_path / "a.mp4", Track(moving(60)))
    second = render(tmp_path / "b.mp4", Track(moving(60)[::-1]))
    pairs = list(zip(read_frames(first, 30, 32), read_frames(second, 30, 32), strict=True))
    assert np.array_equal(np.concatenate([a for a, _ in pairs]), read(first))
    assert np.array_equal(np.concatenate([b for _, b in pairs]), read(second))


# --- what a file says of itself ---------------------------------------------------------------------------------------


def test_probe(tmp_path: Path) -> None:
    track = Track(moving(50, 96, 64), fps=12.5, turn=(90, False, False))
    info = probe(render(tmp_path / "clip.mp4", track))
    assert info == reader.VideoInfo(duration=4.0, width=64, height=96, fps=12.5, frames=50, codec="h264", rotation=90)


def test_probe_of_real_videos(real_videos: Path) -> None:
    turned = probe(real_videos / "video_90.mov")
    assert (turned.width, turned.height, turned.rotation) == (320, 568, -90)
    odd = probe(str(real_videos / "v_GGSY1Qvo990.mp4"))
    assert (odd.fps, odd.codec, odd.width, odd.height) == (19.62, "h264", 320, 240)
    best = probe(real_videos / "nasa_13013.mp4")
    assert (best.width, best.height) == (480, 270)
