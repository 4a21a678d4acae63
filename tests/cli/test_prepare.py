"""`mmpt prepare`: rendered videos and subtitles in, a data set that gives batches out."""

import json
import pickle
import shutil
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml

from mmpt.cli.main import main
from mmpt.config import load_config
from mmpt.datasets import build_dataset, build_loader
from mmpt.datasets.narrated import documented, keep_places, split_ids
from mmpt.video.writer import write_video
from tests.conftest import SHARED
from tests.homes import WORDS
from tests.processes import start_mmpt

SENTENCES = ("a woman flips the pancake", "the pancake and water", "two boys arm wrestle", "some water into the pot")


def subtitles(number: int) -> str:
    cues = (
        f"{cue}\n00:00:0{cue},000 --> 00:00:0{cue + 1},500\n{SENTENCES[(cue + number) % len(SENTENCES)]}\n"
        for cue in range(4)
    )
    return "\n".join(cues)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six videos of six seconds with subtitles, a BERT, and what does not fit."""
    folder = tmp_path_factory.mktemp("rendered")
    (folder / "videos").mkdir()
    (folder / "subtitles").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        frames = [np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8) for _ in range(60)]
        write_video(folder / "videos" / f"clip{number}.mp4", iter(frames), fps=10)
        (folder / "subtitles" / f"clip{number}.en.srt").write_text(subtitles(number))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "bert").mkdir()
    (folder / "bert" / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "bert" / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": len(vocabulary)}))
    return folder


@pytest.fixture
def work(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of one's own with these files."""
    shutil.copytree(rendered, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("MMPT_HOME", raising=False)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "work"


def prepare(*more: str, captions: str = "subtitles") -> int:
    words = ["--backbone", "grid", "--bert-name", "bert", "--val-part", "0.45", "-o", "data/mine", *more]
    return main(["prepare", "videos", "--captions", captions, *words])


def failures(folder: Path) -> dict[str, tuple[str, str]]:
    lines = (folder / "data" / "mine" / "failures.jsonl").read_text().splitlines()
    return {entry["video"]: (entry["step"], entry["reason"]) for entry in map(json.loads, lines)}


def take_batch(work: Path) -> dict:
    config = load_config(work / "data" / "mine" / "videoclip.yaml", ["dataset.clip_per_video=3"])
    dataset = build_dataset(config.dataset, seed=1)
    assert dataset.missing == ()
    return next(iter(build_loader(dataset, seed=1)))


def test_what_is_written_gives_batches(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare() == 0
    told = capsys.readouterr()
    assert "features  6 videos done" in told.out and "mmpt train data/mine/videoclip.yaml" in told.out
    assert max(map(len, told.out.splitlines())) <= 80 and not told.err
    assert {path.name for path in (work / "data" / "mine").iterdir()} == {
        *("raw_caption_dedup.pkl", "features", "shards", "train.lst", "val.lst", "videoclip.yaml"),
    }
    train = (work / "data" / "mine" / "train.lst").read_text().split()
    val = (work / "data" / "mine" / "val.lst").read_text().split()
    assert sorted(train + val) == [f"clip{number}" for number in range(6)] and val
    batch = take_batch(work)
    assert batch["vfeats"].shape == (len(train), 3, 32, 512) and batch["vmasks"].any(dim=-1).all()
    assert sorted(batch["video_id"]) == train
    assert (batch["cmasks"].sum(dim=-1) > 3).all(), "a clip without a word"
    config = load_config(work / "data" / "mine" / "videoclip.yaml", ["dataset.split=valid"])
    assert len(build_dataset(config.dataset)) == len(val)
    assert config.dataset.backbone == "grid" and config.save_path == "runs/mine"


def test_a_second_call_keeps_what_is_done(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare() == 0
    mine = work / "data" / "mine"
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert prepare() == 0
    told = capsys.readouterr().out
    assert "0 videos done, 6 were there" in told and "0 written, 2 were there" in told
    changed = {path.name for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert changed <= {"raw_caption_dedup.pkl"}
    shutil.copy(work / "videos" / "clip0.mp4", work / "videos" / "new.mp4")
    shutil.copy(work / "subtitles" / "clip0.en.srt", work / "subtitles" / "new.srt")
    sides = {split: set((mine / f"{split}.lst").read_text().split()) for split in ("train", "val")}
    assert prepare() == 0
    assert "1 videos done, 6 were there" in capsys.readouterr().out
    for split, ids in sides.items():
        assert ids <= set((mine / f"{split}.lst").read_text().split()), "a video changed sides"
    assert len(take_batch(work)["video_id"]) == len((mine / "train.lst").read_text().split())


def test_a_further_video_changes_only_the_last_shard(work: Path) -> None:
    shards = work / "data" / "mine" / "shards"
    assert prepare("--shard-size", "2") == 0
    before = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    order = (work / "data" / "mine" / "train.lst").read_text()
    ids = [f"clip{number}" for number in range(6)]
    name = next(name for name in (f"a{n}" for n in range(99)) if name in split_ids([*ids, name], 0.45)["train"])
    shutil.copy(work / "videos" / "clip0.mp4", work / "videos" / f"{name}.mp4")
    shutil.copy(work / "subtitles" / "clip0.en.srt", work / "subtitles" / f"{name}.srt")
    assert prepare("--shard-size", "2") == 0
    assert (work / "data" / "mine" / "train.lst").read_text() == f"{order}{name}\n"
    kept = {path.name for path in shards.iterdir() if path.stat().st_mtime_ns == before.get(path.name)}
    written = {path.name for path in shards.iterdir()} - kept
    last = f"train_{len(order.splitlines()) // 2}"
    assert written and all(last in found or found == "train_meta.pkl" for found in written), written


def test_places_of_a_list_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "train.lst"
    assert keep_places(path, ["c", "a", "b"]) == ["a", "b", "c"]
    path.write_text("".join(f"{name}\n" for name in "dbcae"))
    assert keep_places(path, "abcdefA") == [*"dbcaeAf"]
    assert keep_places(path, "acdefA") == [*"dAcaef"], "a new one takes the place of one that is gone"
    assert keep_places(path, "acd") == [*"dac"], "the last one takes it"
    assert keep_places(path, "xy") == [*"xy"]


def test_what_cannot_be_used_is_listed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "videos" / "broken.mp4").write_bytes(b"no video")
    (work / "subtitles" / "broken.srt").write_text(subtitles(0))
    (work / "subtitles" / "unseen.srt").write_text(subtitles(0))
    (work / "subtitles" / "clip5.en.srt").write_text("1\n00:00:05,000 --> 00:00:04,000\nlate\n")
    (work / "subtitles" / "clip4.en.srt").write_text("1\n00:00:01,000 --> 00:00:04,000\n<i> </i>\n")
    (work / "subtitles" / "clip3.en.srt").unlink()
    (work / "subtitles" / "clip2.de.srt").write_text(subtitles(0))
    assert prepare() == 1
    found = failures(work)
    assert {video: step for video, (step, _) in found.items()} == {
        "broken": "features",
        **{f"clip{number}": "captions" for number in (2, 3, 4, 5)},
    }
    assert "ends before it starts" in found["clip5"][1] and "says anything" in found["clip4"][1]
    assert "no captions in subtitles" in found["clip3"][1] and "--language" in found["clip2"][1]
    assert (work / "data" / "mine" / "captions_without_video.lst").read_text() == "unseen\n"
    assert "5 cannot be used as given; the reasons are in data/mine/failures.jsonl" in capsys.readouterr().err
    assert len(take_batch(work)["video_id"]) == 1
    assert prepare("--language", "en") == 1
    assert "clip2" not in failures(work)


def test_captions_beyond_the_end_of_a_video_are_told_and_most_of_them_leave_it_out(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = subtitles(2).replace("00:00:0", "00:01:0")  # videos take six seconds
    (work / "subtitles" / "clip0.en.srt").write_text(late)
    (work / "subtitles" / "clip1.en.srt").write_text(
        f"{subtitles(1)}\n{late.splitlines()[1]}\n{late.splitlines()[2]}\n"
    )
    assert prepare() == 1
    told = capsys.readouterr()
    assert "captions behind the end of their video: 1, in 1 of 6 videos" in told.out
    step, reason = failures(work)["clip0"]
    assert step == "captions" and "4 of its 4 captions begin behind its end, at 6 s" in reason
    assert reason in told.err and len(failures(work)) == 1
    listed = "".join((work / "data" / "mine" / f"{split}.lst").read_text() for split in ("train", "val"))
    assert sorted(listed.split()) == [f"clip{number}" for number in range(1, 6)]


def test_odd_names_of_subtitles_and_names_in_both_forms_of_unicode(work: Path, capsys) -> None:
    nfc, nfd = (unicodedata.normalize(form, "Crème") for form in ("NFC", "NFD"))
    subs, videos = work / "subtitles", work / "videos"
    for old, new in (("clip0", nfd), ("clip1", f"2 {nfc}")):
        (videos / f"{old}.mp4").rename(videos / f"{new}.mp4")
    (subs / "clip0.en.srt").rename(subs / f"{nfc}.en-ehkg1hFWq8A.srt")
    (subs / "clip1.en.srt").rename(subs / f"2 {nfd}.eng.sdh.srt")
    (subs / "clip2.en.srt").rename(subs / "clip2.final.srt")
    (subs / "clip3.en.srt").write_text(f"1\n00:00:01,000 --> {'9' * 400}:00:04,000\nlate\n")
    assert prepare() == 1
    found = failures(work)
    assert set(found) == {"clip2", "clip3"} and "clip3.en.srt, line 2" in found["clip3"][1]
    assert "subtitles/clip2.final.srt begins with the video's" in found["clip2"][1]
    mine = work / "data" / "mine"
    ids = {nfd, f"2 {nfc}", "clip4", "clip5"}  # as the videos are called
    assert {line for split in ("train", "val") for line in (mine / f"{split}.lst").read_text().splitlines()} == ids
    assert set(pickle.loads((mine / "raw_caption_dedup.pkl").read_bytes())) == ids
    assert {path.stem for path in (mine / "features").glob("*.npy")} == ids
    content = {name: {"start": [0], "end": [2], "text": ["a dog runs"]} for name in (nfc, f"2 {nfd}", "clip4", "clip5")}
    (work / "raw_caption.json").write_text(json.dumps(content))
    assert prepare(captions="raw_caption.json") == 1
    assert set(failures(work)) == {"clip2", "clip3"} and not (mine / "captions_without_video.lst").exists()
    assert set(pickle.loads((mine / "raw_caption_dedup.pkl").read_bytes())) == ids
    for split in ("train", "val"):  # lists that came from another system
        path = mine / f"{split}.lst"
        path.write_text(unicodedata.normalize("NFD", path.read_text()))
    lists = ("--train", str(mine / "train.lst"), "--val", str(mine / "val.lst"))
    assert main(["shard", str(mine / "features"), "-o", str(mine / "shards"), *lists]) == 0
    words = [str(work / "raw_caption.json"), "--bert-name", "bert", "-o", str(mine / "shards")]
    assert main(["captions", "tokenize", *words]) == 0, capsys.readouterr().err
    assert take_batch(work)["vmasks"].any()


def test_captions_may_come_from_a_file_or_lie_beside_the_videos(work: Path) -> None:
    captions = {"start": [0, 2], "end": [2, 5], "text": ["a dog runs", "the woman"]}
    content = {f"clip{number}": captions for number in range(6)} | {"other": captions}
    (work / "raw_caption.json").write_text(json.dumps(content))
    assert prepare(captions="raw_caption.json") == 0
    assert (work / "data" / "mine" / "captions_without_video.lst").read_text() == "other\n"
    for path in (work / "subtitles").iterdir():
        shutil.move(path, work / "videos")
    words = ["videos", "--backbone", "grid", "--bert-name", "bert", "-o", "data/beside"]
    assert main(["prepare", *words]) == 0
    assert len(pickle.loads((work / "data" / "beside" / "raw_caption_dedup.pkl").read_bytes())) == 6


def test_a_yaml_file_that_was_changed_is_left(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare() == 0
    target = work / "data" / "mine" / "videoclip.yaml"
    written = target.read_text()
    assert yaml.safe_load(written)["dataset"]["train_path"] == "data/mine/train.lst"
    assert prepare("--shard-size", "2") == 0 and target.read_text() == written
    target.write_text(written.replace("runs/mine", "runs/other"))
    capsys.readouterr()
    assert prepare() == 0
    assert "was changed by hand" in capsys.readouterr().out and "runs/other" in target.read_text()


def test_too_few_videos_are_an_error_that_says_why(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 6):
        (work / "videos" / f"clip{number}.mp4").write_bytes(b"no video")
    assert prepare() == 2
    told = capsys.readouterr().err
    assert "1 video can be used, and at least 2 are needed" in told and "5 cannot be used as given" in told
    assert len(failures(work)) == 5


def test_too_few_videos_with_captions_are_told_before_any_is_extracted(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 6):
        (work / "subtitles" / f"clip{number}.en.srt").unlink()
    assert prepare() == 2
    assert "1 video can be used, and at least 2 are needed" in capsys.readouterr().err
    assert not list((work / "data").rglob("*.npy"))


def test_captions_of_other_videos_are_an_error(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    captions = {"start": [0], "end": [2], "text": ["a dog runs"]}
    (work / "raw_caption.json").write_text(json.dumps({"clip0.mp4": captions}))
    assert prepare(captions="raw_caption.json") == 2
    assert "videos such as 'clip0', and captions such as 'clip0.mp4'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--val-part", "1.5"], "the part for validation is 1.5"),
        (["--workers", "0"], "--workers is 0"),
        (["--backbone", "grit"], "did you mean 'grid'"),
        (["--bert-name", "./none"], "./none"),
    ],
)
def test_nothing_is_begun_that_cannot_end(
    work: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert prepare(*more) == 2
    assert message in capsys.readouterr().err and not (work / "data").exists()


def test_captions_must_be_somewhere(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["videos/clip0.mp4", "--backbone", "grid", "--bert-name", "bert", "-o", "data/mine"]
    assert main(["prepare", *words]) == 2
    assert "--captions is missing" in capsys.readouterr().err


def test_killed_at_any_time_it_goes_on(work: Path) -> None:
    words = ["videos", "--captions", "subtitles", "--backbone", "grid", "--bert-name", "bert", "-o", "data/mine"]
    process = start_mmpt("prepare", *words, cwd=Path.cwd())
    deadline = time.monotonic() + 120
    while not list((work / "data").rglob("features/clip*.npy")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert prepare() == 0
    assert len(take_batch(work)["video_id"]) >= 3


def test_the_split_depends_on_the_ids_only() -> None:
    ids = [f"v{number}" for number in range(2000)]
    split = split_ids(ids, 0.05)
    assert split == split_ids(reversed(ids), 0.05) and 60 < len(split["val"]) < 140
    assert set(split_ids(ids[:1000], 0.05)["val"]) <= set(split["val"])
    assert {side: len(part) for side, part in split_ids(["a", "b"], 0.001).items()} == {"train": 1, "val": 1}
    assert {side: len(part) for side, part in split_ids(["a", "b"], 0.999).items()} == {"train": 1, "val": 1}


def test_paths_are_written_as_yaml_files_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    assert documented(Path("data/mine")) == "data/mine"
    monkeypatch.setenv("MMPT_HOME", str(tmp_path / "home"))
    assert documented(Path("data/mine")) == str(tmp_path / "data" / "mine")
    assert documented(Path("home/data")) == "data"


def test_real_videos(real_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    texts = {"dog": "a dog runs across the floor", "flipping_a_pancake": "she flips the pancake in the pan"}
    content = {
        key: {"start": [0, 2.5], "end": [2.6, 5], "text": [text, f"{text} again"]} for key, text in texts.items()
    }
    Path("raw_caption.json").write_text(json.dumps(content))
    names = [str(real_videos / name) for name in ("dog.mp4", "flipping_a_pancake.mkv")]
    bert = str(SHARED / "data" / "bert-base-uncased")
    words = ["--captions", "raw_caption.json", "--backbone", "grid", "--bert-name", bert, "-o", "data/mine"]
    assert main(["prepare", *names, *words]) == 0
    config = load_config("data/mine/videoclip.yaml")
    batch = next(iter(build_loader(build_dataset(config.dataset))))
    assert batch["vfeats"].shape[:2] == (1, 16) and batch["vfeats"].abs().sum() > 0
