"""`mmpt shard` as users call it: feature files in, shards out, and nothing lost on the way."""

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.config.schema import DatasetConfig
from mmpt.processors.how2 import ShardedHow2MetaProcessor
from mmpt.utils.featurefile import write_features
from mmpt.utils.shardedtensor import ShardedTensor, forget, open_shard, read_meta
from mmpt.utils.shardindex import read_index

ABOUT = {"backbone": "s3d", "version": 1, "l2_normalized": True}
WIDTH = 16
COMMAND = [sys.executable, "-m", "mmpt", "shard"]


def features(folder: Path, count: int, *, width: int = WIDTH, seconds: int = 5, **about: Any) -> list[str]:
    rng = np.random.default_rng(0)
    ids = [f"v{number:03d}" for number in range(count)]
    for number, video in enumerate(ids):
        rows = rng.standard_normal((seconds + number % 4, width))
        write_features(folder / f"{video}.npy", rows, {**ABOUT, "source": video, **about})
    return ids


def listed(path: Path, ids: list[str]) -> str:
    path.write_text("".join(f"{video}\n" for video in ids))
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reasons(folder: Path) -> dict[str, str]:
    lines = (folder / "failures.jsonl").read_text().splitlines()
    return {line["video"]: line["reason"] for line in map(json.loads, lines)}


@pytest.fixture
def feats(tmp_path: Path) -> Path:
    features(tmp_path / "feats", 8)
    return tmp_path / "feats"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return tmp_path / "shards"


def shard(feats: Path, shards: Path, *options: str, size: int = 3) -> int:
    return main(["shard", str(feats), "-o", str(shards), f"--shard-size={size}", *options])


