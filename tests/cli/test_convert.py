"""`mmpt convert`, there and back."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mmpt.cli.main import main
from mmpt.models.original import read_original

CHECKPOINT = "runs/retri/videoclip/checkpoint_best.pt"
YAML = "projects/retri/videoclip/how2.yaml"


def test_there_and_back_is_bit_equal(in_tiny_home: Path, tmp_path: Path, capsys) -> None:
    folder, back = tmp_path / "[red]folder", tmp_path / "back.pt"
    assert main(["convert", CHECKPOINT, str(folder), "--config", YAML]) == 0
    assert {"config.json", "model.safetensors", "tokenizer_config.json"} <= {path.name for path in folder.iterdir()}
    assert main(["convert", "--to-original", str(folder), str(back)]) == 0
    told = capsys.readouterr().err
    assert f"written: {folder}" in told and not re.search(r"Loading weights|Writing model|LOAD REPORT", told)
    before, after = read_original(CHECKPOINT).state, read_original(back).state
    assert before.keys() == after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_what_is_there_is_not_written_over(in_tiny_home: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    words = ["convert", CHECKPOINT, str(folder), "--config", YAML]
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]
    assert main([*words, "--force"]) == 0
    assert (folder / "precious.txt").read_text() == "mine" and load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("source", "extra", "message"),
    [
        ("nothing.pt", [], "does not exist"),
        (CHECKPOINT, [], "whose number of heads cannot be told"),
        (CHECKPOINT, ["--config", "projects/mtm/vlm/how2.yaml"], "does not fit MMFusionMTM"),
        ("pretrained_models/s3d_howto100m.pth", [], "is not a checkpoint of these models"),
        ("pretrained_models/s3d_howto100m.pth", ["--config", YAML], "does not fit MMFusionSeparate"),
    ],
)
def test_what_cannot_be_converted_is_told_and_leaves_nothing(
    in_tiny_home: Path, tmp_path: Path, capsys, source: str, extra: list[str], message: str
) -> None:
    assert main(["convert", source, str(tmp_path / "folder"), *extra]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()
