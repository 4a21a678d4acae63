"""`mmpt score`, from files to tables, JSON and pictures."""

import errno
import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from mmpt.cli.main import main
from mmpt.cli.score import Moment, best_moments
from mmpt.models.scorer import EncodedVideo
from tests.video.rendering import Track, moving, render

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
        assert entry["best_window"] == [0, 3]
    assert video["windows"] == [[0, 3]] and video["damage"] == []


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


def test_options_may_stand_anywhere(in_tiny_home: Path, clip: Path, capsys) -> None:
    code, out, err = run(capsys, clip, "--json", TEXTS[0], "-v", "--model", "vlm", TEXTS[1], "--text", "two boys")
    assert code == 0, err
    assert json.loads(out)["texts"] == [*TEXTS, "two boys"] and json.loads(out)["model"] == "vlm"


def test_equal_sentences_are_scored_once_and_told_of(in_tiny_home: Path, clip: Path, capsys) -> None:
    code, out, err = run(capsys, clip, *TEXTS, TEXTS[0], "--json")
    assert code == 0 and json.loads(out)["texts"] == TEXTS
    assert "1 of the sentences stand there already" in err


@pytest.mark.parametrize("where", ["av.open", "mmpt.video.features.remembered_hash"])
def test_a_video_that_may_not_be_read_does_not_lose_the_others(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Refused by hand, when it is opened and later: the tests may run as a user who may read everything."""
    secret = Path(shutil.copy(clip, tmp_path / "secret.mp4"))
    module, _, name = where.rpartition(".")
    real = getattr(importlib.import_module(module), name)

    def guarded(file: object, *args: object, **kwargs: object) -> object:
        if str(file).endswith("secret.mp4"):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return real(file, *args, **kwargs)

    monkeypatch.setattr(where, guarded)
    code, out, err = run(capsys, secret, clip, *TEXTS, "--json")
    result = json.loads(out)
    assert code == 1 and [video["video"] for video in result["videos"]] == [str(clip)]
    assert result["failures"][0]["video"] == str(secret)
    assert err.count("not scored") == 1 and "ermission denied" in err and "file:" not in err


def test_missing_weights_are_no_fault_of_the_video(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(in_tiny_home, home, ignore=shutil.ignore_patterns("s3d_howto100m.pth"))
    monkeypatch.chdir(home)
    code, out, err = run(capsys, clip, *TEXTS)
    assert code == 2 and out == ""
    assert "mmpt download s3d" in err and "not scored" not in err


def test_damage_is_in_the_json_and_told(in_tiny_home: Path, tmp_path: Path, capsys) -> None:
    whole = render(tmp_path / "whole.mkv", Track(moving(100, 96, 64), options={"g": "10", "bf": "0"}))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    before = warnings.showwarning
    code, out, err = run(capsys, cut, *TEXTS, "--json")
    (video,) = json.loads(out)["videos"]
    assert code == 0 and len(video["damage"]) == 1
    assert "lost from second" in video["damage"][0] and f"mmpt: warning: {video['damage'][0]}" in err
    assert warnings.showwarning is before, "it is put back for who runs the command in a program"


@pytest.mark.parametrize("name", [b"\xff.mp4", b"[red]a :smile:.mp4"])
@pytest.mark.parametrize("options", [[], ["--json"], ["--plot"]])
def test_any_name_is_shown_as_it_is(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, name: bytes, options: list[str]
) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        shutil.copy(clip, path)
    except OSError as error:
        if error.errno != errno.EILSEQ:
            raise
        pytest.skip(f"files cannot be named so here ({error})")
    missing = tmp_path / os.fsdecode(b"missing" + name)
    several = [] if options == ["--plot"] else [missing]
    picture = [path.with_suffix(".png")] if options == ["--plot"] else []
    code, out, err = run(capsys, path, *several, TEXTS[0], *options, *picture)
    assert code == len(several), err
    shown = name.decode("utf-8", "backslashreplace") if b"\xff" not in name else "\\udcff.mp4"
    assert shown in out.replace("\n", "")
    assert (f"missing{shown} does not exist" in err) == bool(several)
    assert all(file.is_file() and shown.replace("mp4", "png") in err.replace("\n", "") for file in picture)


@pytest.mark.skipif(os.name != "posix", reason="file names like these are for POSIX systems")
def test_an_escape_in_a_name_does_not_reach_the_terminal(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys
) -> None:
    """Nor does what turns the direction of writing, and an end of a line splits no row and begins no message."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("con\x1b[31m\nred\u202e.mp4", "bad\x1b[31m\nmmpt: error: no.mp4", "other.mp4"):
        shutil.copy(clip, folder / name) if not name.startswith("bad") else (folder / name).write_bytes(b"no video")
    code, out, err = run(capsys, folder, "a \x1b[31m\ndog")
    assert code == 1 and not set("\x1b\u202e") & set(out + err)
    (row,) = [line for line in out.splitlines() if "red" in line]
    assert r"con\x1b[31m\nred\u202e.mp4" in row and " at 0:0" in row
    (told,) = [line for line in err.splitlines() if "mmpt: " in line]
    assert r"bad\x1b[31m\nmmpt: error: no.mp4" in told and told.startswith("mmpt: not scored: ")
    code, out, _ = run(capsys, folder, "a dog", "--json")
    assert str(folder / "con\x1b[31m\nred\u202e.mp4") in {video["video"] for video in json.loads(out)["videos"]}


def test_loading_a_folder_is_quiet(in_tiny_home: Path, clip: Path, tmp_path: Path) -> None:
    checkpoint, project = "runs/retri/videoclip/checkpoint_best.pt", "projects/retri/videoclip/how2.yaml"
    assert main(["convert", checkpoint, str(tmp_path / "folder"), "--config", project]) == 0
    words = [sys.executable, "-m", "mmpt", "score", clip, *TEXTS, "--model", tmp_path / "folder"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""


class Axes:
    """A scorer's words and seconds along three axes, so that every number is known."""

    texts = torch.eye(3)[:2]
    video = EncodedVideo(
        vectors=torch.tensor([[1.0, 5.0, 0.0], [2.0, 4.0, 0.0]]),
        windows=[(0, 3), (3, 5)],
        tokens=torch.tensor([[9.0, 1, 0], [0, 2, 0], [1, 3, 0], [4, 1, 0], [5, 7, 0]]),
    )


def test_the_best_moment_lies_in_the_window_that_gave_the_score() -> None:
    first, second = best_moments(Axes.video, Axes.texts)
    assert first == Moment(2.0, (3, 5), 4), "second 0 is higher, in the window that lost"
    assert second == Moment(5.0, (0, 3), 2), "second 4 is higher, in the window that lost"


def test_a_long_video_tells_windows_apart(
    in_tiny_home: Path, clip: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmpt.models.scorer.Scorer.encode_video", lambda *_, **__: Axes.video)
    monkeypatch.setattr("mmpt.models.scorer.Scorer.encode_text", lambda *_: Axes.texts)
    _, out, _ = run(capsys, clip, *TEXTS, "--json")
    (video,) = json.loads(out)["videos"]
    assert video["windows"] == [[0, 3], [3, 5]]
    assert [entry["best_window"] for entry in video["scores"]] == [[3, 5], [0, 3]]
    assert [entry["best_second"] for entry in video["scores"]] == [4, 2]
    assert [entry["score"] for entry in video["scores"]] == [2, 5]
    _, out, _ = run(capsys, clip, *TEXTS)
    assert [line.split()[-3:] for line in out.splitlines() if "0:0" in line] == [
        ["5.00", "0:00\N{EN DASH}0:03", "0:02"],
        ["2.00", "0:03\N{EN DASH}0:05", "0:04"],
    ]
    _, out, _ = run(capsys, clip, clip, *TEXTS)
    assert out.count("2.00 at 0:04") == 2 and out.count("5.00 at 0:02") == 2
    assert max(map(len, out.splitlines())) <= 80


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
        (["EMPTY", "a dog"], "--text"),
        (["CLIP"], "goes to --text"),
        (["CLIP", ""], "one of the words is empty"),
        (["CLIP", "--text", " "], "a sentence is empty"),
        (["CLIP", "a \udcff dog"], "is not valid UTF-8"),
        (["https://example.org/a.mp4", "a dog"], "https://example.org/a.mp4 is an address, and only files"),
        (["CLIP", "a dog", "--plot", "x.jpg"], "does not end in .png"),
        (["CLIP", "a dog", "--plot", "EMPTY.png"], "is a folder; name a file"),
        (["CLIP", "a dog", "--plot", "CLIP/x.png"], "cannot be written: that is no folder"),
        (["CLIP", "a dog", "--model", "nothing"], "'nothing' is no model"),
        (["CLIP", "a dog", "--device", "cuda:99"], "device"),
    ],
)
def test_what_is_wrong_is_told_and_ends_with_2(
    in_tiny_home: Path, clip: Path, tmp_path: Path, capsys, words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.png").mkdir()
    places = {
        "CLIP": clip,
        "EMPTY": tmp_path / "empty",
        "EMPTY.png": tmp_path / "empty.png",
        "CLIP/x.png": clip / "x.png",
    }
    code, out, err = run(capsys, *(places.get(word, word) for word in words))
    assert code == 2 and out == ""
    assert err.startswith("mmpt: error: ") and message in err and "Traceback" not in err


def test_help_has_an_example_and_imports_no_torch() -> None:
    code = "import sys, mmpt.cli.main as m\ntry: m.main(sys.argv[1:])\nfinally: assert 'torch' not in sys.modules"
    for words in (["--help"], ["score", "--help"], ["convert", "--help"], ["download", "--help"], ["doctor", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "example" in done.stdout and max(map(len, done.stdout.splitlines())) <= 80, words


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, mmpt; assert 'torch' not in sys.modules; assert mmpt.read_frames and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
