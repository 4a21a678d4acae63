"""What is said: in step or out of it, and written down with everything that cleaning is there for."""

from itertools import pairwise
from pathlib import Path

import pytest

from mmpt.text.dedup import dedup, video_generator
from mmpt.text.subtitles import parse_subtitles, read_subtitles
from mmpt.toy.narration import narrate, out_of_step, recognised, rolling
from mmpt.toy.plan import plan_videos
from mmpt.toy.words import COLOURS, SHAPES

VIDEOS = plan_videos(0, 30)


def test_in_step_each_line_begins_while_its_step_is_shown_and_the_first_names_it() -> None:
    for video in VIDEOS:
        lines = narrate(video, 0)
        assert {line.step for line in lines} == set(range(len(video.steps)))
        for line in lines:
            step = video.steps[line.step]
            assert step.start - 0.001 <= line.start < step.end
        for number, step in enumerate(video.steps):
            words = next(line for line in lines if line.step == number).text.split()
            assert any(name in words for name in SHAPES[step.thing.shape])
            assert any(name in words for name in COLOURS[step.thing.colour])


@pytest.mark.parametrize("lag", [0, 2.5, 6])
def test_out_of_step_lines_keep_their_order_within_the_video_and_move_by_the_lag(lag: float) -> None:
    moves = []
    for video in VIDEOS:
        lines = narrate(video, 0)
        moved = out_of_step(video, lines, 0, lag)
        assert [line.text for line in moved] == [line.text for line in lines]
        assert moved[0].start >= 0 and moved[-1].end <= video.seconds + 0.01
        assert all(before.end <= after.start + 0.001 for before, after in pairwise(moved))
        moves += [after.start - before.start for before, after in zip(lines, moved, strict=True)]
    assert min(moves) >= -lag - 2  # lines that would be said at once follow one another
    if lag:
        assert min(moves) < -0.6 * lag and max(moves) > 0.6 * lag
        assert abs(sum(moves) / len(moves)) < 0.35 * lag


def test_lag_changes_times_only() -> None:
    video = VIDEOS[0]
    lines = narrate(video, 0)
    assert narrate(video, 0) == lines
    assert out_of_step(video, lines, 0, 1.0) != out_of_step(video, lines, 0, 2.0)


def test_cleaning_has_work_and_leaves_about_what_was_said() -> None:
    said = kept = written = trimmed = 0
    for video in VIDEOS:
        lines = out_of_step(video, narrate(video, 0), 0, 2.5)
        captions = recognised(video, lines, 0)
        clean, tally = dedup(captions, video_generator(0, video.id))
        said, written, kept = said + len(lines), written + len(captions), kept + len(clean)
        trimmed += tally.trimmed
        assert len(clean.text) <= len(lines)
    assert written > 1.5 * said
    assert 0.9 * said < kept <= said
    assert trimmed > 0.1 * said


def test_rolling_subtitles_read_back_as_the_lines(tmp_path: Path) -> None:
    lines = out_of_step(VIDEOS[0], narrate(VIDEOS[0], 0), 0, 2.5)
    path = tmp_path / "x.en.vtt"
    path.write_text(rolling(lines))
    read = read_subtitles(path)
    assert read.captions.text == [line.text for line in lines]
    assert read.captions.start == [line.start for line in lines]
    assert read.carried == len(lines) and read.cues == 2 * len(lines)


def test_clocks_count_hours_and_minutes() -> None:
    from mmpt.toy.narration import Line

    read = parse_subtitles(rolling([Line(3661.25, 3662.0, "late", 0)]), strict_blocks=True)
    assert read.captions.start == [3661.25, 3662.0]
