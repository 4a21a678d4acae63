"""Every fine-tuning file that is shipped trains from its documented checkpoint, and its test file evaluates it.

The data are the small made-up sets of the recorded evaluations, laid out as the documentation says.
"""

import json
import shutil
from pathlib import Path

import pytest

from mmpt.cli.main import main
from mmpt.evaluators.cards import read_card
from tests.conftest import ROOT
from tests.training.worlds import curve

SHORTER = (
    *("dataset.bert_name=tiny-bert", "fairseq.dataset.num_workers=0"),
    *("fairseq.optimization.warmup_updates=0", "fairseq.optimization.lr=[0.002]", "fairseq.optimization.max_epoch=3"),
)
FILES = {
    "mtm/vlm": ("vtt", "vttqa", "youcook", "youcookcap", "coin", "crosstask"),
    "retri/videoclip": (
        "vtt_videoclip",
        "vttqa_videoclip",
        "youcook_videoclip",
        "coin_videoclip",
        "crosstask_videoclip",
    ),
}
CASES = [(project, name) for project, names in FILES.items() for name in names]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, golden_dir: Path) -> Path:
    """The documented places, filled with the recorded data and checkpoints."""
    home, data = tmp_path_factory.mktemp("home"), golden_dir / "14_eval" / "data"
    shutil.copytree(ROOT / "projects", home / "projects")
    (home / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    (home / "data" / "feat").mkdir(parents=True)
    for name in ("vtt", "youcook", "coin", "crosstask"):
        (home / "data" / "feat" / f"feat_{name}_s3d").symlink_to(data / "feat")
    for folder in ("msrvtt", "msrvtt-qa", "youcook", "coin"):
        (home / "data" / folder).mkdir()
    videos = [f"p{number:02}" for number in range(10)]
    vtt = home / "data" / "msrvtt"
    shutil.copy(data / "msrvtt" / "test.csv", vtt / "MSRVTT_JSFUSION_test.csv")
    for name in ("MSRVTT_train.csv", "MSRVTT_FULL_test.csv"):
        (vtt / name).write_text("video_id\n" + "\n".join(videos) + "\n")
    rows = [line.split(",") for line in (data / "msrvtt" / "test.csv").read_text().splitlines()[1:]]
    said = [{"video_id": row[2], "caption": row[3], "sen_id": number} for number, row in enumerate(rows)]
    (vtt / "MSRVTT_data.json").write_text(json.dumps({"sentences": said}))
    shutil.copy(data / "msrvtt-qa" / "test.csv", home / "data" / "msrvtt-qa" / "MSR_MC_test.csv")
    cooking = home / "data" / "youcook"
    shutil.copy(data / "youcook" / "ann.json", cooking / "youcookii_annotations_trainval.json")
    for split in ("train", "val"):
        shutil.copy(data / "youcook" / "val.pkl", cooking / f"youcook_{split}.pkl")
        shutil.copy(data / "youcook" / "val_list.txt", cooking / f"{split}_list.txt")
    coin = json.loads((data / "coin" / "COIN.json").read_text())
    coin["database"] |= {  # a video is learnt from under another name
        f"{name}.mp4": {**record, "subset": "training"} for name, record in coin["database"].items()
    }
    (home / "data" / "coin" / "COIN.json").write_text(json.dumps(coin))
    shutil.copytree(data / "crosstask", home / "data" / "crosstask" / "crosstask_release")
    for source, target in (
        ("vlm_mtm.pt", "mtm/vlm/checkpoint_best.pt"),
        ("vlm_mtm.pt", "mtm/vlm/checkpoint11.pt"),
        ("videoclip.pt", "retri/videoclip/checkpoint_best.pt"),
    ):
        (home / "runs" / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(golden_dir / "01_checkpoints" / source, home / "runs" / target)
    return home


def overrides(project: str, name: str) -> list[str]:
    more = [] if name == "youcookcap" else ["dataset.num_iso_layer=3"]
    more += ["model.num_hidden_video_layers=2"] if project == "retri/videoclip" else []
    return [*SHORTER[:2], *more, *(["dataset.n_train=1"] if "crosstask" in name else [])]


@pytest.mark.parametrize(("project", "name"), CASES)
def test_a_shipped_file_trains_and_its_test_evaluates(
    home: Path, project: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path))
    words = [*overrides(project, name), *SHORTER[2:]]
    size = [] if "coin" in name or "crosstask" in name else ["fairseq.dataset.batch_size=4"]
    path = f"projects/{project}/{name}.yaml"
    assert main(["train", path, "--device", "cpu", *words, *size]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "starting from runs/" in told and "done: 3 epochs" in told
    run = home / "runs" / project / name.removesuffix("_videoclip")
    losses = [line["loss"] for line in curve(run.parent, "epoch", run.name)]
    assert len(losses) == 3 and losses[-1] < losses[0]
    test = f"projects/{project}/test_{name}.yaml"
    assert main(["evaluate", test, *overrides(project, name)]) == 0, capsys.readouterr().err
    card = read_card(run / "eval")
    assert card.protocol["checkpoint"].startswith(f"runs/{project}/") and card.results["fixed"]


def test_another_architecture_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(home)
    words = [*overrides("mtm/vlm", "vtt"), "fairseq.checkpoint.restore_file=runs/retri/videoclip/checkpoint_best.pt"]
    assert main(["train", "projects/mtm/vlm/vtt.yaml", *words, "fairseq.checkpoint.save_dir=runs/other"]) == 2
    told = capsys.readouterr().err
    assert "checkpoint_best.pt does not fit MMFusionJoint" in told and "missing (" in told and "model_cls" in told
    assert not (home / "runs" / "other").exists()


def test_a_checkpoint_that_is_not_there_is_told(home: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(home)
    words = [*overrides("mtm/vlm", "vtt"), "fairseq.checkpoint.restore_file=runs/none/checkpoint_best.pt"]
    assert main(["train", "projects/mtm/vlm/vtt.yaml", *words]) == 2
    assert (
        "fairseq.checkpoint.restore_file is runs/none/checkpoint_best.pt, and nothing is at" in capsys.readouterr().err
    )


def test_a_killed_reader_is_explained(home: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.chdir(home)
    words = [*overrides("mtm/vlm", "vtt"), "fairseq.dataset.batch_size=4", "fairseq.checkpoint.save_dir=runs/killed"]
    words += ["dataset.aligner=tests.training.tasks_of_ones_own:Deadly", "fairseq.dataset.num_workers=1"]
    assert main(["train", "projects/mtm/vlm/vtt.yaml", "--device", "cpu", *words]) == 2
    told = capfd.readouterr().err
    assert "DataLoader worker" in told and "take fewer of them (fairseq.dataset.num_workers)" in told
