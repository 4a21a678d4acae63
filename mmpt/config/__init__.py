"""YAML projects and the typed values they resolve to."""

from mmpt.config.load import load_config, parse_config
from mmpt.config.schema import DatasetConfig, ModelConfig, RunConfig

__all__ = ["DatasetConfig", "ModelConfig", "RunConfig", "load_config", "parse_config"]
