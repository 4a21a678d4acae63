"""mmpt evaluate as a user gives it: real annotations and videos, many checkpoints, what is shown."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmpt.cli.main import main
from mmpt.evaluators.cards import read_card
from tests.conftest import SHARED
from tests.evaluators import worlds
from tests.evaluators.worlds import RETRIEVAL

YAML = "projects/retri/videoclip/test_{}.yaml"
OUT = Path("runs/retri/videoclip")
NAMES = ("bert-base-uncased", "annotations", "videos")
OWN_TABLE = ("dataset.use_annotation_text=null", "dataset.trainval_annotation=null")  # a table says all by itself
CLIPS = ("dog.mp4", "mmaction_demo.mp4", "v_GGSY1Qvo990.mp4", "test.avi", "flipping_a_pancake.mkv")


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MMPT_CACHE", str(folder / "cache"))
    monkeypatch.setattr("mmpt.cli.console.out.width", 80)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in(tmp_path, monkeypatch)
    return worlds.make_world(tmp_path)


@pytest.fixture
def real_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        if not (SHARED / "data" / name).is_dir():
            pytest.skip(f"{SHARED / 'data' / name} is absent: it holds published data, not part of the repository")
    stand_in(tmp_path, monkeypatch)
    return worlds.make_real_world(tmp_path)


def evaluated(name: str, *words: str) -> dict:
    yaml = YAML.format(name)
    if not (OUT / "checkpoint_best.pt").exists():
        worlds.make_checkpoint(yaml, *words)
    assert main(["evaluate", yaml, *words]) == 0
    folder = OUT / name / "eval"
    card = json.loads((folder / "card.json").read_text())
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == card["protocol"]["items"] == len(card["examples"])
    assert (folder / "card.md").read_text().startswith(f"# {yaml}")
    return card


def test_msrvtt_as_published(real_world: Path) -> None:
    videos = worlds.listed("data/msrvtt/MSRVTT_JSFUSION_test.csv")
    assert len(worlds.make_features("data/feat/feat_vtt_s3d", videos)) == 1000
    card = evaluated("vtt_zs")
    assert card["protocol"]["items"] == card["protocol"]["videos"] == 1000 and not card["protocol"]["missing"]
    assert card["baselines"]["chance"] == {"R1": 0.001, "R5": 0.005, "R10": 0.01, "MR": 500.5}
    assert card["results"]["fixed"]["R1"]["value"] < 0.02  # random weights and features


def test_msrvtt_of_real_videos(real_world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Five real videos stand for five that the list names; the others are missing, and told."""
    sources = [str(SHARED / "data" / "videos" / name) for name in CLIPS]
    assert main(["extract", *sources, "-o", "feat", "--backbone", "grid"]) == 0
    videos = worlds.listed("data/msrvtt/MSRVTT_JSFUSION_test.csv")[:5]
    Path("data/feat/feat_vtt_s3d").mkdir(parents=True)
    for name, video in zip(CLIPS, videos, strict=True):
        shutil.copy(Path("feat") / f"{Path(name).stem}.npy", Path("data/feat/feat_vtt_s3d") / f"{video}.npy")
    assert main(["evaluate", YAML.format("vtt_zs")]) == 2  # no weights yet
    worlds.make_checkpoint(YAML.format("vtt_zs"), "dataset.backbone=grid")
    capsys.readouterr()
    assert main(["evaluate", YAML.format("vtt_zs")]) == 2
    assert "holds features of 'grid'" in capsys.readouterr().err
    card = evaluated("vtt_zs", "dataset.backbone=grid")
    assert card["protocol"]["items"] == 5 and len(card["protocol"]["missing"]) == 995
    assert card["protocol"]["features"] == "grid, one vector a second, of unit length"
    assert card["protocol"]["frames per second"] == 4
    assert "995 videos missing" in capsys.readouterr().out


