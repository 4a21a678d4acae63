"""The pixels are those of the ffmpeg command that the published features were made with."""

import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmpt.video.reader import probe, read_frames
from tests.video.rendering import QUICK_VP9, QUIET_HEVC, Track, moving, read, render

DIGESTS = json.loads((Path(__file__).parent / "ffmpeg_digests.json").read_text())  # of its output for the real videos
REAL = sorted(DIGESTS["videos"])


LEAD_IN = ("sound_first.mkv", "lead_in.webm")  # the sound begins some milliseconds before 0, with its codec's lead-in


def major_version() -> int:
    """The first number of the installed ffmpeg's version; 0 for a build that is named otherwise."""
    if shutil.which("ffmpeg") is None:
        return 0
    words = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()
    number = words[2].lstrip("n").split(".")[0]
    return int(number) if number.isdigit() else 0


def by_ffmpeg(path: Path, fps: float = 30, size: int = 224) -> np.ndarray:
    """The ffmpeg command that the published features were made with, with explicit numbers for the upright picture."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("the ffmpeg command is not installed (on Debian: apt-get install ffmpeg); nothing to compare with")
    info = probe(path)
    shorter = min(info.width, info.height)
    width, height = int(info.width * size / shorter), int(info.height * size / shorter)
    x, y = int((width - size) / 2), int((height - size) / 2)
    filters = f"fps=fps={fps},scale={width}:{height},crop={size}:{size}:{x}:{y}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-filter:v", filters]
    raw = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"], stdout=subprocess.PIPE, check=False
    )
    return np.frombuffer(raw.stdout, np.uint8).reshape(-1, size, size, 3)


@pytest.mark.filterwarnings("ignore::mmpt.video.errors.VideoDamageWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_video_has_the_recorded_pixels(real_videos: Path, name: str) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("libswscale's rounding differs between processors; the digests were recorded on x86-64")
    digests = [hashlib.sha256(chunk.tobytes()).hexdigest()[:16] for chunk in read_frames(real_videos / name)]
    expected = DIGESTS["videos"][name]
    assert len(digests) == len(expected)
    intact = 2 if name == "corrupted.mp4" else len(expected)  # what is made up after damage depends on the threads
    assert digests[:intact] == expected[:intact]


@pytest.mark.filterwarnings("ignore::mmpt.video.errors.VideoDamageWarning")
@pytest.mark.parametrize("name", ["corrupted.mp4", "test.avi", "v_GGSY1Qvo990.mp4", "video_90.mov", "nasa_13013.mp4"])
def test_real_video_equals_ffmpeg(real_videos: Path, name: str) -> None:
    expected = by_ffmpeg(real_videos / name)
    frames = np.concatenate(list(read_frames(real_videos / name)))
    intact = 84 if name == "corrupted.mp4" else len(frames)  # what is made up after damage depends on the threads
    assert np.array_equal(frames[:intact], expected[:intact])
    # Newer versions of ffmpeg hold the last frame longer where an edit list cuts it short.
    assert 0 <= len(expected) - len(frames) <= (2 if name == "v_GGSY1Qvo990.mp4" else 0)


RENDERED: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": lambda path: render(path, Track(moving(40))),
    "b_frames.avi": lambda path: render(path, Track(moving(40), codec="mpeg4", options={"bf": "2"}), audio="mp2"),
    "sound_first.mkv": lambda path: render(
        path, Track(moving(40), times=[0.7 + k / 25 for k in range(40)]), audio="mp2", audio_seconds=2
    ),
    "lead_in.webm": lambda path: render(
        path, Track(moving(40), codec="libvpx-vp9", options=QUICK_VP9), audio="libopus"
    ),
    "stream.ts": lambda path: render(path, Track(moving(40)), audio="mp2"),
    "old.mpg": lambda path: render(path, Track(moving(40), codec="mpeg2video"), audio="mp2"),
    "h265.mp4": lambda path: render(path, Track(moving(20), codec="libx265", options=QUIET_HEVC)),
    "ten_bits.mp4": lambda path: render(path, Track(moving(20), pix_fmt="yuv420p10le")),
    "full_range.mp4": lambda path: render(path, Track(moving(20), pix_fmt="yuvj420p", setup={"color_range": 2})),
    "bt709.mkv": lambda path: render(path, Track(moving(20), setup={"colorspace": 1, "color_range": 1})),
    "odd_sides.mp4": lambda path: render(path, Track(moving(20, 51, 67), pix_fmt="yuv444p")),
    "portrait.mp4": lambda path: render(path, Track(moving(20, 36, 90))),
    "slow.mp4": lambda path: render(path, Track(moving(9), fps=5)),
    "odd_rate.mp4": lambda path: render(path, Track(moving(41), fps=19.62)),
    "fast.mp4": lambda path: render(path, Track(moving(61), fps=60)),
    "uneven.mkv": lambda path: render(path, Track(moving(40), times=[k / 25 + 0.3 * (k > 20) for k in range(40)])),
    "turned.mp4": lambda path: render(path, Track(moving(4, 60, 40), turn=(90, False, False))),
    "mirrored.mov": lambda path: render(path, Track(moving(4, 60, 40), turn=(270, True, False))),
    "askew.mp4": lambda path: render(path, Track(moving(4, 60, 40), turn=(30, False, False))),
    "two.mp4": lambda path: render(path, Track(moving(20, 32, 32)), Track(moving(20, 64, 64))),
}


@pytest.mark.parametrize("name", RENDERED)
def test_rendered_clip_equals_ffmpeg(tmp_path: Path, name: str) -> None:
    if name in LEAD_IN and major_version() > 5:
        pytest.skip("this ffmpeg may leave the lead-in out of where time begins (5.1 counts it, 9.0 does not)")
    path = RENDERED[name](tmp_path / name)
    for fps, size in ((30, 32), (12.5, 80)):
        expected = by_ffmpeg(path, fps, size)
        assert len(expected) > 0
        assert np.array_equal(read(path, fps, size), expected)
