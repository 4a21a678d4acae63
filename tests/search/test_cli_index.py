"""`mmpt index` and `mmpt library`, as they are typed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmpt.cli.main import main
from mmpt.search import approximate
from mmpt.search.library import VideoLibrary
from mmpt.video.writer import write_video
from tests.conftest import ROOT
from tests.processes import ForkedProcess, start_mmpt
from tests.search.entries import random_entry
from tests.search.making import SECONDS, frames, make_grid_model, subtitles


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def mmpt(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(list(map(str, words)))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_index_update_remove_and_look(capsys, videos: Path, grid_model: Path) -> None:
    code, out, err = mmpt(capsys, "index", "videos", "--model", grid_model)
    assert (code, err) == (0, "")
    assert out.startswith("3 added, 0 known, 0 failed: 34 s of video in ")
    assert out.endswith("library: library, 3 videos\n")
    assert mmpt(capsys, "index", "videos")[1].startswith("0 added, 3 known, 0 failed\n")

    (videos / "garden" / "dog.mp4").rename(videos / "hound.mp4")
    (videos / "garden" / "cat.mp4").write_bytes(b"no video")
    (videos / "hound.srt").write_text(subtitles(["Good dog."]))
    code, out, err = mmpt(capsys, "index", "update")
    assert code == 1 and out.startswith("0 added, 1 renamed, 1 with new captions, 2 known, 1 failed\n")
    assert err.startswith(f"mmpt: not indexed: {videos / 'garden' / 'cat.mp4'} is not a video that can be read")

    code, out, _ = mmpt(capsys, "library", "stats", "--videos")
    assert code == 0 and "videos    3, 34.0 s" in out and "captions  6, of 3 videos" in out
    assert all(record.id in out for record in VideoLibrary("library").videos())
    assert all(len(line) <= 80 for line in out.splitlines() if "indexed" not in line and "model" not in line)
    assert mmpt(capsys, "library", "check") == (0, "library: 3 videos, all is well\n", "")
    assert mmpt(capsys, "library", "export", "plain")[:2] == (0, "written: 3 videos into plain\n")
    code, out, _ = mmpt(capsys, "index", "remove", "videos/kitchen")
    assert (code, out) == (0, "2 taken out; 1 videos are left in library\n")


def test_odd_subtitles_are_told_and_end_nothing(capsys, videos: Path, grid_model: Path) -> None:
    (videos / "garden" / "dog.vtt").write_text(f"WEBVTT\n\n{'9' * 400}:00:01.000 --> 00:02.000\nsit\n")
    (videos / "kitchen" / "soup.final.srt").write_text(subtitles(["unused"]))
    (videos / "kitchen" / "soup.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nchop\n\nthe onion\n")
    (videos / "kitchen" / "soup.srt").unlink()
    code, out, err = mmpt(capsys, "index", "videos", "--model", grid_model)
    assert code == 1 and out.startswith("3 added, 0 known, 0 failed")
    told = err.splitlines()
    assert len(told) == 3 and "soup.final.srt begins with the video's" in told[0]
    assert "soup.vtt: 1 line is in no cue" in told[1] and told[1].startswith("mmpt: warning: ")
    assert told[2].startswith("mmpt: captions not read: ") and "dog.vtt, line 3" in told[2]
    assert {Path(video.path).stem: video.captions for video in VideoLibrary("library").videos()} == {
        **{"pancake": 3, "soup": 1, "dog": 0}
    }
    code, _, err = mmpt(capsys, "index", "update")
    assert code == 1 and len(err.splitlines()) == 3


def test_a_small_library_needs_no_approximate_index(capsys, library_folder: Path) -> None:
    code, out, _ = mmpt(capsys, "index", "optimize")
    assert code == 0 and out.startswith("no index is made: the library has 25 windows")
    assert json.loads(mmpt(capsys, "index", "optimize", "--json")[1])["chosen"] is None
    assert mmpt(capsys, "index", "optimize", "--recall", "2")[0] == 2


def test_an_approximate_index_is_measured_and_shown(capsys, library_folder: Path, monkeypatch) -> None:
    store = VideoLibrary(library_folder).store
    store.put_many([random_entry(number, dim=48, windows=20) for number in range(600)])
    monkeypatch.setattr(approximate, "PAYS", 1e9)  # so few windows are searched exactly in no time
    defaults = dict(approximate.optimize.__kwdefaults__ or {}, least=100)
    monkeypatch.setattr(approximate.optimize, "__kwdefaults__", defaults)
    code, out, _ = mmpt(capsys, "index", "optimize", "--recall", "0.5")
    assert code == 0 and "finds of the ten best" in out and "all (exact search)" in out and out.count("*") == 1
    assert all(len(line) <= 80 for line in out.splitlines())


def test_summaries_as_json(capsys, videos: Path, grid_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_LIBRARY", "elsewhere")
    (videos / "kitchen" / "soup.srt").write_text("spoilt")
    code, out, err = mmpt(capsys, "index", "videos", "--model", grid_model, "--json")
    summary = json.loads(out)
    assert code == 1 and [Path(record["path"]).name for record in summary["added"]] == sorted(
        (Path(name).name for name in SECONDS), key=lambda name: (name != "dog.mp4", name)
    )
    assert summary["library"] == "elsewhere" and len(summary["captions_not_read"]) == 1
    assert "captions not read" in err and "soup.srt holds no cue" in err
    (videos / "garden" / "dog.mp4").unlink()
    code, out, err = mmpt(capsys, "index", "update", "--json")
    assert len(json.loads(out)["gone"]) == 1 and "index update --prune removes them" in err
    code, out, _ = mmpt(capsys, "library", "check", "--json")
    assert code == 1 and [problem["kind"] for problem in json.loads(out)["problems"]] == ["missing file"]
    assert json.loads(mmpt(capsys, "index", "update", "--prune", "--json")[1])["removed"] == 1
    assert len(json.loads(mmpt(capsys, "library", "stats", "--json", "--videos")[1])["listing"]) == 2
    assert json.loads(mmpt(capsys, "index", "remove", "videos", "--json")[1])["videos"] == 0


def test_a_check_tells_and_repairs(capsys, videos: Path, grid_model: Path) -> None:
    mmpt(capsys, "index", "videos", "--model", grid_model)
    store = VideoLibrary("library").store
    store._database.drop("captions", "revision", [row["revision"] for row in store._database.rows("captions")])
    code, out, _ = mmpt(capsys, "library", "check")
    assert code == 1 and out.count("captions: ") == 2 and "check --repair mends" in out
    code, out, _ = mmpt(capsys, "library", "check", "--repair")
    assert code == 0 and "0 problems, 2 repaired" in out and "(repaired)" in out
    assert mmpt(capsys, "index", "update")[1].startswith("2 added, 1 known")
    assert mmpt(capsys, "library", "check")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["index", "nowhere.mp4"], "there is nothing at"),
        (["index", "empty"], "is a folder that holds no video"),
        (["index", " "], "one of the words is empty"),
        (["index", "update"], "there is no library at library"),
        (["index", "update", "videos"], "a folder called update is ./update"),
        (["index", "update", "--captions", "x"], "--captions says nothing here"),
        (["index", "videos", "--prune"], "--prune says nothing here"),
        (["index", "remove"], "there is nothing to remove"),
        (["index", "remove", "a.mp4"], "there is no library at library"),
        (["index", "videos", "--captions", "nowhere"], "there is no folder of captions"),
        (["index", "videos", "--library", "file"], "is a file; a library is a folder"),
        (["index", "videos", "--model", "nothing"], "'nothing' is no model"),
        (["library", "stats"], "there is no library at library"),
        (["library", "check", "--library", "empty"], "there is no library at empty"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_made(capsys, videos: Path, words: list[str], told: str) -> None:
    Path("empty").mkdir()
    Path("file").write_text("x")
    code, out, err = mmpt(capsys, *words)
    assert (code, out) == (2, "") and told in err
    assert not Path("library").exists() and not list(Path("empty").iterdir())


def test_another_model_is_told(capsys, videos: Path, grid_model: Path, tmp_path: Path) -> None:
    other = make_grid_model(tmp_path / "other", seed=4)
    mmpt(capsys, "index", "videos/kitchen", "--model", grid_model)
    code, _, err = mmpt(capsys, "index", "videos", "--model", other)
    assert code == 2 and str(grid_model) in err and str(other) in err
    assert len(VideoLibrary("library").videos()) == 2


def test_a_folder_that_is_called_as_a_command_is(capsys, videos: Path, grid_model: Path) -> None:
    videos.rename("update")
    assert mmpt(capsys, "index", "./update", "--model", grid_model)[1].startswith("3 added")


def test_help_answers_at_once_and_shows_how() -> None:
    for words in (["index"], ["library"], ["library", "check"]):
        found = subprocess.run(
            [sys.executable, "-m", "mmpt", *words, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert found.returncode == 0 and "example" in found.stdout
    heavy = "import sys, mmpt.cli.index, mmpt.cli.library; print({'torch', 'lancedb', 'numpy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"


def test_indexing_that_is_killed_goes_on_where_it_was(capsys, tmp_path: Path, grid_model: Path) -> None:
    folder, count = tmp_path / "many", 24
    folder.mkdir()
    for number in range(count):
        write_video(folder / f"{number:02}.mp4", frames(3, seed=100 + number), fps=10)
        (folder / f"{number:02}.srt").write_text(subtitles([f"pancake {number}"]))
    done = 0
    for wait in (0.02, 0.15):
        process = start_mmpt("index", folder, "--model", grid_model, "--library", "kept", cwd=tmp_path)
        _wait_for_more(Path("kept"), done, process)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        library = VideoLibrary("kept")
        known = library.videos()
        assert done < len(known) <= count
        done = len(known)
        assert [problem for problem in library.check() if problem.kind != "leftover"] == []
        assert {hit[0] for hit in library.store.full_text("pancake", 999)} == {record.id for record in known}
        assert sum(record.windows for record in known) == sum(len(rows) for _, rows, _ in library.store.vectors())
    code, out, _ = mmpt(capsys, "index", folder, "--library", "kept")
    assert code == 0 and out.startswith(f"{count - done} added, {done} known, 0 failed")
    assert VideoLibrary("kept").check() == [] and len(VideoLibrary("kept").videos()) == count


def _wait_for_more(folder: Path, done: int, process: ForkedProcess) -> None:
    """Wait until another process has put more videos in than there were."""
    end = time.monotonic() + 300  # a machine may have other work
    while time.monotonic() < end and process.poll() is None:
        if folder.exists():
            try:
                if len(VideoLibrary(folder, create=False).videos()) > done:
                    return
            except FileNotFoundError:  # is being made
                pass
        time.sleep(0.02)
    assert process.poll() in (None, 0), "mmpt index failed"
