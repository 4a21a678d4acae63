"""`mmpt chapters`, from a list of steps to chapters in every format."""

import io
import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from mmpt.cli.main import main
from mmpt.models.scorer import load
from mmpt.search.timeline import allot_steps
from mmpt.text.subtitles import read_subtitles

STEPS = ["Pour the batter", "Flip the pancake --> <b>now</b>", "Eat it"]
RECIPE = f"\ufeff# pancakes\n1. {STEPS[0]}\n\n  2) {STEPS[1]}\n- {STEPS[2]}\n"


def run(capsys: pytest.CaptureFixture, model: Path, *words: str | Path) -> tuple[int, str, str]:
    code = main(["chapters", *map(str, words), "--model", str(model)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def recipe(own_place: Path) -> Path:
    path = own_place / "recipe.txt"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_chapters_are_the_best_division_of_what_the_model_says(grid_model: Path, cooking: Path, recipe: Path, capsys):
    code, out, _ = run(capsys, grid_model, cooking, "--steps", recipe)
    scorer = load(grid_model)
    scores = scorer.encode_video(cooking).tokens @ scorer.encode_text(STEPS).T
    parts = allot_steps(scores.numpy(), 3)
    Path("read.vtt").write_text(out, encoding="utf-8")
    read = read_subtitles(Path("read.vtt")).captions
    assert code == 0 and read.text == STEPS
    assert read.start == [part.start for part in parts]
    assert read.end == pytest.approx([parts[0].end, parts[1].end, 19.6])  # the video's end, not its last second's


def test_youtube_lines_begin_at_zero_and_tell_what_youtube_wants(grid_model: Path, cooking: Path, recipe: Path, capsys):
    code, out, err = run(capsys, grid_model, cooking, "--steps", recipe, "--format", "youtube")
    lines = out.splitlines()
    assert code == 0 and lines[0] == "0:00 Pour the batter" and len(lines) == 3
    assert "<" not in out and "note: YouTube shows no chapters where one is shorter than 10 s" in err


def test_a_file_gets_the_format_of_its_ending_and_a_table_is_printed(
    grid_model: Path, cooking: Path, recipe: Path, capsys
):
    words = ("--steps", recipe, "-o", "new/chapters.json", "--plot", "new/chapters.png")
    code, out, err = run(capsys, grid_model, cooking, *words)
    result = json.loads(Path("new/chapters.json").read_text())
    assert code == 0 and [chapter["title"] for chapter in result["chapters"]] == STEPS
    assert result["seconds"] == 20 and result["damage"] == [] and result["chapters"][-1]["end"] == 19.6
    assert all(step in out for step in STEPS) and max(map(len, out.splitlines())) <= 80
    assert "written: new/chapters.json" in err and imread("new/chapters.png").shape[1] > 600
    assert sorted(path.name for path in Path("new").iterdir()) == ["chapters.json", "chapters.png"]


def test_steps_come_through_a_pipe(grid_model: Path, cooking: Path, own_place: Path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    code, out, _ = run(capsys, grid_model, cooking, "--steps", "-", "--min-seconds", "9")
    starts = [line.split(" --> ")[0] for line in out.splitlines() if " --> " in line]
    assert code == 0 and starts[0] == "00:00:00.000" and 9 <= float(starts[1][-6:]) <= 11


@pytest.mark.parametrize(
    ("content", "words", "told"),
    [
        (b"", (), "recipe.txt has no step; write one on each line"),
        (b"# only a title\n\n", (), "recipe.txt has no step"),
        (b"one\nb\xfcrste\n", (), "recipe.txt, line 2, is no text in UTF-8"),
        (b"step\n" * 21, (), "21 steps of at least 1 s each do not fit into 20 s"),
        (b"a\nb\nc\n", ("--min-seconds", "7"), "3 steps of at least 7 s each do not fit into 20 s"),
        (b"a\n", ("--min-seconds", "0"), "--min-seconds is 0"),
        (b"a\n", ("-o", "recipe.txt"), "would take the place of recipe.txt"),
        (b"a\n", ("-o", "."), "is a folder"),
        (b"a\n", ("-o", f"{__file__}/chapters.vtt"), "cannot be written: that is no folder"),
        (b"a\n", ("-o", "chapters.srt"), "chapters.srt ends in none of .vtt, .json, .txt; name it so, or say --format"),
        (b"a\n", ("--plot", "chapters.jpg"), "does not end in .png"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(
    grid_model: Path, cooking: Path, own_place: Path, capsys, content: bytes, words: tuple[str, ...], told: str
):
    Path("recipe.txt").write_bytes(content)
    code, out, err = run(capsys, grid_model, cooking, "--steps", "recipe.txt", *words)
    assert code == 2 and out == "" and told in err
    assert [path.name for path in own_place.iterdir()] == ["recipe.txt"]
    assert Path("recipe.txt").read_bytes() == content


def test_files_that_are_not_there_are_told(grid_model: Path, cooking: Path, recipe: Path, capsys):
    code, _, err = run(capsys, grid_model, "absent.mp4", "--steps", recipe)
    assert code == 2 and "no video at absent.mp4" in err
    code, _, err = run(capsys, grid_model, recipe, "--steps", recipe)
    assert code == 2 and "recipe.txt is not a video" in err
    code, _, err = run(capsys, grid_model, cooking, "--steps", "absent.txt")
    assert code == 2 and "there is no file absent.txt" in err
    code, _, err = run(capsys, grid_model, cooking, "--steps", ".")
    assert code == 2 and "is a folder" in err


def test_a_real_video_is_divided(real_videos: Path, grid_model: Path, recipe: Path, capsys):
    code, out, _ = run(capsys, grid_model, real_videos / "flipping_a_pancake.mkv", "--steps", recipe, "--plot", "p.png")
    assert code == 0 and out.count(" --> ") == 3 and Path("p.png").exists()
