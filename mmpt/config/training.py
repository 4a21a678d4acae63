"""What a run's training and its checkpoints are told, as frozen values.

The names and the defaults are those of the flags that the original's `fairseq:` block stands for; `legacy` reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mmpt.config.typed import NOT_NEGATIVE, OR_ALL, POSITIVE, Range, check_ranges

BATCH_SAMPLERS = ("consecutive", "shuffled", "distinct_videos")


@dataclass(frozen=True)
class OptimConfig:
    """How a model learns.

    Args:
        optimizer: its name; ``"adam"`` in every file of the original.
        lr: the learning rate at its height; several: one for each epoch, the last for all that follow.
        lr_scheduler: ``"polynomial_decay"`` or ``"fixed"``.
        warmup_updates: updates over which the learning rate rises from 0; the first one is made with 0.
        total_num_update: how many updates come before a polynomial decay has ended.
        end_learning_rate: the learning rate that it ends at.
        power: of the polynomial; 1.0 falls in a straight line.
        adam_betas: of Adam.
        adam_eps: of Adam.
        weight_decay: of Adam.
        clip_norm: the longest gradient; longer ones are cut to it; 0.0 for any length.
        max_epoch: passes over the data; None for no bound.
        max_update: updates; None for no bound.
        update_freq: batches whose gradients make one update; several: one number for each epoch.
        fp16: compute in float16.
        bf16: compute in bfloat16.
        seed: of every draw.
        ddp_backend: how several processes share a model: with ``"fully_sharded"`` each keeps a part of every weight,
            with all other names a copy.
        gradient_checkpointing: keep each layer's input only, and compute the layer again for its gradient.
        compile: let torch.compile make faster code of the model.
        ema_decay: keep a moving average of the weights, for example 0.999, which is what is evaluated and written;
            after n updates at most (1 + n) / (10 + n) of it stays. None for none.
    """

    optimizer: str = "adam"
    lr: tuple[float, ...] | None = None
    lr_scheduler: str = "fixed"
    warmup_updates: int = 0
    total_num_update: int = 1_000_000
    end_learning_rate: float = 0.0
    power: float = 1.0
    adam_betas: tuple[float, ...] = (0.9, 0.999)
    adam_eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    max_epoch: int | None = None
    max_update: int | None = None
    update_freq: tuple[int, ...] = (1,)
    fp16: bool = False
    bf16: bool = False
    seed: int = 1
    ddp_backend: str | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    ema_decay: float | None = None

    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("max_epoch", "max_update"), Range("1 or more, or 0 for no bound", 1)),
        **dict.fromkeys(("update_freq", "total_num_update"), POSITIVE),
        **dict.fromkeys(("lr", "warmup_updates", "end_learning_rate", "power", "adam_eps", "seed"), NOT_NEGATIVE),
        **dict.fromkeys(("weight_decay", "clip_norm"), NOT_NEGATIVE),
        "adam_betas": Range("two numbers from 0 on, below 1", 0, below=1),
        "ema_decay": Range("a number between 0 and 1", above=0, below=1),
    }

    def __post_init__(self) -> None:
        check_ranges(self, "")


@dataclass(frozen=True)
class CheckpointConfig:
    """What is kept of a run, and what it starts from.

    Args:
        save_dir: the folder of the run's checkpoints.
        restore_file: what a run starts from; a bare name lies in `save_dir`.
        path: what an evaluation loads.
        reset_optimizer: start with a fresh optimizer.
        reset_dataloader: start at the first epoch.
        reset_meters: start with fresh averages.
        reset_lr_scheduler: start the learning rate's way anew.
        save_interval: epochs between two checkpoints.
        save_interval_updates: updates between two checkpoints; 0 for none within an epoch.
        keep_interval_updates: the last checkpoints within epochs that are kept; -1 for all.
        keep_last_epochs: the last checkpoints of epochs that are kept; -1 for all.
        keep_best_checkpoints: the best checkpoints that are kept; -1 for all.
        no_save: keep nothing.
        no_epoch_checkpoints: keep the last and the best only.
        no_last_checkpoints: keep no last one.
        no_save_optimizer_state: leave the optimizer out.
        best_checkpoint_metric: what says which checkpoint is best.
        maximize_best_checkpoint_metric: whether more of it is better.
        patience: validations without a better one after which a run ends; -1 for any number.
    """

    save_dir: str = "checkpoints"
    restore_file: str = "checkpoint_last.pt"
    path: str | None = None
    reset_optimizer: bool = False
    reset_dataloader: bool = False
    reset_meters: bool = False
    reset_lr_scheduler: bool = False
    save_interval: int = 1
    save_interval_updates: int = 0
    keep_interval_updates: int = -1
    keep_last_epochs: int = -1
    keep_best_checkpoints: int = -1
    no_save: bool = False
    no_epoch_checkpoints: bool = False
    no_last_checkpoints: bool = False
    no_save_optimizer_state: bool = False
    best_checkpoint_metric: str = "loss"
    maximize_best_checkpoint_metric: bool = False
    patience: int = -1

    RANGES: ClassVar[Mapping[str, Range]] = {
        "save_interval": POSITIVE,
        "save_interval_updates": NOT_NEGATIVE,
        "patience": Range("a number of validations, or -1 for any number", -1),
        **dict.fromkeys(("keep_interval_updates", "keep_last_epochs", "keep_best_checkpoints"), OR_ALL),
    }

    def __post_init__(self) -> None:
        check_ranges(self, "")


@dataclass(frozen=True)
class LoggingConfig:
    """What a run tells.

    Args:
        log_interval: updates between two lines.
        log_format: ``"json"``, ``"simple"``, ``"tqdm"`` or ``"none"``; None for what fits the terminal.
        tensorboard_logdir: the folder, or the first letters of folders in `save_dir`, of TensorBoard's files.
        wandb_project: the project at Weights & Biases.
        trackio_project: the project of trackio, which keeps it on this machine.
    """

    log_interval: int = 100
    log_format: str | None = None
    tensorboard_logdir: str | None = None
    wandb_project: str | None = None
    trackio_project: str | None = None

    RANGES: ClassVar[Mapping[str, Range]] = {"log_interval": NOT_NEGATIVE}

    def __post_init__(self) -> None:
        check_ranges(self, "")


@dataclass(frozen=True)
class LoaderConfig:
    """How items become batches.

    Args:
        batch_size: examples of a batch; where an item holds several clips of a video, a loader takes as many
            fewer items.
        batch_sampler: which items make a batch of training: ``"consecutive"``, the next ones of the list, as in the
            original, where each epoch draws the order of the batches only; ``"shuffled"``, any; or
            ``"distinct_videos"``, any of different videos.
        num_workers: processes that read ahead.
        train_subset: the split that is learnt from.
        valid_subset: the split that is looked at between epochs, or evaluated.
        validate_interval: epochs between two validations.
        validate_interval_updates: updates between two validations; 0 for none within an epoch.
        disable_validation: never validate.
    """

    batch_size: int | None = None
    batch_sampler: str = "consecutive"
    num_workers: int = 1
    train_subset: str = "train"
    valid_subset: str = "valid"
    validate_interval: int = 1
    validate_interval_updates: int = 0
    disable_validation: bool = False

    RANGES: ClassVar[Mapping[str, Range]] = {
        **dict.fromkeys(("batch_size", "validate_interval"), POSITIVE),
        **dict.fromkeys(("num_workers", "validate_interval_updates"), NOT_NEGATIVE),
    }

    def __post_init__(self) -> None:
        check_ranges(self, "")
        if self.batch_sampler not in BATCH_SAMPLERS:
            raise ValueError(f"batch_sampler is {self.batch_sampler!r}; use one of {', '.join(BATCH_SAMPLERS)}")
