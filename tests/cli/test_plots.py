"""The plot shows every curve, its best moment, and the video below, for videos of any length."""

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from mmpt.cli.plots import COLOURS, _draw, plot_curves, thumbnails
from mmpt.video.decoder import VideoDecoder
from tests.video.rendering import Track, lossless, moving, render, shades


def pixels(path: Path) -> np.ndarray:
    return np.rint(imread(path)[..., :3] * 255).astype(int)


def columns_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The columns in which a colour is found."""
    return np.flatnonzero((np.abs(picture - colour).max(axis=-1) <= 2).any(axis=0))


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def curves(count: int, seconds: int) -> dict[str, np.ndarray]:
    """Waves that do not cover one another."""
    time = np.linspace(0, 6, seconds)
    return {f"sentence {k}": 3 * k + np.sin(time + k) for k in range(count)}


@pytest.mark.parametrize(("count", "seconds"), [(1, 1), (2, 2), (6, 35), (3, 7200), (8, 90)])
def test_every_curve_is_drawn(tmp_path: Path, count: int, seconds: int) -> None:
    target = tmp_path / "new folder" / "plot.png"
    plot_curves(target, curves(count, seconds), moving(8), seconds, "clip.mp4")
    picture = pixels(target)
    assert 600 < picture.shape[1] < 2000
    for colour in COLOURS[:count]:
        assert len(columns_of(picture, rgb(colour))) >= 5
    assert [path.name for path in target.parent.iterdir()] == ["plot.png"]


def test_strip_is_aligned_with_the_time_axis(tmp_path: Path) -> None:
    strip = [np.full((8, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255))]
    plot_curves(tmp_path / "plot.png", {"flat": np.full(4, 1.0)}, strip, 4, "clip")
    picture = pixels(tmp_path / "plot.png")
    reach = columns_of(picture, rgb(COLOURS[0]))[-1]  # the curve's last point, at 3.5 s, and its dot
    parts = [columns_of(picture, colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 255))]
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(parts))
    assert parts[3][0] < reach < parts[3][-1]
    assert abs(reach - parts[3].mean()) < 15


def test_best_moment_is_marked(tmp_path: Path) -> None:
    curve = np.zeros(100)
    curve[75] = 5
    figure = _draw({"a jump": curve, "no jump": -curve}, [], 100, "clip")
    axes = figure.axes[0]
    labels = {text.get_text(): text.xy for text in axes.texts}  # pyright: ignore[reportAttributeAccessIssue]
    assert labels == {"1:15": (75.5, 5), "0:00": (0.5, 0)}
    assert [text.get_text() for text in axes.get_xticklabels()][:3] == ["0:00", "0:15", "0:30"]


def test_texts_are_shown_as_they_are_and_long_ones_wrapped() -> None:
    sentence = "it costs $5 and not $6_x^2 because " + "a very long explanation follows " * 8
    figure = _draw({sentence: np.array([np.nan, 2.0, 1.0])}, moving(2), 3, "50$ or 60$ " * 20)
    [entry] = figure.legends[0].get_texts()
    assert " ".join(entry.get_text().split()) == f"{' '.join(sentence.split())} \N{EM DASH} highest at 0:01"
    assert max(map(len, entry.get_text().splitlines())) <= 100
    assert not entry.get_parse_math()
    figure.draw_without_rendering()  # would fail on mathematics that is none
    title = figure.texts[0]
    assert "\N{HORIZONTAL ELLIPSIS}" in title.get_text()
    assert len(title.get_text()) < 100


def test_nothing_overlaps_the_curves_however_long_the_legend() -> None:
    long = {f"{k} " + "a long sentence " * 20: np.arange(5.0) + k for k in range(6)}
    figure = _draw(long, moving(8), 5, "clip")
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= figure.axes[0].get_window_extent().y1
    assert legend.y1 <= figure.texts[0].get_window_extent().y0 + 2
    assert legend.x1 <= figure.bbox.x1


def test_labels_of_equal_moments_do_not_cover_one_another() -> None:
    figure = _draw({f"s{k}": np.array([0.0, 1.0 + k / 100, 0.0]) for k in range(5)}, [], 3, "clip")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


@pytest.mark.parametrize(
    ("name", "lines", "seconds", "message"),
    [
        ("plot.jpg", {"a": np.ones(3)}, 3, r"plot\.jpg does not end in \.png"),
        ("plot.png", {}, 3, "nothing to draw"),
        ("plot.png", {"a": np.ones(0)}, 3, "nothing to draw"),
        ("plot.png", {"a": np.ones((3, 2))}, 3, r"curves of shapes \{'a': \(3, 2\)\}"),
        ("plot.png", {"a": np.ones(3)}, 0, "nothing to draw: 0 seconds"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, name: str, lines: dict[str, np.ndarray], seconds: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_curves(tmp_path / name, lines, [], seconds, "clip")
    assert list(tmp_path.iterdir()) == []


def test_letters_without_a_glyph_are_no_reason_to_warn(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_curves(tmp_path / "plot.png", {"一位女士翻煎饼": np.ones(3)}, [], 3, "剪辑")


# --- thumbnails -------------------------------------------------------------------------------------------------------


def test_thumbnails_come_from_the_middles_of_equal_parts(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades(range(10, 210)), 25))
    taken = thumbnails(path, 4, 16)
    assert [second for second, _ in taken] == [1.0, 3.0, 5.0, 7.0]
    assert [frame[0, 0, 0] for _, frame in taken] == [35, 85, 135, 185]
    assert all(frame.shape == (16, 16, 3) for _, frame in taken)


def test_thumbnails_do_not_decode_what_lies_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = render(tmp_path / "clip.mp4", Track(moving(1000, 32, 32), options={"g": "25", "preset": "ultrafast"}))
    decoded = 0
    original = VideoDecoder._decoded

    def counted(self: VideoDecoder) -> Iterator:
        nonlocal decoded
        for frame in original(self):
            decoded += 1
            yield frame

    monkeypatch.setattr(VideoDecoder, "_decoded", counted)
    assert len(thumbnails(path, 5, 16)) == 5
    assert 5 <= decoded < 300


def test_thumbnails_of_a_video_that_does_not_say_its_length(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", lossless(shades(range(10, 110)), 25), live="1")
    assert [second for second, _ in thumbnails(path, 2, 16)] == [1.0, 3.0]


def test_thumbnails_of_a_cut_off_video_repeat_the_last(tmp_path: Path) -> None:
    path = render(tmp_path / "clip.mkv", Track(moving(100, 96, 64), options={"g": "10"}))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken = [frame for _, frame in thumbnails(path, 8, 16)]
    assert len(taken) == 8
    assert np.array_equal(taken[-1], taken[-2])
    assert not np.array_equal(taken[0], taken[1])


def test_thumbnails_of_a_real_video(real_videos: Path) -> None:
    taken = thumbnails(real_videos / "flipping_a_pancake.mkv", 8, 64)
    assert len(taken) == 8
    assert all(a[0] < b[0] for a, b in itertools.pairwise(taken))
    assert all(frame.std() > 20 for _, frame in taken)
