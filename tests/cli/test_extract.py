"""`mmpt extract`, from videos to feature files, with interruptions of every kind."""

import errno
import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.cli.tally import Tally, spoken
from mmpt.models.pretrained import S3D_WEIGHTS
from mmpt.processors.base import VideoProcessor
from mmpt.processors.didemo import DiDeMoMetaProcessor
from mmpt.utils.featurefile import read_about, read_features
from mmpt.video.backbones.grid import GridBackbone
from mmpt.video.backbones.s3d import S3DBackbone
from mmpt.video.claims import Claims
from mmpt.video.features import extract
from mmpt.video.jobs import Event, Video
from tests.processes import ForkedProcess, start_mmpt
from tests.processors.recipes import config
from tests.video.backbones import FPS
from tests.video.rendering import lossless, moving, render, shades

SLOW = "tests.video.backbones:Slow"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight videos of two seconds, two of them in a folder of their own."""
    for index in range(8):
        place = tmp_path / "videos" / ("more" if index > 5 else "") / f"v{index}.mkv"
        place.parent.mkdir(parents=True, exist_ok=True)
        render(place, lossless(shades([40 + index] * (2 * FPS)), FPS))
    return tmp_path / "videos"


def run(capsys: pytest.CaptureFixture, *words: str | Path) -> tuple[int, str, str]:
    code = main(["extract", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def start(*words: str | Path) -> ForkedProcess:
    """The command in a process of its own."""
    return start_mmpt("extract", *words, "--json")


def finish(process: ForkedProcess) -> dict:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def wait_for(count: int, out: Path) -> None:
    """Until so many feature files are there."""
    until = time.monotonic() + 60
    while len(list(out.glob("[!.]*.npy"))) < count and time.monotonic() < until:
        time.sleep(0.01)


# --- plain use --------------------------------------------------------------------------------------------------------


def test_didemos_endings_are_read_and_found_again(tmp_path: Path, capsys) -> None:
    """Names as DiDeMo's files list them; the last two differ in nothing but what stands behind the last dot."""
    names = ("normal.mov", "x_1.3g2", "x_2.", "x_2.3G2")
    for number, name in enumerate(names):
        render(tmp_path / "video.mkv", lossless(shades([40 + number] * (number + 1) * FPS), FPS))
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "video.mkv").rename(tmp_path / "videos" / name)
    code, out, _ = run(capsys, tmp_path / "videos", "-o", tmp_path / "feats", "--backbone", "grid", "--json")
    assert code == 0 and json.loads(out)["done"] == 4
    entries = [{"video": name, "description": "a dog", "times": [[0, 0]]} for name in names]
    (tmp_path / "test_data.json").write_text(json.dumps(entries))
    listed = config(test_path=tmp_path / "test_data.json", vfeat_dir=tmp_path / "feats", backbone="grid")
    meta, reader = DiDeMoMetaProcessor(listed), VideoProcessor(listed)
    assert meta.missing == () and [len(reader(video)) for video, _ in meta.listing.items] == [1, 2, 3, 4]


