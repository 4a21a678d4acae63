"""What a resolved YAML file says, as frozen values.

The keys are the original's, so that its YAML files mean here what they meant there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mmpt.config.training import CheckpointConfig, LoaderConfig, LoggingConfig, OptimConfig
from mmpt.config.typed import NOT_NEGATIVE, PART, POSITIVE, Range, check_ranges

DEFAULT_MAX_LEN = 96  # tokens of the whole sequence, video and text together
DEFAULT_MAX_VIDEO_LEN = 32  # video tokens, one a second
SPLITS = ("train", "valid", "test")
COIN_LABELS = 779  # COIN's 778 step labels and "outside"


@dataclass(frozen=True)
class DatasetConfig:
    """The `dataset:` block: where the data is, which classes read it, and how sequences are cut.

    Paths are taken from the current folder or $MMPT_HOME (`mmpt.utils.places.locate`).

    Args:
        bert_name: hub name or folder of the BERT whose vocabulary and shape the model uses.
        split: which part is read: ``"train"``, ``"valid"`` or ``"test"``.
        meta_processor: registered name of the class that lists the items.
        video_processor: registered name of the class that reads an item's video features.
        text_processor: registered name of the class that makes an item's token ids.
        aligner: registered name of the class that makes fixed-length sequences.
        train_path: list or annotation file of the training part.
        val_path: of the validation part.
        test_path: of the test part.
        vfeat_dir: folder of video features: one .npy a video, or shards.
        tfeat_dir: beginning of the paths of token id shards.
        max_len: tokens of the whole sequence.
        max_video_len: video tokens of the sequence, one a second; at least 1.
        num_iso_layer: layers that keep video and text apart; None for none.
        subsampling: clips drawn of one video at a time; None or 1 for one.
        sampled_min_len: fewest text tokens of a drawn clip.
        sampled_max_len: most text tokens of a drawn clip.
        sampled_video_min_len: fewest seconds of a drawn clip.
        sampled_video_max_len: most seconds of a drawn clip.
        num_video_per_batch: videos of a cluster (training with retrieved videos).
        clip_per_video: clips drawn of each video of a cluster.
        mfm_probability: part of the frames that are masked.
        mlm_probability: part of the text tokens that are masked.
        mm_prob: part of the examples in which a whole modality is masked; None for never.
        lazy_vfeat_mask: mask frames inside the model, by the mask that comes with the batch.
        sliding_window: seconds between the beginnings of two windows.
        sliding_window_size: seconds of a window.
        backbone: what the features come from: a registered backbone's name, or the name that the feature files carry.
        l2_normalize: whether each second's features have unit length, as the published ones do.
        extra: every other key of the block, for the data set that understands it.
    """

    bert_name: str
    split: str = "train"
    meta_processor: str | None = None
    video_processor: str | None = None
    text_processor: str | None = None
    aligner: str = "DSAligner"
    train_path: str | None = None
    val_path: str | None = None
    test_path: str | None = None
    vfeat_dir: str | None = None
    tfeat_dir: str | None = None
    max_len: int = DEFAULT_MAX_LEN
    max_video_len: int = DEFAULT_MAX_VIDEO_LEN
    num_iso_layer: int | None = None
    subsampling: int | None = None
    sampled_min_len: int | None = None
    sampled_max_len: int | None = None
    sampled_video_min_len: int | None = None
    sampled_video_max_len: int | None = None
    num_video_per_batch: int | None = None
    clip_per_video: int | None = None
    mfm_probability: float | None = None
    mlm_probability: float | None = None
    mm_prob: float | None = None
    lazy_vfeat_mask: bool = False
    sliding_window: int | None = None
    sliding_window_size: int | None = None
    backbone: str = "s3d"
    l2_normalize: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)

    RANGES: ClassVar[Mapping[str, Range]] = {
        "max_video_len": Range("1 or more, one for each second", 1),
        **dict.fromkeys(("max_len", "subsampling", "num_video_per_batch", "clip_per_video"), POSITIVE),
        **dict.fromkeys(
            ("sampled_max_len", "sampled_video_max_len", "sliding_window", "sliding_window_size"), POSITIVE
        ),
        **dict.fromkeys(("num_iso_layer", "sampled_min_len", "sampled_video_min_len"), NOT_NEGATIVE),
        **dict.fromkeys(("mfm_probability", "mlm_probability", "mm_prob"), PART),
    }

    def __post_init__(self) -> None:
        check_ranges(self, "dataset")
        if self.split not in SPLITS:
            raise ValueError(f"dataset.split is {self.split!r}; it takes {', '.join(SPLITS)}")
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
        video_dim: width of a second's feature vector; None for that of the backbone (`dataset.backbone`).
    """

    model_cls: str
    mm_encoder_cls: str | None = None
    video_encoder_cls: str | None = None
    text_encoder_cls: str | None = None
    num_hidden_video_layers: int | None = None
    use_seg_emb: bool = False
    max_decode_length: int | None = None
    num_labels: int = COIN_LABELS
    video_dim: int | None = None

    RANGES: ClassVar[Mapping[str, Range]] = {
        "num_hidden_video_layers": NOT_NEGATIVE,
        **dict.fromkeys(("max_decode_length", "num_labels", "video_dim"), POSITIVE),
    }

    def __post_init__(self) -> None:
        check_ranges(self, "model")


