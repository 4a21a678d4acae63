"""`mmpt score`, from files to tables, JSON and pictures."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmpt.cli.main import main
from mmpt.cli.score import split_inputs

TEXTS = ["a dog runs", "a woman flips a pancake"]


def run(capsys: pytest.CaptureFixture, *words: str | Path) -> tuple[int, str, str]:
    code = main(["score", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_one_video_gives_a_table_with_the_best_first(in_tiny_home: Path, clip: Path, capsys) -> None:
    code, out, _ = run(capsys, clip, *TEXTS)
    lines = [line for line in out.splitlines() if "0:0" in line]
    assert code == 0 and len(lines) == 2
    scores = [float(line.split()[-2]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert max(map(len, out.splitlines())) <= 80


def test_json_holds_scores_and_curves(in_tiny_home: Path, clip: Path, capsys) -> None:
    code, out, _ = run(capsys, clip, *TEXTS, "--json")
    result = json.loads(out)
    assert code == 0 and result["texts"] == TEXTS and result["failures"] == []
    (video,) = result["videos"]
    assert video["video"] == str(clip) and video["seconds"] == 3
    for entry, text in zip(video["scores"], TEXTS, strict=True):
        assert entry["text"] == text and len(entry["curve"]) == 3
        assert entry["curve"][entry["best_second"]] == max(entry["curve"])


def test_a_second_call_finds_the_features_even_of_a_renamed_video(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first, _ = run(capsys, clip, *TEXTS, "--json")
    renamed = shutil.copy(clip, tmp_path / "renamed.mp4")

    def fail(*_: object) -> None:
        raise AssertionError("the video was encoded again")

    monkeypatch.setattr("mmpt.video.backbones.s3d.S3DBackbone.__call__", fail)
    code, second, _ = run(capsys, renamed, *TEXTS, "--json")
    assert code == 0
    assert json.loads(second)["videos"][0]["scores"] == json.loads(first)["videos"][0]["scores"]


def test_several_videos_give_a_matrix_and_broken_ones_are_skipped(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(clip, folder / "b.mp4")
    (folder / "a.mp4").write_bytes(b"this is no video")
    (folder / "notes.txt").write_text("neither is this, and it is not asked for")
    code, out, err = run(capsys, folder, clip, tmp_path / "missing.mp4", *TEXTS)
    assert code == 1
    assert "[1] a dog runs" in out and "b.mp4" in out and "bar.mp4" in out
    assert err.count("mmpt: not scored:") == 2
    assert "a.mp4" in err and "missing.mp4 does not exist" in err and "notes" not in err


def test_json_lists_the_failures(in_tiny_home: Path, clip: Path, tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"")
    code, out, _ = run(capsys, broken, clip, *TEXTS, "--json")
    result = json.loads(out)
    assert code == 1 and len(result["videos"]) == 1
    assert result["failures"][0]["video"] == str(broken) and "empty" in result["failures"][0]["error"]


def test_plot_draws_a_picture(in_tiny_home: Path, clip: Path, tmp_path: Path, capsys) -> None:
    code, _, _ = run(capsys, clip, *TEXTS, "--plot", tmp_path / "curve.png")
    assert code == 0 and (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_real_pancake(in_tiny_home: Path, real_videos: Path, capsys) -> None:
    code, out, err = run(capsys, real_videos / "flipping_a_pancake.mkv", *TEXTS, "--json", "--model", "vlm")
    assert code == 0, err
    assert json.loads(out)["videos"][0]["seconds"] == 11


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a dog runs"], "no video among"),
        (["CLIP"], "no sentence given"),
        (["CLIP", "CLIP", "a dog", "--plot", "x.png"], "--plot draws one video, and 2 were given"),
        (["EMPTY", "a dog"], "holds no video; known endings are"),
        (["CLIP", "a dog", "--model", "nothing"], "'nothing' is no model"),
        (["CLIP", "a dog", "--device", "cuda:99"], "device"),
    ],
)
def test_what_is_wrong_is_told_and_ends_with_2(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"CLIP": clip, "EMPTY": tmp_path / "empty"}
    code, out, err = run(capsys, *(places.get(word, word) for word in words))
    assert code == 2 and out == ""
    assert err.startswith("mmpt: error: ") and message in err and "Traceback" not in err


def test_words_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noending").touch()
    long = "a very long sentence " * 50
    videos, texts = split_inputs(["noending", "typo.MP4", "two boys arm-wrestle", "Mr. and Mrs.", long])
    assert videos == [Path("noending"), Path("typo.MP4")]
    assert texts == ["two boys arm-wrestle", "Mr. and Mrs.", long]


def test_help_has_an_example_and_imports_no_torch() -> None:
    code = "import sys, mmpt.cli.main as m\ntry: m.main(sys.argv[1:])\nfinally: assert 'torch' not in sys.modules"
    for words in (["--help"], ["score", "--help"], ["convert", "--help"], ["download", "--help"], ["doctor", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "example" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80, words


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mmpt; assert 'torch' not in sys.modules; assert mmpt.read_frames and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
