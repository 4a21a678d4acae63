"""What a resolved YAML file says, as frozen values.

The keys are the original's, so that its YAML files mean here what they meant there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_MAX_LEN = 96  # tokens of the whole sequence, video and text together
DEFAULT_MAX_VIDEO_LEN = 32  # video tokens, one a second
COIN_LABELS = 779  # COIN's 778 step labels and "outside"


@dataclass(frozen=True)
class DatasetConfig:
    """The `dataset:` block.

    Args:
        bert_name: hub name or folder of the BERT whose vocabulary and shape the model uses.
        max_len: tokens of the whole sequence.
        max_video_len: video tokens of the sequence, one a second; at least 1.
        num_iso_layer: layers that keep video and text apart; None for none.
        aligner: registered name of the class that makes fixed-length sequences.
        extra: every other key of the block, for the data set that understands it.
    """

    bert_name: str
    max_len: int = DEFAULT_MAX_LEN
    max_video_len: int = DEFAULT_MAX_VIDEO_LEN
    num_iso_layer: int | None = None
    aligner: str = "DSAligner"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_video_len < 1:
            raise ValueError(f"dataset.max_video_len is {self.max_video_len}; it takes 1 or more, one for each second")
        if self.max_len - self.max_video_len < 4:
            raise ValueError(
                f"dataset.max_len ({self.max_len}) leaves {self.max_len - self.max_video_len} places for text beside "
                f"dataset.max_video_len ({self.max_video_len}); it takes at least 4: [CLS] [SEP] token [SEP]"
            )


@dataclass(frozen=True)
class ModelConfig:
    """The `model:` block.

    Args:
        model_cls: registered name of the model, for example ``"MMFusionSeparate"``.
        mm_encoder_cls: registered name of the one encoder of a one-encoder model.
        video_encoder_cls: registered name of the video tower of a two-tower model.
        text_encoder_cls: registered name of the text tower of a two-tower model.
        num_hidden_video_layers: layers of the video tower; None for as many as the text tower has.
        use_seg_emb: whether the model carries the (never used) segment embeddings.
        max_decode_length: most tokens that a captioning model writes.
        num_labels: labels of a segmentation head.
        video_dim: width of a second's feature vector.
    """

    model_cls: str
    mm_encoder_cls: str | None = None
    video_encoder_cls: str | None = None
    text_encoder_cls: str | None = None
    num_hidden_video_layers: int | None = None
    use_seg_emb: bool = False
    max_decode_length: int | None = None
    num_labels: int = COIN_LABELS
    video_dim: int = 512


@dataclass(frozen=True)
class RunConfig:
    """A whole YAML file, with its includes merged in.

    Args:
        dataset: the `dataset:` block.
        model: the `model:` block.
        save_path: the folder that holds the run's checkpoints (`eval.save_path`), when the file names one.
        source: the file this came from.
        raw: every key of the file as plain dicts, lists and values.
    """

    dataset: DatasetConfig
    model: ModelConfig
    save_path: str | None
    source: str
    raw: Mapping[str, Any]