def test_youcook_clips_as_published(real_world: Path) -> None:
    table = "data/youcook/youcook_validation.csv"
    worlds.make_features("data/feat/feat_youcook_s3d", worlds.listed(table)[:60], seconds=(300, 600))
    card = evaluated("youcook_zs", f"dataset.test_path={table}", *OWN_TABLE)
    assert card["protocol"]["videos"] == 60 < card["protocol"]["items"] < 1200
    assert card["examples"][0] == "xHr8X2Wpmno 47-60"


@pytest.mark.parametrize("name", ["didemo_zs", "didemo_retrieval_zs"])
def test_didemo_as_published(real_world: Path, name: str) -> None:
    worlds.make_features("data/feat/feat_didemo_s3d", worlds.listed("data/didemo/test_data.json", "video")[:80])
    card = evaluated(name)
    assert card["protocol"]["videos"] == 80 and card["protocol"]["items"] > 200
    if name == "didemo_zs":
        assert set(card["results"]["fixed"]) == {"rank1", "rank5", "miou"}
        assert card["baselines"]["always the first piece"]["rank1"] > card["baselines"]["chance"]["rank1"]
    else:
        assert card["protocol"]["candidates"].startswith("80 videos")


def test_hmdb51_on_its_three_splits(real_world: Path) -> None:
    clips = worlds.listed("data/hmdb51/hmdb51.csv")
    worlds.make_features("data/feat/feat_hmdb51_s3d", clips[::8], seconds=(1, 6))
    card = evaluated("hmdb51_zs")
    assert card["protocol"]["actions"].startswith("51, each as") and len(card["protocol"]["missing"]) > 3000
    assert {f"acc_split{number}" for number in (1, 2, 3)} < set(card["results"]["fixed"])
    assert card["baselines"]["chance"]["acc_mean"] == pytest.approx(1 / 51)
    assert card["results"]["fixed"]["acc_mean"]["value"] < 0.15


def test_every_task_with_small_annotations(world: Path) -> None:
    """What the tests above do, for those who do not have the published annotations."""
    worlds.make_msrvtt()
    worlds.make_qa()
    worlds.make_didemo()
    worlds.make_hmdb51()
    worlds.make_coin()
    names = ("vtt_zs", "vttqa_zs", "didemo_zs", "didemo_retrieval_zs", "hmdb51_zs", "coin_zs")
    cards = {name: evaluated(name) for name in names}
    assert all(card["protocol"]["task"] and card["baselines"] for card in cards.values())
    assert len({card["hashes"]["annotations"] for card in cards.values()}) == 5  # DiDeMo's are the same


def test_youcook_clips_of_a_small_table(world: Path) -> None:
    Path("data/youcook").mkdir(parents=True)
    table = Path("data/youcook/table.csv")
    table.write_text("end,start,task,text,video_id\n6.5,2,1,pour the water,a\n3,0,1,flip the pancake,b\n8,6,1,pour,a\n")
    worlds.make_features("data/feat/feat_youcook_s3d", "ab", seconds=(10, 12))
    card = evaluated("youcook_zs", f"dataset.test_path={table}", *OWN_TABLE)
    assert card["examples"] == ["a 2-7", "b 0-3", "a 6-8"] and card["protocol"]["videos"] == 2


def test_clips_of_a_rendered_video(world: Path, clip: Path) -> None:
    assert main(["extract", str(clip), "-o", "data/feat/feat_vtt_s3d", "--backbone", "grid"]) == 0
    Path("data/msrvtt").mkdir(parents=True)
    Path("data/msrvtt/MSRVTT_JSFUSION_test.csv").write_text("video_id,sentence\nbar,a dog runs\nlost,pour\n")
    card = evaluated("vtt_zs", "dataset.backbone=grid")
    assert card["protocol"]["missing"] == ["lost"] and card["protocol"]["frames per second"] == 4


