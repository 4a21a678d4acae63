"""Files as torch.save writes them, good and bad, for the tests of reading checkpoints."""

import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from mmpt.models.original import PREFIX

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINTS = GOLDEN / "01_checkpoints"
RECORDED = json.loads((CHECKPOINTS / "checkpoints.json").read_text())["checkpoints"]
CONTAINERS = {"zip": True, "legacy": False}


def weights() -> dict[str, torch.Tensor]:
    return {f"{PREFIX}a.weight": torch.arange(6.0).reshape(2, 3), f"{PREFIX}a.bias": torch.ones(2).half()}


def save(content: Any, path: Path, container: str = "zip", protocol: int = 2) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=CONTAINERS[container], pickle_protocol=protocol)
    return path


def zip_with_pickle(path: Path, pickled: bytes) -> Path:
    """Write torch's zip container around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return path
