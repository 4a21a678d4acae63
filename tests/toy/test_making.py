"""`mmpt toy`, from an empty folder to a world, with interruptions and other worlds in the way."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.text.subtitles import find_subtitles, read_subtitles
from mmpt.toy import making
from mmpt.toy.drawing import PAINTS
from mmpt.toy.making import World, make_world
from mmpt.toy.plan import plan_videos
from mmpt.utils.folderlock import only_writer
from mmpt.video.reader import probe, read_frames
from tests.toy.conftest import SEED, VIDEOS

WORDS = ("--videos", str(VIDEOS), "--seed", str(SEED))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def texts(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if not name.endswith(".mp4")}


def refused(capsys: pytest.CaptureFixture, *words: str | Path) -> str:
    assert main(["toy", *map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds of short, small files: what is drawn is tested elsewhere."""
    monkeypatch.setattr(making, "draw", lambda video, seed: iter([np.full((16, 16, 3), 99, np.uint8)] * 600))


def test_what_is_on_screen_is_what_the_record_says(tiny_world: Path, tiny_record: dict[str, Any]) -> None:
    looked = 0
    for video in tiny_record.values():
        path = tiny_world / video["path"]
        shown = np.concatenate(list(read_frames(path, fps=8, size=64))).astype(np.float32)
        assert len(shown) == video["seconds"] * 8
        for step in video["steps"]:
            if step["action"] in ("vanish", "grow", "cut", "pour"):
                continue  # now and then little of the object is left to see
            during = shown[round(step["start"] * 8) + 4 : round(step["end"] * 8) - 4]
            near = {c: (np.abs(during - paint).max(axis=-1) < 60).mean() for c, paint in PAINTS.items()}
            assert max(near, key=lambda colour: near[colour]) == step["colour"], (video["path"], step, near)
            looked += 1
    assert looked > 10


def test_clips_show_what_their_step_shows(tiny_world: Path, tiny_record: dict[str, Any]) -> None:
    for video in list(tiny_record.values())[-2:]:
        for step in video["steps"]:
            clip = np.concatenate(list(read_frames(tiny_world / "clips" / f"{step['clip']}.mp4", fps=8, size=64)))
            part = np.concatenate(
                list(read_frames(tiny_world / video["path"], 8, 64, start=step["start"], end=step["end"]))
            )
            assert len(clip) == len(part) == round((step["end"] - step["start"]) * 8)
            assert np.abs(clip.astype(float) - part).mean() < 4  # each was compressed for itself


def test_files_are_h264_with_subtitles_beside_them(tiny_world: Path, tiny_record: dict[str, Any]) -> None:
    for folder, held_out in (("videos", False), ("heldout", True)):
        subtitles, several = find_subtitles(tiny_world / folder)
        assert not several
        assert list(subtitles) == [name for name, video in tiny_record.items() if video["heldout"] == held_out]
        for name, path in subtitles.items():
            told = read_subtitles(path).captions
            assert told.text == [line["text"] for line in tiny_record[name]["narration"]]
            assert told.end[-1] <= tiny_record[name]["seconds"] + 0.05
            info = probe(tiny_world / folder / f"{name}.mp4")
            assert (info.codec, info.width, info.height, info.fps) == ("h264", 128, 128, 8)
            assert info.frames == tiny_record[name]["seconds"] * 8


def test_narration_is_about_what_is_on_screen_within_the_lag(tiny_world: Path, tiny_record: dict[str, Any]) -> None:
    for video in tiny_record.values():
        moved = read_subtitles((tiny_world / video["path"]).with_suffix(".en.vtt")).captions
        for line, start in zip(video["narration"], moved.start, strict=True):
            step = video["steps"][line["step"]]
            assert step["start"] - 0.001 <= line["start"] < step["end"]
            assert step["start"] - 2.5 - 2 < start < step["end"] + 2.5 + 2


def test_the_same_seed_gives_the_same_annotations_and_pixels(tiny_world: Path, tmp_path: Path) -> None:
    make_world(tmp_path / "again", World(seed=SEED, videos=VIDEOS), workers=2)
    assert texts(tmp_path / "again") == texts(tiny_world)
    for name in ("videos/how0001.mp4", "heldout/new001.mp4", "clips/new000_3.mp4"):
        once, again = (
            np.concatenate(list(read_frames(root / name, 8, 128))) for root in (tiny_world, tmp_path / "again")
        )
        np.testing.assert_array_equal(once, again)