def test_what_is_shown_and_written(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    assert main(["evaluate", RETRIEVAL]) == 0
    shown = capsys.readouterr().out
    first = shown.splitlines()[:2]
    assert first == [RETRIEVAL, "text-to-video retrieval: where a text's own video stands among all videos"]
    assert "measure   fixed" in shown and "chance" in shown and "12 items of 12 videos, 0 videos missing" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    line = json.loads((OUT / "vtt_zs/eval/predictions.jsonl").read_text().splitlines()[0])
    assert line["id"] == "video0" and line["sentence"] == "a dog runs w0"
    assert line["measures"]["R1"] == float(line["measures"]["MR"] == 1)
    assert main(["evaluate", RETRIEVAL, "protocol=paper"]) == 0
    assert "measure   paper" in capsys.readouterr().out


def test_long_names_of_measures_stay_whole(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_coin()
    evaluated("coin_zs")
    shown = capsys.readouterr().out
    assert "foreground_acc" in shown and all(len(line) <= 80 for line in shown.splitlines())


def steps_world(golden_dir: Path) -> tuple[str, Path]:
    """A configuration of CrossTask's, whose features can be changed, and the folder of its run."""
    Path("tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    shutil.copytree(golden_dir / "14_eval" / "data", "data")
    folder = Path("runs/test_crosstask")
    folder.mkdir(parents=True)
    shutil.copy(golden_dir / "01_checkpoints" / "joint.pt", folder / "checkpoint_best.pt")
    return str(golden_dir / "14_eval/configs/test_crosstask.yaml"), folder


def test_steps_of_another_split_than_the_papers(
    world: Path, golden_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml, folder = steps_world(golden_dir)
    assert main(["evaluate", yaml]) == 0
    assert "papers' split" not in read_card(folder / "eval").protocol
    tested = read_card(folder / "eval").examples
    Path("data/feat", f"{tested[0]}.npy").unlink()
    capsys.readouterr()
    assert main(["evaluate", yaml]) == 0
    card = read_card(folder / "eval")
    moved = sum(name not in tested for name in card.examples)
    assert f" {moved} of the {len(card.examples)} tested videos are for training" in card.protocol["papers' split"]
    assert "The papers' split: no: it is drawn over" in capsys.readouterr().out


def test_videos_shorter_than_their_steps_are_all_told_before_anything_runs(
    world: Path, golden_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml, folder = steps_world(golden_dir)
    for name in ("p03", "p06"):
        path = Path("data/feat", f"{name}.npy")
        np.save(path, np.load(path)[:2])
    for words in ((), ("--check",)):
        assert main(["evaluate", yaml, *words]) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert "2 videos have fewer seconds of features than steps" in told
        assert "p03: 2 seconds, 3 steps (task 91)" in told and "p06: 2 seconds" in told
    assert not list(folder.rglob("predictions"))


def test_steps_can_be_read(world: Path, golden_dir: Path) -> None:
    yaml, folder = steps_world(golden_dir)
    assert main(["evaluate", yaml]) == 0
    rows = [json.loads(line) for line in (folder / "eval/predictions.jsonl").read_text().splitlines()]
    assert [row["paper"] for row in rows if row["id"] == "p03"] == [[[1], [15], [17]]]


def test_weights_that_the_file_does_not_name(world: Path) -> None:
    worlds.make_msrvtt()
    shutil.move(OUT / "checkpoint_best.pt", "my weights: 1.pt")
    assert main(["evaluate", RETRIEVAL]) == 2
    assert main(["evaluate", RETRIEVAL, "--checkpoint", "my weights: 1.pt", "-o", "results"]) == 0
    assert read_card(Path("results")).protocol["checkpoint"].endswith("my weights: 1.pt")


def test_every_checkpoint_of_a_run(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    (OUT / "checkpoint_best.pt").unlink()  # whatever the file names
    for number in (1, 2, 3):
        path = worlds.make_checkpoint(RETRIEVAL, seed=number, name=f"checkpoint{number}.pt")
        os.utime(path, (1000 * number, 1000 * number))
    shutil.copy(OUT / "checkpoint2.pt", OUT / "checkpoint_last.pt")
    assert main(["evaluate", RETRIEVAL, "--all-checkpoints"]) == 0
    shown = capsys.readouterr().out
    names = [line.split()[0] for line in shown.splitlines() if line.strip().startswith("checkpoint") and ".pt" in line]
    assert names == ["checkpoint1.pt", "checkpoint2.pt", "checkpoint3.pt", "checkpoint_last.pt"]
    values = {
        number: read_card(OUT / f"vtt_zs/eval/checkpoint{number}").results["fixed"]["R1"]["value"]
        for number in (1, 2, 3)
    }
    best = max(values, key=lambda number: values[number])
    flowing = " ".join(shown.split())
    assert "Chosen on the very data" in flowing and "optimistic" in flowing
    same = " are equally good, checkpoint2.pt, checkpoint_last.pt."
    assert f"best: 2{same}" in flowing if best == 2 else f"best: checkpoint{best}.pt." in flowing
    assert "eval/checkpoint1/card.json, card.md, predictions.jsonl; the same in checkpoint2, checkpoint3" in flowing
    first, again = (OUT / "vtt_zs/eval" / name for name in ("checkpoint2", "checkpoint_last"))
    assert not (again / "predictions").exists()  # the weights of checkpoint2.pt, asked once
    assert (again / "predictions.jsonl").read_bytes() == (first / "predictions.jsonl").read_bytes()
    assert read_card(again).results == read_card(first).results and (again / "card.md").is_file()
    assert read_card(again).protocol["checkpoint"].endswith("checkpoint_last.pt")


def test_checkpoints_that_are_equally_good_are_all_named(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    shutil.copy(OUT / "checkpoint_best.pt", OUT / "checkpoint_last.pt")
    assert main(["evaluate", RETRIEVAL, "--all-checkpoints"]) == 0
    flowing = " ".join(capsys.readouterr().out.split())
    assert "best: 2 are equally good, checkpoint_best.pt, checkpoint_last.pt." in flowing


def test_a_broken_checkpoint_does_not_stop_the_others(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    (OUT / "checkpoint1.pt").write_bytes(b"not weights")
    assert main(["evaluate", RETRIEVAL, "--all-checkpoints"]) == 1
    told = capsys.readouterr()
    assert "checkpoint1.pt could not be evaluated" in told.err and "best: checkpoint_best.pt" in told.out
    (OUT / "checkpoint_best.pt").unlink()
    assert main(["evaluate", RETRIEVAL, "--all-checkpoints"]) == 2
    (OUT / "checkpoint1.pt").unlink()
    assert main(["evaluate", RETRIEVAL, "--all-checkpoints"]) == 2
    assert "there is no checkpoint*.pt in runs/retri/videoclip" in capsys.readouterr().err


def test_checking_only(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worlds.make_msrvtt()
    assert main(["evaluate", RETRIEVAL, "--check"]) == 0
    assert "MMFusionSeparate" in capsys.readouterr().out and not list(OUT.rglob("predictions"))
    assert main(["evaluate", RETRIEVAL, "--check", "predictor=DiDeMoPredictor"]) == 2
    assert "no moments" in capsys.readouterr().err


def test_a_training_file_and_a_project(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "projects/retri/videoclip/how2.yaml"]) == 2
    assert "predictor and metric: missing" in capsys.readouterr().err
    assert main(["evaluate", "projects/retri/videoclip.yaml", "--all-checkpoints"]) == 2
    assert main(["evaluate", "projects/retri/videoclip.yaml"]) == 2
    assert "is a project of many tasks" in capsys.readouterr().err


def test_help_answers_without_torch() -> None:
    code = (
        "import sys\nfrom mmpt.cli.main import main\n"
        "try: main(['evaluate', '--help'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mmpt evaluate projects/retri/videoclip/test_youcook_zs.yaml" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