@dataclass(frozen=True)
class LossConfig:
    """The `loss:` block.

    Args:
        loss_cls: registered name of the loss.
        gather: contrast with the pairs of all processes; the papers contrast within a process.
    """

    loss_cls: str
    gather: bool = False


@dataclass(frozen=True)
class TaskConfig:
    """The keys at a file's top that are no blocks: what is trained or evaluated, and how.

    Args:
        task: registered name of what trains; None for plain training.
        task_type: the job that a file is meant for, such as ``"local_predict"``.
        slurm_config: the size of a cluster's job in the original; nothing here reads it.
        predictor: registered name of what turns a model's output into predictions.
        metric: registered name of what judges them.
        protocol: which way of measuring comes first: ``"fixed"``, or ``"paper"``, the original's with its faults.
        gen_param: how captions are written, for example ``{"num_beams": 5}``.
        retri_epoch: the first epoch, counted from 1, that begins with a retrieval of clusters; None for never.
        retri_interval: epochs from one retrieval to the next.
        num_cands: neighbours that a cluster is drawn from.
        vectorpool_cls: registered name of what collects the videos' vectors.
        retriever_cls: registered name of what finds neighbours.
        per_rank: let neighbours come from one process's share of the videos only, as in the original; with false
            they come from all.
        retri_clips: clips of a video that say where it lies; None for as many as training draws, as in the original.
        retri_aligner_cls: registered name of what draws these clips; None for the aligner of training.
    """

    task: str | None = None
    task_type: str | None = None
    slurm_config: str | None = None
    predictor: str | None = None
    metric: str | None = None
    protocol: str = "fixed"
    gen_param: Mapping[str, Any] | None = None
    retri_epoch: int | None = None
    retri_interval: int = 1
    num_cands: int | None = None
    vectorpool_cls: str | None = None
    retriever_cls: str | None = None
    per_rank: bool = True
    retri_clips: int | None = None
    retri_aligner_cls: str | None = "VariedLenAligner"

    RANGES: ClassVar[Mapping[str, Range]] = dict.fromkeys(
        ("retri_epoch", "retri_interval", "num_cands", "retri_clips"), POSITIVE
    )

    def __post_init__(self) -> None:
        check_ranges(self, "")
        if self.protocol not in ("fixed", "paper"):
            raise ValueError(f"protocol is {self.protocol!r}; it takes fixed or paper")


@dataclass(frozen=True)
class RunConfig:
    """A whole YAML file, with its includes merged in.

    Args:
        dataset: the `dataset:` block.
        model: the `model:` block.
        save_path: the folder that holds the run's checkpoints (`eval.save_path`), when the file names one.
        source: the file this came from.
        raw: every key of the file as plain dicts, lists and values.
        loss: the `loss:` block, when there is one.
        task: the keys at the file's top that are no blocks.
        optim: how the model learns.
        checkpoint: what is kept of the run, and what it starts from.
        logging: what the run tells.
        loader: how items become batches.
    """

    dataset: DatasetConfig
    model: ModelConfig
    save_path: str | None
    source: str
    raw: Mapping[str, Any]
    loss: LossConfig | None = None
    task: TaskConfig = field(default_factory=TaskConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
