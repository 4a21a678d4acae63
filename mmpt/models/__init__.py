"""The models, their checkpoints, and the way from a YAML file or a folder to a loaded model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmpt.models.pretrained import MMPTModel

__all__ = ["MMPTModel"]


def __getattr__(name: str) -> Any:
    if name == "MMPTModel":
        return import_module("mmpt.models.pretrained").MMPTModel
    raise AttributeError(f"module 'mmpt.models' has no attribute {name!r}")
