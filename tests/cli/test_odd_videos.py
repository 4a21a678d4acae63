"""One video over which a library raises something odd: told by name, and the others go on, in every command."""

import io
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.utils.content import file_stamp
from mmpt.video import decoder
from mmpt.video.reader import probe
from mmpt.video.writer import write_video

TOLD = "IndexError: list index out of range"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of four seconds with subtitles; over one of them a library raises IndexError."""
    folder = tmp_path_factory.mktemp("odd") / "videos"
    for number, name in enumerate(("bad", "one", "two")):
        frames = (np.full((32, 32, 3), 60 * number + index, np.uint8) for index in range(16))
        write_video(folder / f"{name}.mp4", frames, fps=4)
        (folder / f"{name}.srt").write_text("1\n00:00:00,000 --> 00:00:03,000\na woman flips the pancake\n")
    return folder


@pytest.fixture
def videos(rendered: Path, own_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = decoder.open_video

    def guarded(path: Path, *more: Any) -> Any:
        if path.resolve().name == "bad.mp4":  # also by the descriptor through which a server reads
            raise IndexError("list index out of range")
        return real(path, *more)

    monkeypatch.setattr("mmpt.video.decoder.open_video", guarded)
    monkeypatch.setattr("mmpt.video.cutting.open_video", guarded)
    return Path(shutil.copytree(rendered, own_place / "videos"))


def run(capsys: pytest.CaptureFixture, *words: str | Path) -> tuple[int, str, str]:
    code = main([*map(str, words)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def told(err: str, kind: str) -> None:
    """The one video is told by name, with the class of what was raised."""
    lines = [line for line in err.splitlines() if f"mmpt: {kind}: " in line]
    assert len(lines) == 1 and "bad" in lines[0] and TOLD in lines[0], err


def test_score(videos: Path, grid_model: Path, capsys) -> None:
    code, out, err = run(capsys, "score", "--model", grid_model, videos, "a pancake", "--json")
    result = json.loads(out)
    assert code == 1 and [Path(video["video"]).stem for video in result["videos"]] == ["one", "two"]
    told(err, "not scored")


def test_score_of_a_video_that_goes_away_meanwhile(
    videos: Path, grid_model: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(path: Path) -> Any:
        path.unlink() if path.name == "one.mp4" else None
        return probe(path)

    monkeypatch.setattr("mmpt.video.reader.probe", vanish)
    code, out, err = run(capsys, "score", "--model", grid_model, videos, "a", "--json")
    assert code == 1 and [Path(video["video"]).stem for video in json.loads(out)["videos"]] == ["two"]
    assert "mmpt: not scored: " in err and "one.mp4" in err


def test_extract(videos: Path, capsys) -> None:
    code, out, err = run(capsys, "extract", videos, "-o", "feats", "--backbone", "grid", "--json")
    assert code == 1 and json.loads(out)["done"] == 2
    told(err, "not extracted")
    (line,) = Path("feats/failures.jsonl").read_text().splitlines()
    assert json.loads(line)["video"] == "bad" and TOLD in line


def test_index_and_update(videos: Path, grid_model: Path, capsys) -> None:
    index = ("index", "--model", grid_model, "--library", "library")
    code, out, err = run(capsys, *index, videos, "--json")
    assert code == 1 and len(json.loads(out)["added"]) == 2
    told(err, "not indexed")
    code, out, err = run(capsys, *index, "update", "--json")
    assert code == 1 and json.loads(out)["known"] == 2
    told(err, "not indexed")


def test_prepare(videos: Path, grid_model: Path, capsys) -> None:
    bert = grid_model.parent / "bert"
    words = ("--backbone", "grid", "--bert-name", bert, "--val-part", "0.5", "-o", "mine")
    code, _, err = run(capsys, "prepare", videos, *words)
    assert code == 1
    told(err, "not used")
    (line,) = Path("mine/failures.jsonl").read_text().splitlines()
    assert json.loads(line) | {"reason": ""} == {"video": "bad", "reason": "", "step": "features"}


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets lie in folders on POSIX systems")
@pytest.mark.parametrize(
    ("command", "kind", "done"),
    [
        (("score", "a dog"), "not scored", "videos"),
        (("extract", "-o", "feats", "--backbone", "grid"), "not extracted", "done"),
        (("index", "--library", "library"), "not indexed", "added"),
    ],
)
def test_what_is_no_file_with_bytes_is_told_and_the_others_go_on(
    rendered: Path, own_place: Path, grid_model: Path, capsys, command: tuple[str, ...], kind: str, done: str
) -> None:
    """A pipe that nobody writes into and a socket would wait for ever."""
    shutil.copy(rendered / "one.mp4", "one.mp4")
    os.mkfifo("pipe.mp4")
    os.mkfifo("one.mkv")  # of another video's name: to tell whether they are the same, both are looked into
    Path("empty.mp4").touch()
    Path("folder.mp4").mkdir()
    shutil.copy(rendered / "two.mp4", "folder.mp4/two.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
        names = ["pipe.mp4", "empty.mp4", "socket.mp4", "folder.mp4", "missing.mp4", "one.mp4"]
        model = () if command[0] == "extract" else ("--model", grid_model)
        code, out, err = run(capsys, command[0], *names, *command[1:], *model, "--json")
        if command[0] == "extract":
            assert run(capsys, "extract", "one.mp4", "one.mkv", *command[1:])[0] == 2
    found = json.loads(out)[done]
    assert code == 1 and (found if isinstance(found, int) else len(found)) == 2
    told = [line for line in err.splitlines() if line.startswith(f"mmpt: {kind}: ")]
    assert len(told) == 4
    odd = "is not an ordinary file"
    for name, why in (("pipe", odd), ("socket", odd), ("empty", "is empty")):
        assert any(f"{name}.mp4 {why}" in line for line in told)
    assert any("missing.mp4" in line for line in told)


@pytest.mark.parametrize("words", [("segment", "--labels", "a,b"), ("chapters", "--steps", "steps.txt")])
def test_commands_on_one_video(videos: Path, grid_model: Path, capsys, words: tuple[str, ...]) -> None:
    Path("steps.txt").write_text("a\nb\n")
    code, out, err = run(capsys, *words, videos / "bad.mp4", "--model", grid_model)
    assert code == 2 and out == "" and "bad.mp4" in err and TOLD in err


def test_a_pictures_process_answers_and_goes_on(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpt.server import picture_worker

    paths = [videos / name for name in ("bad.mp4", "one.mp4")]
    orders = "".join(f"{json.dumps([str(path), file_stamp(path.stat()), 0, 32])}\n" for path in paths)
    answers = answer(picture_worker, orders, monkeypatch)
    ready, bad, one, rest = answers.split(b"\n", 3)
    assert ready + b"\n" == picture_worker.READY and bad.startswith(b"!") and TOLD.encode() in bad and b"bad.mp4" in bad
    assert int(one) == len(rest) and rest.startswith(b"\xff\xd8")


def test_an_uploads_process_answers(videos: Path, grid_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmpt.server import upload_worker

    order = {"address": str(videos.parent / "library"), "opening": {"model": str(grid_model)}, "memory": 0}
    order |= {"path": str(videos / "bad.mp4"), "seconds": 0}
    answers = answer(upload_worker, json.dumps(order), monkeypatch)
    last = json.loads(answers.splitlines()[-1])
    assert last["result"] == "failed" and TOLD in last["detail"] and "bad.mp4" in last["detail"]


def answer(worker: Any, orders: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What a worker's process writes, run here, without its limits."""
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.argv", ["worker", "1"])
    monkeypatch.setattr("sys.stdin", io.StringIO(orders))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(worker, "end_with_parent", lambda _: None)
    monkeypatch.setattr(worker, "confine", lambda **_: None)
    worker.main()
    return out.buffer.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
