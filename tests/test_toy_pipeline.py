"""Both papers' projects, from raw video to result cards, in a toy world of eight videos, through the commands."""

import json
import math
from pathlib import Path

import pytest

from mmpt.cli.demo import standing_in, steps
from mmpt.cli.main import main
from mmpt.config import load_config
from mmpt.config.project import read_project
from mmpt.evaluators.cards import headline, read_card
from mmpt.text.captionfiles import read_entries
from mmpt.text.captions import parse_captions
from mmpt.text.tokenizer import load_tokenizer
from mmpt.training.metrics_log import read_metrics
from tests.conftest import ROOT

VIDEOS = 8
SHORT = ["fairseq.optimization.max_update=3", "fairseq.optimization.max_epoch=0"]
FEW = {  # a world of eight videos has no clusters of 32, and no batches of 128 clips
    "toy/videoclip": ["dataset.num_video_per_batch=4", "num_cands=6"],
    "toy/vlm": ["fairseq.dataset.batch_size=16"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared world: drawn, extracted, cleaned, with a vocabulary, sharded, cut into word pieces."""
    home = tmp_path_factory.mktemp("toy")
    with standing_in(home):
        for _, commands in steps(VIDEOS, 0):
            for words in commands:
                assert main(words) == 0
    return home


@pytest.mark.parametrize("name", FEW)
def test_every_stage_of_a_project_runs(name: str, world: Path, capsys: pytest.CaptureFixture) -> None:
    project = read_project(ROOT / "projects" / f"{name}.yaml")
    kinds = {file.path: "predictor" in file.values for file in project.files}
    staged = [path for stage in project.stages for path in stage]
    assert sorted(staged) == sorted(kinds), "each task of the project is a stage of it"
    with standing_in(world):
        for path in staged:
            yaml = f"projects/{name}/{path.name}"
            if kinds[path]:
                assert main(["evaluate", yaml]) == 0, capsys.readouterr().err
                run = load_config(yaml)
                card = read_card(Path(str(run.save_path)))
                value = card.results["fixed"][headline(card)]["value"]
                assert value is None or math.isfinite(value)
                assert card.protocol["items"] > 0 and not card.protocol["missing"] and card.baselines
            else:
                few = FEW[name] if path == staged[0] else []
                assert main(["train", yaml, "--from-scratch", *SHORT, *few]) == 0, capsys.readouterr().err
                lines = read_metrics(Path(load_config(yaml).checkpoint.save_dir))
                losses = [line["loss"] for line in lines if line["kind"] == "update"]
                assert len(losses) == 3 and all(map(math.isfinite, losses))
    told = capsys.readouterr().out
    assert "starting from random weights" in told and "starting from runs/toy" in told


def test_a_dry_run_writes_the_files_that_come_with_the_package(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with standing_in(tmp_path):
        for name in FEW:
            assert main(["launch", f"projects/{name}.yaml", "--dryrun"]) == 0
            for path in sorted(Path("projects", name).iterdir()):
                assert path.read_text() == (ROOT / path).read_text(), f"{path} is not what projects/{name}.yaml says"
            assert len(list(Path("projects", name).iterdir())) == len(list((ROOT / "projects" / name).iterdir()))


def test_launching_starts_from_random_weights_where_it_is_told_to(capsys: pytest.CaptureFixture) -> None:
    yaml = "projects/toy/videoclip/{}.yaml"
    words = [",".join(yaml.format(task) for task in ("how2", "test_vtt_zs")), "--dryrun", "--from-scratch"]
    assert main(["launch", words[0], "--jobtype", "local_single", "--dryrun", "--from-scratch"]) == 0
    assert "how2.yaml --from-scratch" in capsys.readouterr().out
    assert main(["launch", yaml.format("test_vtt_zs"), *words[1:]]) == 0
    assert "--from-scratch" not in capsys.readouterr().out


def test_captions_of_the_world_are_clean_and_its_words_whole(world: Path) -> None:
    """What is trained on says no word twice in a row, and is cut into words, not letters."""
    folder = world / "data/toy"
    raw = json.loads((folder / "how2/raw_caption.json").read_text())
    clean = {
        entry.video_id: parse_captions(entry.value, backwards=True)
        for entry in read_entries(folder / "how2/raw_caption_dedup.pkl")
    }
    assert set(raw) == set(clean) and len(clean) == VIDEOS
    spoken = [text for captions in clean.values() for text in captions.text if text]
    said = sum(len(text.split()) for entry in raw.values() for text in entry["text"])
    assert sum(len(text.split()) for text in spoken) < said
    tokenizer = load_tokenizer(folder / "bert")
    pieces = [len(tokenizer.tokenize(text)) / len(text.split()) for text in spoken]
    assert sum(pieces) / len(pieces) < 1.5