def test_every_video_is_where_its_list_says(
    feats: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = listed(tmp_path / "train.lst", ["v006", "v001", "v004", "v000"])
    val = listed(tmp_path / "val.lst", ["v005"])
    assert shard(feats, shards, "--train", train, "--val", val) == 0
    printed = capsys.readouterr().out
    assert "train     4 videos, 23 seconds of features" in printed
    assert "val       1 video, 6 seconds of features" in printed
    assert "shards    3 written, 0 kept" in printed
    assert read_meta(shards / "train_meta.pkl") == {0: ["v006", "v001", "v004"], 1: ["v000"]}
    assert read_meta(shards / "val_meta.pkl") == {0: ["v005"]}
    for split in ("train", "val"):
        for number, ids in pickle.loads((shards / f"{split}_meta.pkl").read_bytes()).items():
            stored = open_shard(shards / f"{split}_{number}", verify=True)
            for video, array in zip(ids, stored, strict=True):
                np.testing.assert_array_equal(array, np.load(feats / f"{video}.npy"))
            index = read_index(shards / f"{split}_{number}")
            assert index is not None and dict(index.about) == ABOUT and list(index.ids) == ids


def test_without_lists_a_split_takes_the_whole_folder(feats: Path, shards: Path) -> None:
    (feats / ".half.npy").write_bytes(b"")
    (feats / "failures.jsonl").write_text("{}\n")
    assert shard(feats, shards, "--split", "train", size=4096) == 0
    assert read_meta(shards / "train_meta.pkl") == {0: [f"v{number:03d}" for number in range(8)]}


def test_a_second_run_keeps_what_is_up_to_date(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shard(feats, shards, "--split", "train") == 0
    first = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    assert shard(feats, shards, "--split", "train") == 0
    assert "0 written, 3 kept" in capsys.readouterr().out
    assert {path.name: path.stat().st_mtime_ns for path in shards.iterdir()} == first
    write_features(feats / "v004.npy", np.ones((9, WIDTH)), ABOUT)  # in the second shard
    assert shard(feats, shards, "--split", "train") == 0
    assert "1 written, 2 kept" in capsys.readouterr().out
    np.testing.assert_array_equal(open_shard(shards / "train_1")[1], np.ones((9, WIDTH)))
    (shards / "train_0_data.npy").write_bytes((shards / "train_0_data.npy").read_bytes()[:-7])
    (shards / "train_2_starts.npy").unlink()
    forget()
    assert shard(feats, shards, "--split", "train") == 0
    assert "2 written, 1 kept" in capsys.readouterr().out
    assert main(["shard", "--verify", str(shards)]) == 0


def test_a_shorter_list_leaves_no_shard_of_the_longer_one(feats: Path, shards: Path, tmp_path: Path) -> None:
    assert shard(feats, shards, "--split", "train") == 0
    assert shard(feats, shards, "--train", listed(tmp_path / "t.lst", ["v000", "v001"])) == 0
    assert set(contents(shards)) == {"train_0_data.npy", "train_0_starts.npy", "train_0_index.json", "train_meta.pkl"}


def spoil(feats: Path) -> dict[str, str]:
    """Spoil the features of some videos; gives what must be told of each."""
    whole = np.load(feats / "v000.npy")
    write_features(feats / "wide.npy", np.ones((3, WIDTH + 1)), ABOUT)
    write_features(feats / "grid.npy", whole, {**ABOUT, "backbone": "grid"})
    write_features(feats / "long.npy", whole, {**ABOUT, "l2_normalized": False})
    write_features(feats / "none.npy", whole[:0], ABOUT)
    np.save(feats / "flat.npy", whole[0])
    np.save(feats / "nan.npy", np.where(whole > 1, np.nan, whole))
    np.save(feats / "large.npy", np.full((3, WIDTH), 1e6, np.float32))
    (feats / "cut.npy").write_bytes((feats / "v000.npy").read_bytes()[:200])
    (feats / "text.npy").write_text("no array")
    (feats / "dir.npy").mkdir()
    return {
        "wide": "features of another kind (s3d, unit length, 17 columns, version 1) than most "
        "(s3d, unit length, 16 columns, version 1)",
        "grid": "features of another kind (grid, ",
        "long": "features of another kind (s3d, not normalised, ",
        "none": "none.npy holds no second",
        "flat": "flat.npy holds float16 of shape (16,); features are floats of shape (seconds, width)",
        "nan": "hold NaN or infinity",
        "large": "large.npy holds 1e+06, which float16 does not",
        "cut": "cut.npy is not a whole feature file",
        "text": "text.npy is not a whole feature file",
        "dir": "there is no feature file",
        "gone": "there is no feature file",
        "../feats/v000": "is not a video id",
        "v001": "is listed 2 times; it is stored once",
    }


def test_what_cannot_be_stored_is_told_and_the_rest_is_stored(
    feats: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [f"v{number:03d}" for number in range(8)]
    told = spoil(feats)
    mixed = [video for pair in zip(good, told, strict=False) for video in pair] + list(told)[8:]
    train = listed(tmp_path / "t.lst", mixed)
    for turn in range(2):  # a second time the same is told of the shards that are kept
        assert shard(feats, shards, "--train", train) == 1, turn
        found = reasons(shards)
        assert set(found) == set(told)
        for video, reason in told.items():
            assert reason in found[video], video
        captured = capsys.readouterr()
        assert "mmpt: 13 videos are not stored as listed; the reasons are in" in captured.err
        assert captured.err.count("not stored: ") == 3
        assert [video for ids in read_meta(shards / "train_meta.pkl").values() for video in ids] == good
        assert main(["shard", str(shards), "--verify"]) == 0
        capsys.readouterr()


def test_what_is_mended_is_stored_and_no_longer_told(
    feats: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (feats / "v004.npy").read_bytes()
    (feats / "v004.npy").write_bytes(whole[:-30])
    assert shard(feats, shards, "--split", "train") == 1
    assert list(reasons(shards)) == ["v004"]
    (feats / "v004.npy").write_bytes(whole)
    capsys.readouterr()
    assert shard(feats, shards, "--split", "train") == 0
    assert "1 written, 2 kept" in capsys.readouterr().out
    features(tmp_path / "anew", 8)
    assert shard(tmp_path / "anew", tmp_path / "undisturbed", "--split", "train") == 0
    assert set(contents(shards)) == set(contents(tmp_path / "undisturbed"))
    for name, content in contents(tmp_path / "undisturbed").items():
        assert name.endswith("_index.json") or (shards / name).read_bytes() == content, name


def test_a_shard_of_which_nothing_can_be_stored_is_left_out(feats: Path, shards: Path, tmp_path: Path) -> None:
    train = listed(tmp_path / "t.lst", ["v000", "v001", "v002", "a", "b", "c", "v003"])
    for _ in range(2):
        assert shard(feats, shards, "--train", train) == 1
        assert read_meta(shards / "train_meta.pkl") == {0: ["v000", "v001", "v002"], 2: ["v003"]}
        assert not (shards / "train_1_data.npy").exists()


def test_published_features_are_taken_for_what_they_are(feats: Path, shards: Path) -> None:
    np.save(feats / "v001.npy", np.load(feats / "v001.npy").astype(np.float32))  # says nothing of itself
    assert shard(feats, shards, "--split", "train") == 0
    assert open_shard(shards / "train_0").data.dtype == np.float16


def test_readers_refuse_the_shards_of_another_backbone(feats: Path, shards: Path, tmp_path: Path) -> None:
    train = listed(tmp_path / "t.lst", ["v000", "v005"])
    assert shard(feats, shards, "--train", train) == 0
    config = DatasetConfig(bert_name="none", split="train", train_path=train, vfeat_dir=str(shards))
    assert len(ShardedHow2MetaProcessor(config)) == 2
    for other in (replace(config, backbone="grid"), replace(config, l2_normalize=False)):
        with pytest.raises(ValueError, match=r"train_0_data\.npy holds features of 's3d'"):
            ShardedHow2MetaProcessor(other).read()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "give lists of video ids"),
        (["--train", "absent.lst"], "absent.lst does not exist"),
        (["--train", "empty.lst"], "empty.lst lists no video for the split 'train'"),
        (["--train", "other.lst"], "none of the 1 listed videos has a readable feature file in"),
        (["--train", "good.lst", "--split", "train"], "give one or the other"),
        (["--split", "../train"], "the split '../train' gives no file names"),
        (["--split", "train", "--shard-size", "0"], "a shard takes 1 or more videos"),
    ],
)
def test_what_cannot_begin_is_refused_before_any_work(
    options: list[str], told: str, feats: Path, shards: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, ids in (("empty", []), ("other", ["xyz"]), ("good", ["v000"])):
        listed(tmp_path / f"{name}.lst", ids)
    assert main(["shard", str(feats), "-o", str(shards), *options]) == 2
    assert told in capsys.readouterr().err
    assert not shards.exists()


def test_folders_that_are_not_there_are_told(feats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, told in (
        ([str(feats)], "give the folder that the shards go into"),
        ([str(tmp_path / "no"), "-o", "x", "--split", "train"], "there is no folder"),
        ([str(tmp_path / "no"), "--verify"], "there is no folder"),
        ([str(tmp_path), "--verify"], "there is no shard (*_data.npy) in"),
    ):
        assert main(["shard", *arguments]) == 2
        assert told in capsys.readouterr().err


def test_shards_of_other_making_are_not_replaced(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards.mkdir()
    ShardedTensor.from_list([np.ones((2, 4), np.float16)]).save(shards / "train_1")
    before = contents(shards)
    assert shard(feats, shards, "--split", "train") == 2
    assert "train_1_data.npy has no index beside it" in capsys.readouterr().err
    assert contents(shards) == before


def test_two_writers_do_not_mix(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcntl = pytest.importorskip("fcntl")
    shards.mkdir()
    with (shards / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert shard(feats, shards, "--split", "train") == 2
        assert "another process is writing shards into" in capsys.readouterr().err
        assert contents(shards) == {".lock": b""}
    assert shard(feats, shards, "--split", "train") == 0
    assert not (shards / ".lock").exists()


def test_videos_in_two_splits_are_noted(
    feats: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = [listed(tmp_path / f"{name}.lst", ids) for name, ids in (("a", ["v000", "v001"]), ("b", ["v001"]))]
    assert shard(feats, shards, "--train", lists[0], "--val", lists[1]) == 0
    assert "note: 1 video stands in the lists of several splits" in capsys.readouterr().err


def test_killed_at_any_time_a_second_run_completes_it(tmp_path: Path) -> None:
    feats, shards, undisturbed = tmp_path / "feats", tmp_path / "shards", tmp_path / "undisturbed"
    features(feats, 400, width=512, seconds=60)
    command = [*COMMAND, str(feats), "--split", "train", "--shard-size", "20", "-o"]
    subprocess.run([*command, str(undisturbed)], check=True, capture_output=True)
    kept: set[str] = set()
    amid = 0
    for goal in (0, 1, 3, 5, 7):
        process = subprocess.Popen([*command, str(shards)], stdout=subprocess.DEVNULL)
        while process.poll() is None and not is_amid(shards, goal):
            time.sleep(0.0002)
        process.kill()
        process.wait()
        whole = {name for name in map(shard_name, shards.glob("*_starts.npy")) if read_index(shards / name)}
        for name in whole:
            open_shard(shards / name, verify=True)
        assert kept <= whole, "a second run keeps what is whole"
        kept = whole
        amid += any(path.name.startswith(".train_") for path in shards.iterdir())
    assert amid, "none was killed amid its work"
    subprocess.run([*command, str(shards)], check=True, capture_output=True)
    assert contents(shards) == contents(undisturbed)


def shard_name(path: Path) -> str:
    return path.name.removesuffix("_starts.npy")


def is_amid(shards: Path, goal: int) -> bool:
    """Say whether a number of shards is whole and another one is being written."""
    names = os.listdir(shards) if shards.is_dir() else []
    half = any(name.startswith(".train_") and "_data." in name for name in names)
    return half and sum(name.endswith("_starts.npy") for name in names) >= goal


def test_a_full_disk_keeps_whole_shards_and_says_what_to_do(tmp_path: Path) -> None:
    feats, shards = tmp_path / "feats", tmp_path / "shards"
    features(feats, 6, width=512)
    write_features(feats / "v004.npy", np.ones((900, 512)), ABOUT)  # makes the third shard too large
    command = [*COMMAND, str(feats), "--split", "train", "--shard-size", "2", "-o", str(shards)]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no room for" in done.stderr and "train_2_data.npy" in done.stderr
    assert "make room, then give the same command again" in done.stderr
    parts = ("data.npy", "starts.npy", "index.json")
    assert set(contents(shards)) == {f"train_{number}_{part}" for number in range(2) for part in parts}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 written, 2 kept" in done.stdout


def test_verifying_names_what_is_damaged(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shard(feats, shards, "--split", "train") == 0
    assert main(["shard", str(shards), "--verify"]) == 0
    assert "whole     3 shards" in capsys.readouterr().out
    for ending in ("data.npy", "starts.npy"):  # two shards mixed up
        (shards / f"train_1_{ending}").write_bytes((shards / f"train_0_{ending}").read_bytes())
    (shards / "train_2_starts.npy").unlink()
    assert main(["shard", str(shards), "--verify"]) == 1
    captured = capsys.readouterr()
    assert "whole     1 shard," in captured.out
    assert captured.err.count("damaged: ") == 2
    assert "train_1_" in captured.err and "train_2_starts.npy" in captured.err


def test_verifying_compares_the_lists(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shard(feats, shards, "--split", "train") == 0
    meta = read_meta(shards / "train_meta.pkl")
    for changed, told in (
        ({**meta, 1: meta[1][::-1]}, "lists other videos than train_1 holds"),
        ({**meta, 1: meta[1][:2]}, "lists other videos than train_1 holds: 2 and 3"),
        ({**meta, 7: ["x"]}, "lists the videos of train_7_data.npy, which is not there"),
        ("words", "is not a shard list"),
    ):
        (shards / "train_meta.pkl").write_bytes(pickle.dumps(changed))
        assert main(["shard", str(shards), "--verify"]) == 1
        assert told in capsys.readouterr().err


def test_shards_without_an_index_are_said_to_be_unsure(
    feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shard(feats, shards, "--split", "train") == 0
    (shards / "train_1_index.json").unlink()
    assert main(["shard", str(shards), "--verify"]) == 0
    assert "unsure    1 shard without an index" in capsys.readouterr().out


def test_an_unreadable_folder_is_told(feats: Path, shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/shards")  # where not even root may write
        assert shard(feats, target, "--split", "train") == 2
        assert "/proc/shards" in capsys.readouterr().err
        return
    shards.mkdir(mode=0o500)
    assert shard(feats, shards, "--split", "train") == 2
    assert "Permission denied" in capsys.readouterr().err
    shutil.rmtree(shards)
