"""The tutorial's model, from frames to score."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from mmpt.models import MMPTModel
from mmpt.models.base import MMFusionOutput
from tests.parity.comparing import ABSOLUTE, S3D, assert_close
from tests.parity.recipes import s3d_video, s3d_weights, s3d_words

COVERS = "06_e2e"
FRAMES = re.compile(r"v = video\((\d+), 1, (\d+), (\d+), (\d+)\)")


class Case(NamedTuple):
    folder: Path
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def file(self) -> dict:
        return json.loads((self.folder / "mmptmodel.json").read_text())


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, name) for name in json.loads((folder / "mmptmodel.json").read_text())["cases"]]


def test_every_file_belongs_to_a_case(golden_dir: Path) -> None:
    folder = golden_dir / COVERS
    about = json.loads((folder / "mmptmodel.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"mmptmodel.json", about["file"]}
    assert {key.split("/")[0] for key in about["tensors"]} == set(about["cases"])


@pytest.fixture(scope="module")
def loaded(golden_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """The model as a user has it: YAML file, checkpoint and S3D files at their documented places."""
    home = tmp_path_factory.mktemp("home")
    about = json.loads((golden_dir / COVERS / "mmptmodel.json").read_text())
    run = yaml.safe_load(about["config_yaml"])
    checkpoint = home / run["eval"]["save_path"] / "checkpoint_best.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.symlink_to((golden_dir / COVERS / about["checkpoint"]).resolve())
    (home / run["dataset"]["bert_name"]).symlink_to((golden_dir / "common" / run["dataset"]["bert_name"]).resolve())
    (home / "how2.yaml").write_text(about["config_yaml"])
    shapes = json.loads((golden_dir / "05_s3d" / "s3d.json").read_text())["state_dict"]
    (home / "pretrained_models").mkdir()
    arrays = s3d_weights({key: entry["shape"] for key, entry in shapes.items()}, about["s3d_seed"])
    state = {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}
    torch.save(state, home / "pretrained_models" / "s3d_howto100m.pth")
    np.save(home / "pretrained_models" / "s3d_dict.npy", s3d_words(about["s3d_seed"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("MMPT_HOME", raising=False)
        yield MMPTModel.from_pretrained("how2.yaml")


def test_score(case: Case, loaded: tuple) -> None:
    model, tokenizer, aligner = loaded
    about = case.file["cases"][case.name]
    tensors = load_file(case.folder / case.file["file"])
    recorded = {key.removeprefix(f"{case}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{case}/")}
    frames = video_frames(about)
    caps, cmasks = aligner._build_text_seq(tokenizer(about["text"], add_special_tokens=False)["input_ids"])
    caps, cmasks = caps[None], cmasks[None]
    known = {"in/caps", "in/cmasks", "out/s3d_video_embedding", "out/pooled_video", "out/pooled_text", "out/score"}
    assert set(recorded) == known
    assert_close(caps, recorded["in/caps"], "caps")
    assert_close(cmasks, recorded["in/cmasks"], "cmasks")
    with torch.no_grad():
        features = model.encode_frames(frames[0])
        check_towers(model.model(caps, cmasks, *in_a_batch(recorded["out/s3d_video_embedding"])), recorded, ABSOLUTE)
        # From frames on, S3D's own rounding, which changes with the number of threads, is part of every number.
        check_towers(model.model(caps, cmasks, *in_a_batch(features)), recorded, S3D)
        score = model(frames, caps, cmasks, return_score=True)["score"]
    assert_close(features, recorded["out/s3d_video_embedding"], "S3D's output", absolute=S3D)
    assert_close(score, recorded["out/score"], "score", absolute=S3D)
    assert about["score"] == pytest.approx(recorded["out/score"].item())


def check_towers(output: MMFusionOutput, recorded: dict[str, torch.Tensor], absolute: float) -> None:
    assert output.pooled_text is not None and output.pooled_video is not None
    assert_close(output.pooled_text, recorded["out/pooled_text"], "pooled_text")
    assert_close(output.pooled_video, recorded["out/pooled_video"], "pooled_video", absolute=absolute)
    score = (output.pooled_video * output.pooled_text).sum(dim=1)
    assert_close(score, recorded["out/score"], "score from vectors", absolute=absolute)


def in_a_batch(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return features[None], torch.ones(1, len(features), dtype=torch.bool)


def test_a_batch_gives_what_its_rows_give(golden_dir: Path, loaded: tuple) -> None:
    model, tokenizer, aligner = loaded
    cases = [case.file["cases"][case.name] for case in list_cases(golden_dir / COVERS)]
    seconds = min(about["seconds"] for about in cases)
    frames = torch.cat([video_frames(about)[:, :seconds] for about in cases])
    texts = [tokenizer(about["text"], add_special_tokens=False)["input_ids"] for about in cases]
    caps, cmasks = (torch.stack(part) for part in zip(*map(aligner._build_text_seq, texts), strict=True))
    with torch.no_grad():
        together = model(frames, caps, cmasks, return_score=True)["score"]
        alone = [
            model(frames[i : i + 1], caps[i : i + 1], cmasks[i : i + 1], return_score=True) for i in range(len(cases))
        ]
    assert_close(together, torch.cat([row["score"] for row in alone]), "score", absolute=S3D)


def video_frames(about: dict) -> torch.Tensor:
    """(1, seconds, 30, H, W, 3), as the case describes it."""
    recipe = FRAMES.search(about["video_frames"])
    assert recipe, f"this suite does not know how to make {about['video_frames']!r}"
    seed, length, height, width = map(int, recipe.groups())
    video = s3d_video(seed, 1, length, height, width)[0].transpose(1, 2, 3, 0)
    return torch.from_numpy(np.ascontiguousarray(video)).reshape(1, about["seconds"], -1, height, width, 3)
