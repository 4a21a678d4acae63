"""A model whose answers are no numbers has no score, and one that says the same of all is at chance."""

from pathlib import Path

import pytest
import torch

from mmpt.cli.main import main
from mmpt.evaluators.cards import Card, read_card
from tests.evaluators import worlds

YAML = "projects/retri/videoclip/test_{}.yaml"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden_dir: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    worlds.make_world(tmp_path)
    worlds.make_msrvtt()
    worlds.make_qa()
    worlds.make_didemo()
    worlds.make_coin()
    worlds.make_hmdb51()
    return tmp_path


def spoil(path: Path, value: float, *, only: str = "") -> None:
    """Set the weights whose names hold some word, or all, to one value."""
    stored = torch.load(path, weights_only=False)
    for name, tensor in stored["model"].items():
        if tensor.is_floating_point() and only in name:
            tensor.fill_(value)
    torch.save(stored, path)


def crosstask(golden_dir: Path) -> list[str]:
    data = golden_dir / "14_eval" / "data"
    places = {
        "train_csv_path": "videos.csv",
        "val_csv_path": "videos_val.csv",
        "primary_path": "tasks_primary.txt",
        "related_path": "tasks_related.txt",
        "annotation_path": "annotations",
        "test_path": "videos_val.csv",
    }
    named = [f"dataset.{key}={data / 'crosstask' / place}" for key, place in places.items()]
    return [*named, f"dataset.vfeat_dir={data / 'feat'}", "dataset.n_train=1"]


TASKS = ["vtt_zs", "vttqa_zs", "didemo_zs", "didemo_retrieval_zs", "coin_zs", "coin_videoclip", "hmdb51_zs"]


@pytest.mark.parametrize("name", [*TASKS, "crosstask_zs_videoclip"])
@pytest.mark.parametrize("part", ["", "video_encoder"])
def test_answers_that_are_no_numbers_are_refused(
    world: Path, golden_dir: Path, capsys: pytest.CaptureFixture[str], name: str, part: str
) -> None:
    yaml = YAML.format(name)
    overrides = crosstask(golden_dir) if "crosstask" in name else []
    spoil(worlds.make_checkpoint(yaml, *overrides), float("nan"), only=part)
    assert main(["evaluate", yaml, *overrides]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "the model's answers for " in told and "are not finite" in told and "Traceback" not in told
    assert not list(world.glob("runs/**/card.json")) and not list(world.glob("runs/**/part_*.npz"))


def test_a_sweep_goes_past_a_checkpoint_of_nan(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yaml = YAML.format("vtt_zs")
    spoil(worlds.make_checkpoint(yaml, seed=1, name="checkpoint_b.pt"), float("nan"))
    assert main(["evaluate", yaml, "--all-checkpoints"]) == 1
    told = capsys.readouterr()
    assert "checkpoint_b.pt could not be evaluated" in " ".join(told.err.split())
    assert "best: checkpoint_best.pt" in told.out and "checkpoint_b.pt" not in told.out


@pytest.mark.parametrize("name", ["vtt_zs", "vttqa_zs", "hmdb51_zs"])
@pytest.mark.parametrize("bias", [0.0, 1.0, 0.3])
def test_a_model_that_says_the_same_of_all_is_at_chance(world: Path, name: str, bias: float) -> None:
    yaml = YAML.format(name)
    path = worlds.make_checkpoint(yaml)
    spoil(path, 0.0)
    spoil(path, bias, only="LayerNorm.bias")
    assert main(["evaluate", yaml]) == 0
    (folder,) = {found.parent for found in world.glob("runs/**/card.json")}
    card: Card = read_card(folder)
    fixed = {name: told["value"] for name, told in card.results["fixed"].items()}
    chance = dict(card.baselines["chance"])
    # means over more or fewer equal seconds differ in the last bit, which is no difference
    assert fixed == pytest.approx(chance)
