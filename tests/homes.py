"""Working folders as users have them: weights at their documented places, random and seeded."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from mmpt.config import load_config
from mmpt.models.build import build_config, build_model
from mmpt.models.checkpoints import original_state
from mmpt.models.original import write_original
from mmpt.video.backbones.s3d import S3D, S3DConfig
from tests.conftest import ROOT

TINY: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 96}
BASE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
WORDS = (
    *("a", "an", "and", "the", "two", "some", "into"),
    *("boys", "woman", "dog", "pancake", "arm", "text", "water", "pot", "runs", "flips", "wrestle", "pour"),
)
YAMLS = {"videoclip": "projects/retri/videoclip/how2.yaml", "vlm": "projects/mtm/vlm/how2.yaml"}


def make_home(
    folder: Path, sizes: dict[str, Any], *, models: tuple[str, ...] = ("videoclip", "vlm"), words: int = 200
) -> Path:
    """Lay out the tutorial's YAML files, a BERT folder without weights, S3D and the checkpoints (fp16)."""
    shutil.copytree(ROOT / "projects", folder / "projects")
    make_bert(folder / "pretrained_models" / "bert-base-uncased", sizes, words)
    torch.manual_seed(0)
    torch.save(S3D(S3DConfig()).state_dict(), folder / "pretrained_models" / "s3d_howto100m.pth")
    np.save(folder / "pretrained_models" / "s3d_dict.npy", np.array([f"w{index:05}" for index in range(66_249)]))
    for name in models:
        run = load_config(folder / YAMLS[name])
        config = build_config(run, bert_name=str(folder / "pretrained_models" / "bert-base-uncased"))
        assert run.save_path is not None
        target = folder / run.save_path / "checkpoint_best.pt"
        target.parent.mkdir(parents=True)
        write_original(target, {key: _half(value) for key, value in original_state(build_model(config)).items()})
    return folder


def make_bert(folder: Path, sizes: dict[str, Any], words: int) -> Path:
    """Write a BERT folder: shape and vocabulary, no weights."""
    folder.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    vocabulary += [f"w{index}" for index in range(words - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    BertConfig(vocab_size=len(vocabulary), **sizes).save_pretrained(folder)
    return folder


def _half(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
