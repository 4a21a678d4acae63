"""Finding a BERT, with and without a network."""

import shutil
from pathlib import Path

import pytest
import torch

from mmpt.models.bert import load_bert_config, load_bert_weights
from mmpt.text.tokenizer import find_bert, load_tokenizer


@pytest.fixture
def tiny_bert(golden_dir: Path) -> Path:
    return golden_dir / "common" / "tiny-bert"


def test_a_folder_without_weights_is_enough(tiny_bert: Path) -> None:
    assert load_tokenizer(tiny_bert).cls_token_id == 2
    assert load_bert_config(tiny_bert).hidden_size == 48


def test_pretrained_models_comes_before_the_hub(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMPT_HOME", str(tmp_path))
    shutil.copytree(tiny_bert, tmp_path / "pretrained_models" / "bert-base-uncased")
    assert find_bert("bert-base-uncased") == str(tmp_path / "pretrained_models" / "bert-base-uncased")


def test_offline_without_a_copy_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for load in (load_tokenizer, load_bert_config):
        with pytest.raises(FileNotFoundError, match=r"mmpt download bert(.|\n)*--bert-name FOLDER"):
            load("mmpt-tests/no-such-bert")


def test_a_path_that_is_no_folder_is_told() -> None:
    with pytest.raises(FileNotFoundError, match=r"'\./nothing' is not a folder"):
        find_bert("./nothing")


def test_a_folder_without_a_vocabulary_is_told(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder takes config.json, vocab.txt"):
        load_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config.json of .* cannot be read"):
        load_bert_config(tmp_path)
    shutil.copy(tiny_bert / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no model.safetensors and no pytorch_model.bin"):
        load_bert_weights(tmp_path)


def test_old_names_become_todays(golden_dir: Path) -> None:
    weights = load_bert_weights(golden_dir / "13_init_from_bert" / "bert-with-weights")
    assert "bert.embeddings.LayerNorm.weight" in weights and "bert.embeddings.LayerNorm.bias" in weights
    assert not any(name.endswith(("gamma", "beta")) for name in weights)
    assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
