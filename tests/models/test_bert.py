"""Finding a BERT, with and without a network."""

import os
import shutil
import socket
import subprocess
import sys
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


LOAD = """
import sys, time
from mmpt.models.bert import load_bert_config, load_bert_weights
from mmpt.text.tokenizer import load_tokenizer
start = time.monotonic()
for load in (load_tokenizer, load_bert_config, load_bert_weights):
    try:
        print("loaded", type(load(sys.argv[1])).__name__)
    except FileNotFoundError as error:
        print("absent", error)
print("seconds", time.monotonic() - start)
"""


@pytest.fixture(scope="module")
def offline(golden_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What a fresh process says of a BERT in the hub's cache and of one that is not, where no hub answers."""
    home = tmp_path_factory.mktemp("hub")
    cached = home / "hub" / "models--mmpt-tests--cached"
    shutil.copytree(golden_dir / "common" / "tiny-bert", cached / "snapshots" / ("0" * 40))
    weights = golden_dir / "13_init_from_bert" / "bert-with-weights" / "pytorch_model.bin"
    shutil.copy(weights, cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    with socket.socket() as closed:  # bound, and never listening
        closed.bind(("127.0.0.1", 0))
        there = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environment = {**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": there, "MMPT_HOME": str(home)}
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"):
            environment.pop(name, None)
        return {name: _said(name, environment) for name in ("mmpt-tests/cached", "mmpt-tests/absent")}


def _said(name: str, environment: dict[str, str]) -> list[str]:
    words = [sys.executable, "-c", LOAD, name]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.splitlines()


def test_a_cached_bert_needs_no_hub(offline: dict[str, list[str]]) -> None:
    assert [line.split()[0] for line in offline["mmpt-tests/cached"]] == ["loaded"] * 3 + ["seconds"]


def test_an_absent_bert_is_told_at_once_and_without_noise(offline: dict[str, list[str]]) -> None:
    """Without a network the libraries tried for a minute, with forty lines before the useful one."""
    *told, seconds = offline["mmpt-tests/absent"]
    assert len(told) == 3 and all(
        "is not on this machine, and the hub cannot be reached (http" in line for line in told
    )
    assert float(seconds.split()[1]) < 10


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
