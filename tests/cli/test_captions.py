"""`mmpt captions` as users call it: files in, files out, and nothing lost on the way."""

import json
import os
import pickle
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.utils import parallel
from mmpt.utils.shardedtensor import ShardedTensor, write_meta
from tests.conftest import ROOT
from tests.homes import WORDS
from tests.processes import start_mmpt

SRT = "1\n00:00:01,000 --> 00:00:03,000\n{}\n\n2\n00:00:02,500 --> 00:00:05,000\n{}\n"


def captions(*texts: Any, start: float = 0.0) -> dict[str, list]:
    starts = [start + 2.0 * number for number in range(len(texts))]
    return {"start": starts, "end": [begin + 2.5 for begin in starts], "text": list(texts)}


@pytest.fixture
def bert(tmp_path: Path) -> str:
    folder = tmp_path / "small-bert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": len(vocabulary)}))
    return str(folder)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def read_clean(path: Path) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in pickle.loads(path.read_bytes()).items()}


def failures(path: Path) -> dict[str, str]:
    return {entry["video"]: entry["reason"] for entry in map(json.loads, path.read_text().splitlines())}


def lost(folder: Path) -> list[Path]:
    """Files that begin with a dot: temporary ones that were left behind."""
    return list(folder.rglob(".*"))


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_dedup_says_what_became_of_every_caption(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_json(
        tmp_path / "raw_caption.json",
        {"a": captions("heat it", "heat it up", "", None), "b": json.dumps(captions("stir"))},
    )
    out = tmp_path / "out"
    assert main(["captions", "dedup", str(source), "-o", str(out), "-o", str(tmp_path / "b.json")]) == 0
    told = capsys.readouterr().out
    assert "videos    2 read, 2 written, 0 failed" in told
    assert "captions  5 read, 2 written, 1 merged, 2 empty" in told
    assert max(map(len, told.replace(str(tmp_path), "").splitlines())) <= 80
    clean = read_clean(out / "raw_caption_dedup.pkl")
    assert clean == json.loads((tmp_path / "b.json").read_text())
    assert clean == {
        "a": {"start": [0.0], "end": [4.5], "text": ["heat it up"]},
        "b": {"start": [0.0], "end": [2.5], "text": ["stir"]},
    }
    assert sorted(path.name for path in out.iterdir()) == ["raw_caption_dedup.pkl"]


def test_dedup_depends_neither_on_workers_nor_on_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ALONE", 0.0)
    content = {f"v{n}": captions("now add the oil", "the oil and salt", "salt it", start=n) for n in range(300)}
    outcomes = []
    for number, (order, workers) in enumerate((("", "1"), ("", "3"), ("reversed", "2"))):
        given = dict(reversed(content.items())) if order else content
        source = write_json(tmp_path / f"{number}.json", given)
        target = tmp_path / f"out{number}.pkl"
        assert main(["captions", "dedup", str(source), "-o", str(target), "--workers", workers]) == 0
        outcomes.append(target.read_bytes())
    assert outcomes[0] == outcomes[1]
    assert pickle.loads(outcomes[2]) == pickle.loads(outcomes[0])
    assert len({value[-40:] for value in pickle.loads(outcomes[0]).values()}) > 1, "every video drew the same"


def test_dedup_keeps_the_good_and_tells_of_the_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = json.dumps(captions("stir"))
    late = '{"start": [1, 9], "end": [2, 8], "text": ["a", "late"]}'
    short = '{"start": [1], "end": [2, 8], "text": ["a", "b"]}'
    source = tmp_path / "raw_caption.json"
    source.write_text(f'{{"ok": {good}, "late": {late}, "short": {short}, "ok": {late}, "list": [], "nan": "x"}}')
    target = tmp_path / "clean.pkl"
    assert main(["captions", "dedup", str(source), "-o", str(target)]) == 1
    assert list(read_clean(target)) == ["ok"]
    found = failures(tmp_path / "clean.failures.jsonl")
    assert set(found) == {"late", "short", "ok", "list", "nan"}
    assert "caption 2 ends before it starts: 9 to 8" in found["late"] and "twice" in found["ok"]
    told = capsys.readouterr()
    assert "6 read, 1 written, 5 failed" in told.out and "5 failed; the reasons are in" in told.err
    write_json(source, {"ok": captions("stir")})
    assert main(["captions", "dedup", str(source), "-o", str(target)]) == 0
    assert not (tmp_path / "clean.failures.jsonl").exists(), "an old list of failures was left"


def test_dedup_of_subtitles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "subtitles"
    (folder / "more").mkdir(parents=True)
    (folder / "pan.en.srt").write_text(SRT.format("now add butter", "now add butter to it"))
    (folder / "more" / "dog.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<c>run</c>\n")
    (folder / "none.srt").write_text("")
    (folder / "two.srt").write_text(SRT.format("a", "x"))
    (folder / "two.vtt").write_text("WEBVTT\n")
    (folder / "late.srt").write_text("1\n00:05,0 --> 00:04,0\nlate\n")
    assert main(["captions", "dedup", str(folder), "-o", str(tmp_path / "clean.pkl")]) == 1
    assert read_clean(tmp_path / "clean.pkl") == {
        "dog": {"start": [1.0], "end": [2.0], "text": ["run"]},
        "pan": {"start": [1.0], "end": [5.0], "text": ["now add butter to it"]},
    }
    found = failures(tmp_path / "clean.failures.jsonl")
    assert set(found) == {"none", "two", "late"}
    assert "holds no cue" in found["none"] and "several" in found["two"] and "5.0 to 4.0" in found["late"]
    assert "5 read, 2 written, 3 failed" in capsys.readouterr().out


def test_dedup_of_odd_subtitles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "subtitles"
    folder.mkdir()
    for case in ("rollup-three-rows/ru2.srt", "rollup-three-rows/ru3.srt", "vtt-line-separators/u2028.vtt"):
        shutil.copy(ROOT / "tests" / "cases" / case, folder)
    shutil.copy(ROOT / "tests/cases/srt-numbers-lost/countdown_noidx.srt", folder / "count.en-ehkg1hFWq8A.srt")
    (folder / "wide.en.hi.vtt").write_bytes("WEBVTT\n\n00:01.0 --> 00:02.0\nchop\n\nit".encode("utf-32-be"))
    (folder / "late.eng.srt").write_text(f"{'9' * 400}:00:01,0 --> 00:02,0\nx\n")
    assert main(["captions", "dedup", str(folder), "-o", str(tmp_path / "clean.pkl")]) == 1
    clean = read_clean(tmp_path / "clean.pkl")
    assert clean["ru3"] == clean["ru2"] and len(clean["ru3"]["text"]) == 8
    assert clean["ru3"]["start"] == [2.0 * number for number in range(8)]
    assert {name: found["text"] for name, found in clean.items() if "ru" not in name} == {
        "u2028": ["first second", "stir it"],
        "count": ["three", "2", "1", "go"],
        "wide": ["chop"],
    }
    assert "late.eng.srt, line 1" in failures(tmp_path / "clean.failures.jsonl")["late"]
    assert "wide.en.hi.vtt: 1 line is in no cue and left out" in capsys.readouterr().err


def test_captions_that_end_a_millisecond_before_they_start_are_left_as_they_are(tmp_path: Path) -> None:
    given = {"start": [5.0, 9], "end": [4.9995, 8.999], "text": ["a", "b"]}
    late = {"start": [5.0], "end": [4.9985], "text": ["a"]}
    huge = {"start": [1.0, 10**400], "end": [2.0, 3.0], "text": ["a", "b"]}
    source = write_json(tmp_path / "raw.json", {"near": given, "late": late, "huge": huge})
    assert main(["captions", "dedup", str(source), "-o", str(tmp_path / "clean.json")]) == 1
    assert json.loads((tmp_path / "clean.json").read_text()) == {"near": given}
    found = failures(tmp_path / "clean.failures.jsonl")
    assert set(found) == {"late", "huge"} and "ends before it starts: 5.0 to 4.9985" in found["late"]
    assert "more than 1,000,000 seconds" in found["huge"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "the captions name no video"),
        ('{"a": {"start": [2], "end": [1], "text": ["late"]}}', "none of 1 videos has captions that can be used"),
        ('{"a": {"start": [2], "end"', "is damaged at character"),
    ],
)
def test_dedup_of_nothing_leaves_what_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (tmp_path / "raw.json").write_text(content)
    (tmp_path / "clean.pkl").write_bytes(b"before")
    assert main(["captions", "dedup", str(tmp_path / "raw.json"), "-o", str(tmp_path / "clean.pkl")]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "clean.pkl").read_bytes() == b"before" and not lost(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.json", "-o", "x.pkl"], "no caption file none.json"),
        (["raw.json", "-o", "x.txt"], "and x.txt is neither"),
        (["raw.json", "-o", "raw.json"], "read and cannot be written"),
        (["raw.json", "-o", "x.pkl", "--workers", "0"], "--workers is 0"),
        (["raw.json", "-o", "x.pkl", "--seed", "-1"], "--seed is -1"),
        ([".", "-o", "x.pkl"], "holds no subtitle file"),
    ],
)
def test_dedup_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "raw.json", {"a": captions("stir")})
    assert main(["captions", "dedup", *words]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["raw.json"]


def test_dedup_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_json(tmp_path / "raw.json", {f"v{n}": captions("stir it " * 20) for n in range(500)})
    with small_disk(10_000):
        assert main(["captions", "dedup", str(source), "-o", str(tmp_path / "c.pkl"), "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert "no room for" in told and "c.pkl" in told
    assert [path.name for path in tmp_path.iterdir()] == ["raw.json"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Captions of seven videos, and the lists of two shards and one."""
    content = {f"v{n}": json.dumps(captions("the woman flips a pancake " * 8, "", "dog", start=n)) for n in range(7)}
    (tmp_path / "raw_caption_dedup.pkl").write_bytes(pickle.dumps(content))
    write_meta(tmp_path / "shards" / "train_meta.pkl", {0: ["v4", "v1", "v0"], 1: ["v2", "v3"]})
    write_meta(tmp_path / "shards" / "val_meta.pkl", {0: ["v5"]})
    return tmp_path


def tokenize(corpus: Path, bert: str, *more: str, source: str = "raw_caption_dedup.pkl") -> int:
    words = [str(corpus / source), "--bert-name", bert, "-o", str(corpus / "shards"), *more]
    return main(["captions", "tokenize", *words])


def test_tokenize_follows_the_features_shards(corpus: Path, bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenize(corpus, bert) == 0
    told = capsys.readouterr().out
    assert "6 videos; 3 shards with 18 clips written" in told and "1 videos with captions are in no shard" in told
    name = corpus / "shards" / "raw_caption_dedup.small-bert"
    assert f"tfeat_dir: {name}." in told
    times = ShardedTensor.load(f"{name}.train_0.startends")
    assert [float(array[0, 0]) for array in times] == [4.0, 1.0, 0.0] and times.data.dtype == np.float32
    caps = ShardedTensor.load(f"{name}.train_0.caps_ids")
    assert caps.data.shape == (9, 32) and caps.data.dtype == np.int32
    first, empty, dog = caps[0]
    # 96 letters are three whole sentences and "the woman flips a"
    assert (first >= 0).sum() == 3 * 5 + 3 + 1 and (empty == -1).all() and (dog >= 0).sum() == 1


def test_tokenize_makes_only_what_is_missing(corpus: Path, bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tokenize(corpus, bert) == 0
    folder = corpus / "shards"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    damaged = folder / "raw_caption_dedup.small-bert.train_1.caps_ids_data.npy"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (folder / "raw_caption_dedup.small-bert.val_0.startends_index.json").unlink()
    capsys.readouterr()
    assert tokenize(corpus, bert) == 0
    assert "2 shards with 9 clips written, 1 were there" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    write_meta(folder / "val_meta.pkl", {0: ["v5", "v6"]})
    assert tokenize(corpus, bert) == 0
    assert "1 shard with 6 clips written, 2 were there" in capsys.readouterr().out
    assert tokenize(corpus, bert, "--overwrite") == 0
    assert "3 shards with 21 clips written" in capsys.readouterr().out


def test_tokenize_keeps_the_place_of_a_video_without_captions(
    corpus: Path, bert: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_meta(corpus / "shards" / "train_meta.pkl", {0: ["v4", "gone", "v0"]})
    for turn in ("written", "found again"):
        assert tokenize(corpus, bert) == 1, turn
        found = failures(corpus / "shards" / "raw_caption_dedup.small-bert.failures.jsonl")
        assert set(found) == {"gone"} and "has no captions in" in found["gone"], turn
        assert "1 failed; the reasons are in" in capsys.readouterr().err
    caps = ShardedTensor.load(corpus / "shards" / "raw_caption_dedup.small-bert.train_0.caps_ids")
    assert [len(array) for array in caps] == [3, 0, 3]


@pytest.mark.parametrize("suffix", [".json", ".pkl"])
def test_tokenize_takes_every_kind_of_file_to_the_same_numbers(
    corpus: Path, bert: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {key: json.loads(value) for key, value in read_texts(corpus).items()}
    other = corpus / "other" / f"raw_caption_dedup{suffix}"
    other.parent.mkdir()
    if suffix == ".json":
        write_json(other, content)
    else:
        other.write_bytes(pickle.dumps(content))
    assert tokenize(corpus, bert) == 0
    arrays = {path.name: path.read_bytes() for path in (corpus / "shards").glob("*.npy")}
    shutil.move(corpus / "shards", corpus / "before")
    shutil.copytree(corpus / "before", corpus / "shards", ignore=lambda _, names: [n for n in names if "raw" in n])
    assert tokenize(corpus, bert, source=f"other/raw_caption_dedup{suffix}") == 0
    assert arrays and {path.name: path.read_bytes() for path in (corpus / "shards").glob("*.npy")} == arrays
    assert not lost(corpus)


def read_texts(corpus: Path) -> dict[str, str]:
    return pickle.loads((corpus / "raw_caption_dedup.pkl").read_bytes())


def test_tokenize_tells_of_an_id_that_stands_twice(corpus: Path, bert: str) -> None:
    texts = read_texts(corpus)
    twice = ", ".join([*(f"{json.dumps(key)}: {value}" for key, value in texts.items()), '"v1": {}'])
    (corpus / "raw_caption_dedup.json").write_text(f"{{{twice}}}")
    assert tokenize(corpus, bert, source="raw_caption_dedup.json") == 1
    found = failures(corpus / "shards" / "raw_caption_dedup.small-bert.failures.jsonl")
    assert set(found) == {"v1"} and "stands twice" in found["v1"]


def test_tokenize_into_one_pickle(corpus: Path, bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {**read_texts(corpus), "bad": "{", "odd": json.dumps(captions("dog \ud83d", None))}
    (corpus / "raw_caption_dedup.pkl").write_bytes(pickle.dumps(texts))
    target = corpus / "tokens.pkl"
    words = [str(corpus / "raw_caption_dedup.pkl"), "--bert-name", bert, "-o", str(target)]
    assert main(["captions", "tokenize", *words]) == 1
    made = pickle.loads(target.read_bytes())
    assert set(made) == {*(f"v{n}" for n in range(7)), "odd"} and set(made["v0"]) == {"start", "end", "cap"}
    assert made["v3"]["start"] == [3.0, 5.0, 7.0] and made["v3"]["cap"][1] == [] and len(made["v3"]["cap"][2]) == 1
    assert made["odd"]["cap"][0][0] == made["v3"]["cap"][2][0] and made["odd"]["cap"][1] == []
    assert set(failures(corpus / "tokens.failures.jsonl")) == {"bad"}
    assert "8 videos; 1 file with 23 clips written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "shards"], "IN is missing"),
        (["raw_caption_dedup.pkl", "--bert-name", "small-bert"], "-o OUT is missing"),
        (["raw_caption_dedup.pkl", "-o", "shards"], "--bert-name NAME is missing"),
        (["raw_caption_dedup.pkl", "--bert-name", "small-bert", "-o", "raw_caption_dedup.pkl"], "cannot be written"),
        (["raw_caption_dedup.pkl", "--bert-name", "small-bert", "-o", "empty"], "mmpt shard FEATURES -o empty"),
        (["none.pkl", "--bert-name", "small-bert", "-o", "shards"], "no caption file none.pkl"),
        (["shards", "--bert-name", "small-bert", "-o", "shards"], "shards is a folder; clean its captions first"),
        (["raw_caption_dedup.pkl", "--bert-name", "./gone", "-o", "shards"], "./gone"),
        (["raw_caption_dedup.pkl", "--bert-name", "small-bert", "-o", "shards", "--meta", "x.pkl"], "--meta is x.pkl"),
        (["--config", "none.yaml"], "no YAML file none.yaml"),
        (["--config", "wrong.yaml"], "dataset.target_dir is missing; dataset.bert is not known"),
        (["--config", "list.yaml"], "has no block dataset:"),
        (["--config", "bad.yaml"], "not valid YAML"),
    ],
)
def test_tokenize_refuses(
    corpus: Path,
    bert: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(corpus)
    (corpus / "empty").mkdir()
    (corpus / "wrong.yaml").write_text("dataset: {bert_name: a, caption_pkl_path: b, bert: c}\n")
    (corpus / "list.yaml").write_text("- a\n")
    (corpus / "bad.yaml").write_text("a: [\n")
    before = sorted(corpus.rglob("*"))
    assert main(["captions", "tokenize", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(corpus.rglob("*")) == before


def test_tokenize_on_a_full_disk(corpus: Path, bert: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {f"v{n}": json.dumps(captions(*["dog"] * 200)) for n in range(7)}
    (corpus / "raw_caption_dedup.pkl").write_bytes(pickle.dumps(texts))
    before = sorted(corpus.rglob("*"))
    with small_disk(20_000):
        assert tokenize(corpus, bert) == 2
    assert "no room for" in capsys.readouterr().err
    assert sorted(corpus.rglob("*")) == before
    assert tokenize(corpus, bert) == 0


def test_tokenize_killed_at_any_time_goes_on(corpus: Path, bert: str) -> None:
    texts = {f"v{n}": json.dumps(captions(*["the woman flips a pancake"] * 50)) for n in range(800)}
    (corpus / "raw_caption_dedup.pkl").write_bytes(pickle.dumps(texts))
    meta = {number: [f"v{number * 40 + n}" for n in range(40)] for number in range(20)}
    write_meta(corpus / "shards" / "train_meta.pkl", meta)
    (corpus / "shards" / "val_meta.pkl").unlink()
    words = ["captions", "tokenize", str(corpus / "raw_caption_dedup.pkl"), "--bert-name", bert, "-o"]
    process = start_mmpt(*words, corpus / "shards", env={**os.environ, "RAYON_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while len(list((corpus / "shards").glob("*.caps_ids_data.npy"))) < 3 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"
    first = {path: path.stat().st_mtime_ns for path in (corpus / "shards").glob("*_data.npy")}
    assert tokenize(corpus, bert) == 0
    again = {path: path.stat().st_mtime_ns for path in (corpus / "shards").glob("*_data.npy")}
    assert len(again) == 40 and sum(again[path] == first[path] for path in first) >= len(first) - 2
    whole = [ShardedTensor.load(str(path).removesuffix("_data.npy")) for path in sorted(again)]
    assert {len(shard) for shard in whole} == {40} and {len(shard.data) for shard in whole} == {2000}


@pytest.mark.parametrize("words", [["captions"], ["captions", "dedup"], ["captions", "tokenize"]])
def test_help_fits_the_terminal(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "examples:" in told and max(map(len, told.splitlines())) <= 80
