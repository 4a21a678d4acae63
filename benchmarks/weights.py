"""Random weights in the format of the published ones, for measuring what does not depend on what they know."""

from pathlib import Path

import numpy as np
import torch
import yaml

from mmpt.config import load_config
from mmpt.config.load import find_project_file
from mmpt.models.build import build_config, build_model
from mmpt.models.checkpoints import original_state
from mmpt.models.original import write_original
from mmpt.models.pretrained import S3D_WEIGHTS, S3D_WORDS
from mmpt.text.vocabulary import SPECIAL, BertShape, write_bert
from mmpt.utils.files import atomic_path
from mmpt.video.backbones.s3d import S3D, S3DConfig

SHAPE, VIDEO_LAYERS = BertShape(width=192, layers=4, heads=4), 2  # the real ones are 768, 12, 12, and 6
SEED = 0
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def make_weights(home: Path) -> Path:
    """Write a YAML file, a vocabulary, a checkpoint and S3D files as the published ones lie.

    Args:
        home: the folder to take the place of the working folder.

    Returns:
        The YAML file.
    """
    bert = _make_bert(home / "bert")
    config = home / "demo.yaml"
    overrides = {
        "includes": [str(find_project_file("retri/videoclip/how2.yaml").resolve())],
        "dataset": {"bert_name": str(bert)},
        "model": {"num_hidden_video_layers": VIDEO_LAYERS},
    }
    config.write_text(yaml.safe_dump(overrides, sort_keys=False))
    run = load_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model(build_config(run))
        assert run.save_path is not None
        write_original(home / run.save_path / "checkpoint_best.pt", original_state(model))
        _make_s3d(home)
    return config


def _make_bert(folder: Path) -> Path:
    write_bert(folder, [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)], SHAPE)
    return folder


def _make_s3d(home: Path) -> None:
    config = S3DConfig()
    with atomic_path(home / S3D_WEIGHTS) as path:
        torch.save(S3D(config).state_dict(), path)
    with atomic_path(home / S3D_WORDS) as path, path.open("wb") as file:
        np.save(file, np.array([f"w{index:05}" for index in range(config.vocab_size - 1)]))