def test_a_folder_of_videos(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "feats"
    code, told, err = run(capsys, folder, "-o", out, "--backbone", "grid")
    assert code == 0 and err == ""
    assert told.startswith("8 done, 0 skipped, 0 failed: 16 s of video in ") and str(out) in told
    assert sorted(path.name for path in out.iterdir()) == [f"v{index}.npy" for index in range(8)]
    found = read_features(out / "v7.npy", width=512)
    assert np.array_equal(found.array, extract(folder / "more/v7.mkv", GridBackbone()).array.astype(np.float16))
    assert found.about["backbone"] == "grid" and found.about["l2_normalized"] is True
    code, told, err = run(capsys, folder / "v0.mkv", folder, "-o", out, "--backbone", "grid")
    assert code == 0 and told.startswith("0 done, 8 skipped, 0 failed\n")


def test_s3d_gives_the_numbers_of_scoring(in_tiny_home: Path, clip: Path, tmp_path: Path, capsys) -> None:
    code, _, _ = run(capsys, clip, "-o", tmp_path / "feats")
    found = read_features(tmp_path / "feats" / "bar.npy", width=512)
    assert code == 0 and found.about["backbone"] == "s3d" and found.about["precision"] == "fp32"
    expected = extract(clip, S3DBackbone(in_tiny_home / S3D_WEIGHTS))
    assert np.array_equal(found.array, expected.array.astype(np.float16))
    code, _, _ = run(capsys, clip, "-o", tmp_path / "raw", "--no-l2", "--precision", "bf16")
    about = read_about(tmp_path / "raw" / "bar.npy")
    assert code == 0 and about["precision"] == "bf16" and about["l2_normalized"] is False


@pytest.mark.slow
def test_real_videos_in_two_processes(real_videos: Path, tmp_path: Path, capsys) -> None:
    code, told, err = run(capsys, real_videos, "-o", tmp_path, "--backbone", "grid", "--workers", "2", "--json")
    summary = json.loads(told)
    assert code == 0 and summary["done"] == 14 and summary["seconds"] == 87 and summary["failures"] == []
    assert len(summary["damaged"]) == 1 and "corrupted.mp4 is damaged" in err
    for path in sorted(real_videos.iterdir()):
        found = read_features(tmp_path / f"{path.stem}.npy", width=512)
        assert bool(found.about["damage"]) == (path.name == "corrupted.mp4")


def test_lists_and_parts(folder: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "list.txt").write_text(f"{folder}/v0.mkv\n\n{folder}/v1.mkv\n{folder}/more\n")
    words = ("--list", tmp_path / "list.txt", "-o", tmp_path / "feats", "--backbone", "grid", "--json")
    done = [json.loads(run(capsys, *words, "--shard", f"{number}/3")[1])["done"] for number in (1, 2, 3)]
    assert sum(done) == 4 == len(list((tmp_path / "feats").iterdir()))


def test_lists_that_windows_wrote_and_lists_of_pipes(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    text = f"\ufeff{folder}/v0.mkv\r\n\r\n{folder}/v1.mkv\r\n"
    (tmp_path / "list.txt").write_text(text, newline="")
    code, told, _ = run(capsys, "--list", tmp_path / "list.txt", "-o", tmp_path / "a", "--backbone", "grid")
    assert code == 0 and told.startswith("2 done")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code, told, _ = run(capsys, "--list", "-", "-o", tmp_path / "b", "--backbone", "grid")
    assert code == 0 and told.startswith("2 done")
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    code, told, _ = run(capsys, "--list", f"/dev/fd/{reading}", "-o", tmp_path / "c", "--backbone", "grid")
    os.close(reading)
    assert code == 0 and told.startswith("2 done")


def test_some_fail_and_the_rest_goes_on(folder: Path, tmp_path: Path, capsys) -> None:
    (folder / "v1.mkv").write_text("not a video")
    out = tmp_path / "feats"
    code, told, err = run(capsys, folder, tmp_path / "absent.mp4", "-o", out, "--backbone", "grid")
    assert code == 1 and told.startswith("7 done, 0 skipped, 2 failed")
    assert err.count("mmpt: not extracted: ") == 2 and "no video at" in err and "v1.mkv is not a video" in err
    assert [json.loads(line)["video"] for line in (out / "failures.jsonl").read_text().splitlines()] == ["absent", "v1"]
    code, told, _ = run(capsys, folder, "-o", out, "--backbone", "grid", "--json")
    assert code == 1 and [entry["path"] for entry in json.loads(told)["failures"]] == [str(folder / "v1.mkv")]


def test_two_videos_of_one_name_in_two_commands(folder: Path, tmp_path: Path, capsys) -> None:
    render(tmp_path / "v0.avi", lossless(shades([90] * FPS), FPS))
    out = tmp_path / "feats"
    run(capsys, folder / "v0.mkv", folder / "v1.mkv", "-o", out, "--backbone", "grid")
    code, told, err = run(capsys, tmp_path / "v0.avi", folder / "v1.mkv", "-o", out, "--backbone", "grid")
    assert code == 0 and told.startswith("1 done (1 replaced), 1 skipped, 0 failed")
    assert err == "mmpt: replaced: v0.npy, which was made of another video, v0.mkv\n"
    code, told, _ = run(capsys, folder / "v0.mkv", "-o", out, "--backbone", "grid", "--json")
    assert json.loads(told)["replaced"] == ["v0.npy, which was made of another video, v0.avi"]
    code, told, err = run(capsys, folder / "v0.mkv", "-o", out, "--backbone", "grid", "--no-l2")
    assert code == 1 and "holds features of another kind (grid, fp32, unit length)" in err


def test_folders_that_cannot_be_read(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    scan = os.scandir

    def barred(path):
        if str(path).endswith("more"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", barred)
    code, told, err = run(capsys, folder, "-o", tmp_path / "feats", "--backbone", "grid")
    assert code == 1 and told.startswith("6 done, 0 skipped, 0 failed")
    assert "mmpt: not read: the folder" in err and "more cannot be read (Permission denied)" in err


def test_a_full_disk(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mmpt.utils.featurefile.np.save", full)
    code, told, err = run(capsys, folder, "-o", tmp_path / "feats", "--backbone", "grid")
    assert code == 2 and told == "" and list((tmp_path / "feats").iterdir()) == []
    assert "no space is left for features in" in err and "give the same command again" in err


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "there is nothing to extract"),
        (["empty"], "is a folder that holds no video; known endings are"),
        (["https://example.org/a.mp4"], "is an address"),
        ([" "], "one of the words is empty"),
        (["a.mp4", "--shard", "0/3"], "it takes I/N with I from 1 to N"),
        (["a.mp4", "--shard", "4/3"], "it takes I/N with I from 1 to N"),
        (["a.mp4", "--workers", "0"], "--workers is 0"),
        (["a.mp4", "--backbone", "grids"], "did you mean 'grid'"),
        (["a.mp4", "--backbone", "grid", "--device", "cuda"], "takes no device"),
        (["a.mp4", "--weights", "absent.pth"], "no S3D weights at absent.pth"),
        (["a.mp4", "--list", "absent.txt"], "absent.txt"),
        (["one/a.mp4", "two/a.mp4"], "share a name"),
    ],
)
def test_bad_input_is_told_before_any_work(words: list[str], message: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "one", "two"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "a.mp4").write_text(name)
    code, told, err = run(capsys, *words, "-o", "feats")
    assert code == 2 and told == "" and message in err and not (tmp_path / "feats").exists()


# --- several at once, and killed ones ---------------------------------------------------------------------------------


def test_killed_at_any_time_nothing_is_half_done(folder: Path, tmp_path: Path, capsys) -> None:
    """Real kills (no handler can run), at different moments; then one run that is left alone."""
    out = tmp_path / "feats"
    for count, workers in ((1, 1), (4, 2)):
        process = start(folder, "-o", out, "--backbone", SLOW, "--workers", str(workers))
        wait_for(count, out)
        time.sleep(0.05)  # into the next video
        process.kill()
        process.communicate()
        whole = list(out.glob("[!.]*.npy"))
        assert count <= len(whole) < 8 or workers == 2
        for path in whole:
            assert read_features(path, width=4).about["source"]
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*.npy")}
    (out / ".v7.0123456789ab.npy").write_bytes(b"what a kill while writing leaves")
    code, told, _ = run(capsys, folder, "-o", out, "--backbone", SLOW, "--json")
    summary = json.loads(told)
    assert code == 0 and summary["done"] + summary["skipped"] == 8 and summary["skipped"] >= len(before)
    assert sorted(path.name for path in out.iterdir()) == [f"v{index}.npy" for index in range(8)]
    for name, changed in before.items():
        assert (out / name).stat().st_mtime_ns == changed  # what was done is not done again


def test_two_extractors_share_one_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "feats"
    first, second = [finish(process) for process in [start(folder, "-o", out, "--backbone", SLOW) for _ in range(2)]]
    assert first["done"] + second["done"] == 8  # each video once
    for summary in (first, second):
        assert summary["done"] + summary["skipped"] == 8  # and when either ends, all is there
    assert sorted(path.name for path in out.iterdir()) == [f"v{index}.npy" for index in range(8)]


def test_an_interrupted_extractor_gives_its_claims_back(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "feats"
    process = start(folder, "-o", out, "--backbone", SLOW)
    wait_for(1, out)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped" in err
    assert not (out / ".claims").exists()


def test_what_others_have_in_hand_may_be_left_to_them(folder: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "feats"
    with Claims(out / ".claims") as others:
        assert others.take("v3")
        code, told, err = run(capsys, folder, "-o", out, "--backbone", "grid", "--no-wait")
    assert code == 0 and told.startswith("7 done") and "1 videos are left to other extractors" in err


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_tally_counts_and_foretells(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("mmpt.cli.tally.time.monotonic", lambda: now[0])
    videos = {name: Video(name, Path(name)) for name in "abcd"}
    tally = Tally({"a": 100, "b": 100, "c": 100, "d": 700})
    tally.take(Event("skipped", videos["a"]))
    assert tally.remaining is None and tally.rate == 0
    tally.take(Event("begin", videos["b"], seconds=10))
    now[0] += 5
    tally.take(Event("progress", videos["b"], seconds=5))
    assert tally.rate == 1 and tally.remaining == pytest.approx(5 * (850 / 50))
    now[0] += 5
    tally.take(Event("done", videos["b"], seconds=10, damage=("torn",)))
    assert tally.remaining == pytest.approx(10 * 8) and tally.damaged == ["torn"]
    tally.take(Event("failed", videos["c"], reason="broken"))
    tally.take(Event("busy", videos["d"]))
    assert tally.settled == 3 and tally.failed == [("c", "broken")] and tally.seconds_now == 10
    assert tally.busy == {"d"}
    tally.take(Event("left", videos["d"]))
    assert tally.settled == 4 and tally.remaining == 0 and not tally.busy


def test_spans_of_time() -> None:
    assert [spoken(seconds) for seconds in (0.04, 59.94, 60, 200, 7500, 277_000)] == [
        *("0.0 s", "59.9 s", "1 min 0 s", "3 min 20 s", "2 h 5 min", "3 d 4 h")
    ]


def test_moving_pictures_differ(tmp_path: Path, capsys) -> None:
    """From files to numbers: seconds that look different get different features."""
    render(tmp_path / "moving.mkv", lossless(moving(75), 25))
    run(capsys, tmp_path / "moving.mkv", "-o", tmp_path / "feats", "--backbone", "grid")
    array = np.load(tmp_path / "feats" / "moving.npy").astype(np.float32)
    assert array.shape == (3, 512) and (array @ array.T)[0, 1] < 0.9999