def test_the_world_says_what_it_is_made_from(tiny_world: Path, tiny_record: dict[str, Any]) -> None:
    world = json.loads((tiny_world / "world.json").read_text())
    assert (world["seed"], world["videos"], world["lag"]) == (SEED, VIDEOS, 2.5)
    seen, unseen = ({tuple(row) for row in world[key]} for key in ("seen", "unseen"))
    assert len(unseen) == 200 and len(seen) == 440 and not seen & unseen
    for video in tiny_record.values():
        for step in video["steps"]:
            assert (step["action"], step["shape"], step["colour"]) in (unseen if video["heldout"] else seen)


def test_an_interrupted_world_goes_on_where_it_was(quick: None, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "world"
    with pytest.raises(KeyboardInterrupt):
        make_world(out, World(videos=4), on_progress=stop)
    there = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    assert there and not (out / "record.json").exists()
    (out / "clips" / "how0001_1.mp4").unlink()  # as if it had been stopped within a video
    made = make_world(out, World(videos=4))
    assert (made.kept, made.drawn) == (2, 4)
    later = {path: path.stat().st_mtime_ns for path in there if path.exists() and "how0001" not in path.name}
    assert all(there[path] == time for path, time in later.items())
    make_world(tmp_path / "straight", World(videos=4))
    assert texts(out) == texts(tmp_path / "straight")
    assert [p.name for p in sorted(out.rglob("*.mp4"))] == [
        p.name for p in sorted((tmp_path / "straight").rglob("*.mp4"))
    ]


def test_what_a_killed_process_left_half_written_goes(quick: None, tmp_path: Path) -> None:
    out = tmp_path / "world"
    make_world(out, World(videos=2))
    whole = files(out)
    others = "features/.how0000.0123456789ab.npy"  # of a command that may be running
    for name in ("videos/.how0000.0123456789ab.mp4", "clips/.new000_1.00aa11bb22cc.mp4", others):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"half")
    make_world(out, World(videos=2))
    assert files(out) == {others: b"half", **whole}


def test_more_videos_are_added_to_those_that_were_there(quick: None, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "world"
    make_world(out, World(videos=3))
    there = {path: path.stat().st_mtime_ns for path in out.rglob("*.mp4")}
    assert main(["toy", str(out), "--videos", "20", "--workers", "1"]) == 0
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())
    assert len(list((out / "videos").glob("*.mp4"))) == 20
    assert len(list((out / "heldout").glob("*.mp4"))) == 4
    shown = capsys.readouterr().out
    assert "19 videos; 5 were there" in shown and "4 held out" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--videos", "3", "--seed", "1"), "seed 0, and 1"),
        (("--videos", "3", "--lag", "4"), "lag 2.5, and 4"),
        (("--videos", "2"), "videos 3, and 2"),
    ],
)
def test_another_world_in_the_folder_is_refused_and_nothing_is_lost(
    quick: None, tmp_path: Path, capsys: pytest.CaptureFixture, words: tuple[str, ...], told: str
) -> None:
    out = tmp_path / "world"
    make_world(out, World(videos=3))
    before = files(out)
    message = refused(capsys, out, *words)
    assert told in message and "take another folder" in message
    assert files(out) == before


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "holiday.mp4").write_bytes(b"mine")
    message = refused(capsys, tmp_path, "--videos", "2")
    assert "world.json" in message and "new folder" in message
    assert os.listdir(tmp_path) == ["holiday.mp4"]


def test_a_folder_in_which_another_makes_a_world_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with only_writer(tmp_path, "a toy world"):
        assert "another process is writing a toy world" in refused(capsys, tmp_path, "--videos", "2")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--videos", "1"), "it takes 2 or more"),
        (("--seed", "-1"), "0 or more"),
        (("--lag", "-1"), "it takes 0 to 30"),
        (("--lag", "nan"), "it takes 0 to 30"),
        (("--workers", "0"), "1 or more"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture, words: tuple[str, ...], told: str
) -> None:
    assert told in refused(capsys, tmp_path / "world", *words)
    assert not (tmp_path / "world").exists()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "world").write_text("a file")
    assert "world is a file; a world takes" in refused(capsys, tmp_path / "world", "--videos", "2")
    assert (tmp_path / "world").read_text() == "a file"


def test_help_shows_an_example(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["toy", "--help"])
    shown = capsys.readouterr().out
    assert "mmpt toy data/toy" in shown and max(map(len, shown.splitlines())) <= 80


def test_plans_name_files_that_differ_over_all_folders() -> None:
    names = [video.id for video in plan_videos(0, 300)]
    assert len(names) == len(set(names))
