"""The tutorial, as the README prints it, run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpt.models import MMPTModel
from tests.conftest import ROOT
from tests.homes import BASE, YAMLS, make_home

BLOCK = re.compile(r"```python\n(import torch\nfrom mmpt\.models import MMPTModel\n.*?)```", re.DOTALL)


def run_readme(model: str) -> torch.Tensor:
    """Run the README's block, for another model if need be, and give the score it prints."""
    found = BLOCK.search((ROOT / "README.md").read_text())
    assert found, "the README does not hold the tutorial any more"
    names: dict = {}
    exec(compile(found[1].replace(YAMLS["videoclip"], YAMLS[model]), "README.md", "exec"), names)
    assert names["caps"].shape == names["cmasks"].shape == (1, 64)
    return names["output"]["score"]


@pytest.mark.parametrize("model", YAMLS)
def test_it_runs_as_written(in_tiny_home: Path, model: str) -> None:
    score = run_readme(model)
    assert score.shape == (1,) and torch.isfinite(score).all()


@pytest.mark.parametrize("model", YAMLS)
def test_it_runs_at_full_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    make_home(tmp_path, BASE, models=(model,), words=30_522)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    score = run_readme(model)
    assert score.shape == (1,) and torch.isfinite(score).all()


def test_bytes_and_floats_give_the_same_score(in_tiny_home: Path) -> None:
    model, tokenizer, aligner = MMPTModel.from_pretrained(YAMLS["videoclip"])
    caps, cmasks = aligner._build_text_seq(tokenizer("a dog runs", add_special_tokens=False)["input_ids"])
    frames = torch.randint(0, 256, (1, 1, 30, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        as_bytes = model(frames, caps[None], cmasks[None], return_score=True)["score"]
        as_floats = model(frames / 255, caps[None], cmasks[None], return_score=True)["score"]
        vectors = model(frames, caps[None], cmasks[None])
    assert torch.allclose(as_bytes, as_floats, atol=1e-6)
    assert torch.allclose((vectors["pooled_video"] * vectors["pooled_text"]).sum(1), as_bytes, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(1, 33, 30, 64, 64, 3), "with 1 to 32 seconds"),
        (torch.zeros(1, 0, 30, 64, 64, 3), "with 1 to 32 seconds"),
        (torch.zeros(2, 30, 64, 64, 3), r"it takes \(batch, seconds, 30, height, width, 3\)"),
        (torch.zeros(1, 1, 30, 64, 64, 1), r"it takes \(batch, seconds, 30, height, width, 3\)"),
        (torch.zeros(1, 1, 10, 64, 64, 3), r"it takes \(batch, seconds, 30, height, width, 3\)"),
        (torch.zeros(1, 1, 30, 64, 64, 3, dtype=torch.int32), "it takes uint8"),
        (np.zeros((1, 1, 30, 64, 64, 3)), "is a ndarray; it takes a tensor"),
        (torch.zeros(2, 1, 30, 64, 64, 3), r"do not fit 2 videos; both take \(batch, places\)"),
    ],
)
def test_frames_that_do_not_fit_are_told(in_tiny_home: Path, frames, message: str) -> None:
    model, _, aligner = MMPTModel.from_pretrained(YAMLS["videoclip"])
    caps, cmasks = aligner._build_text_seq([5])
    with pytest.raises(ValueError, match=message):
        model(frames, caps[None], cmasks[None])


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("runs/retri/videoclip/checkpoint_best.pt", "mmpt download videoclip"),
        ("pretrained_models/s3d_howto100m.pth", "mmpt download s3d"),
        ("pretrained_models/s3d_dict.npy", "mmpt download s3d"),
    ],
)
def test_missing_weights_name_the_path_and_the_command(
    tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, command: str
) -> None:
    for file in tiny_home.rglob("*"):
        if file.is_file() and not file.match(missing):
            link = tmp_path / file.relative_to(tiny_home)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    with pytest.raises(FileNotFoundError, match=f"{missing} does not exist; get it with `{command}`"):
        MMPTModel.from_pretrained(YAMLS["videoclip"])
