"""One frame of a video as a JPEG: the right one, upright, also where seeking is no help."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmpt.video.errors import VideoError
from mmpt.video.thumbnails import thumbnail
from tests.video.rendering import Track, lossless, render, shades


def picture(jpeg: bytes) -> np.ndarray:
    """A JPEG as others decode it: uint8 (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def shade(path: Path, second: float) -> int:
    """The grey of the frame at a second."""
    return round(picture(thumbnail(path, second, 64)).mean())


@pytest.fixture(scope="module")
def fives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of five frames each, a key frame every two seconds; frame k has the grey 20 + 8 k."""
    track = Track(shades(range(20, 220, 8)), fps=5, options={"g": "10", "bf": "2", "sc_threshold": "0"})
    return render(tmp_path_factory.mktemp("fives") / "fives.mp4", track)


@pytest.mark.parametrize("second", [0, 0.05, 0.1, 1.9, 2.0, 3.35, 4.9])
def test_the_frame_is_the_one_that_is_shown_then(fives: Path, second: float):
    assert shade(fives, second) == pytest.approx(20 + 8 * int(second * 5 + 1e-9), abs=3)


def test_after_the_end_the_last_frame_is_drawn(fives: Path):
    assert shade(fives, 5) == shade(fives, 3600) == pytest.approx(212, abs=3)


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".avi", ".flv"])
def test_every_container_gives_the_same_frames(tmp_path: Path, suffix: str):
    track = Track(shades(range(20, 220, 8)), fps=5, options={"g": "10", "bf": "0", "sc_threshold": "0"})
    path = render(tmp_path / f"other{suffix}", track)
    assert [shade(path, second) for second in (0, 2.5, 4.9)] == pytest.approx([20, 116, 212], abs=3)


def test_time_begins_with_the_first_frame(tmp_path: Path):
    times = [7 + k / 10 for k in range(20)]
    path = render(tmp_path / "late.mkv", lossless(shades(range(20, 120, 5)), 10, times=times))
    assert [shade(path, 0), shade(path, 1.5)] == pytest.approx([20, 95], abs=1.5)


def test_turned_video_is_drawn_upright(tmp_path: Path):
    left_bright = np.zeros((48, 64, 3), np.uint8)
    left_bright[:, :32] = 250
    path = render(tmp_path / "turned.mov", lossless([left_bright] * 3, mov=True, turn=(90, False, False)))
    drawn = picture(thumbnail(path, 0, 48))
    assert drawn.shape == (64, 48, 3)
    assert drawn[:16].mean() < 20 and drawn[-16:].mean() > 230  # turned counter-clockwise: what was left is below


def test_the_picture_has_the_shape_that_the_video_is_shown_in(tmp_path: Path):
    path = render(tmp_path / "wide.mp4", Track(shades([99] * 3), setup={"sample_aspect_ratio": Fraction(2)}))
    assert picture(thumbnail(path, 0, 320)).shape == (120, 320, 3)  # 64 x 48 pixels, each twice as wide as high


def test_a_very_tall_video_does_not_become_a_very_tall_picture(tmp_path: Path):
    path = render(tmp_path / "tall.mkv", lossless(shades([99] * 2, width=4, height=400)))
    assert picture(thumbnail(path, 0, 100)).shape == (400, 4, 3)


def test_colours_are_those_of_the_video(tmp_path: Path):
    colour = np.full((48, 64, 3), (200, 60, 30), np.uint8)
    path = render(tmp_path / "red.mkv", lossless([colour] * 2))
    assert picture(thumbnail(path, 0)).mean(axis=(0, 1)) == pytest.approx((200, 60, 30), abs=4)


def test_a_video_that_is_cut_off_gives_the_last_frame_that_is_there(tmp_path: Path):
    path = render(tmp_path / "long.mkv", lossless(shades(range(20, 220, 4)), 10))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    assert 100 < shade(path, 4.9) < 180


@pytest.mark.parametrize(
    ("second", "width", "told"),
    [
        (-1, 320, "second is -1"),
        (float("nan"), 320, "second is nan"),
        (0, 15, "width is 15"),
        (0, 9999, "width is 9999"),
    ],
)
def test_numbers_out_of_range_are_refused(fives: Path, second: float, width: int, told: str):
    with pytest.raises(ValueError, match=told):
        thumbnail(fives, second, width)


def test_what_is_no_video_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no video at"):
        thumbnail(tmp_path / "absent.mp4", 0)
    (tmp_path / "words.mp4").write_text("no video, only words")
    with pytest.raises(VideoError, match=r"words\.mp4"):
        thumbnail(tmp_path / "words.mp4", 0)


def test_real_videos_have_pictures_all_along(real_videos: Path):
    for path in sorted(real_videos.iterdir()):
        for second in (0, 1, 3, 1000):
            drawn = picture(thumbnail(path, second, 160))
            assert (drawn.shape[1] == 160 and drawn.std() > 1) or path.name == "unordered.mov", (path, second)
