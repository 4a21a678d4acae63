"""Training steps at bert-base size: ours against the plain form, from the same weights on the same batches.

Plain: fixed padding to 96 places, eager attention, Adam one weight at a time. Ours: nothing but attention is computed
for padding, and all weights are updated by one call, in float32 and in bfloat16. Lengths are drawn as the published
YAML files draw them: texts of 8 to 61 tokens, clips of 3 to 32 seconds. Then what the loop waits for data: it trains
the same VideoCLIP on clips of a store of shards, and says for each update how much of it passed until its batch came.
Run: python -m benchmarks.train [--turns N] [--only steps|waiting]
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig

import mmpt.models.video_bert as video_bert
from benchmarks.paired import run_paired, show
from benchmarks.retrieval_data import SPECIAL, write_shards
from mmpt.config.training import CheckpointConfig, LoaderConfig, OptimConfig
from mmpt.datasets import MMDataset
from mmpt.losses.base import Loss, total
from mmpt.losses.contrastive import MMContraLoss
from mmpt.losses.masked import MTM
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.processors.how2 import (
    ShardedHow2VideoRetriMetaProcessor,
    ShardedVideoRetriTextProcessor,
    ShardedVideoRetriVideoProcessor,
)
from mmpt.processors.how2_aligners import VideoRetriOverlappedAligner
from mmpt.tasks.contrastive import VideoRetriTask
from mmpt.training.batches import Batches
from mmpt.training.keeping import Keeper
from mmpt.training.loop import Trainer
from mmpt.training.optim import make_optimizer
from mmpt.training.processes import Processes
from mmpt.training.signals import Stop
from mmpt.training.telling import Observer

HEADER = ("step", "form", "s", "ratio", "first loss")
WAITING_HEADER = ("VideoCLIP through the loop", "s a step", "of it waiting for data", "at most")
FORMS = ("plain", "ours, float32", "ours, bfloat16")
VIDEOS, CLIPS = 400, 8  # of the store; clips of each of a batch's videos
UPDATES, FIRST = 6, 1  # of the loop; those that are not counted
BATCH, PLACES, SECONDS = 16, 64, 32
LEAST_TEXT, MOST_TEXT, LEAST_VIDEO, MOST_VIDEO = 8, 61, 3, 32  # tokens and seconds
MASKED = 0.15
PACKED_BELOW = video_bert.PACKED_BELOW
OPTIM = OptimConfig(lr=(1e-6,), adam_betas=(0.9, 0.98), clip_norm=2.0, max_epoch=1)
MODELS: dict[str, tuple[dict[str, Any], type[Loss]]] = {
    "VideoCLIP, 6-layer video": ({"num_hidden_video_layers": 6}, MMContraLoss),
    "VLM, masked tokens": ({"model_cls": "MMFusionMTM"}, MTM),
}


def draw(generator: torch.Generator, *, masked: bool) -> dict[str, torch.Tensor]:
    """Draw a batch.

    Args:
        generator: of the draws.
        masked: whether some tokens are to be predicted.

    Returns:
        What a collated batch of the data set has.
    """

    def numbers(least: int, most: int, *shape: int) -> torch.Tensor:
        return torch.randint(least, most + 1, shape, generator=generator)

    texts, videos = numbers(LEAST_TEXT, MOST_TEXT, BATCH), numbers(LEAST_VIDEO, MOST_VIDEO, BATCH)
    batch = {
        "caps": numbers(1000, 29_999, BATCH, PLACES),
        "cmasks": torch.arange(PLACES) < texts[:, None] + 3,
        "vfeats": torch.randn(BATCH, SECONDS, 512, generator=generator),
        "vmasks": torch.arange(SECONDS) < videos[:, None],
    }
    if masked:
        words = torch.rand(BATCH, PLACES, generator=generator) < MASKED
        batch["text_label"] = torch.where(words & batch["cmasks"], batch["caps"], -100)
        batch["video_label"] = (torch.rand(BATCH, SECONDS, generator=generator) < MASKED) & batch["vmasks"]
    return batch


def make_step(
    model: MMPTPreTrainedModel, loss: Loss, optimizer: torch.optim.Optimizer, *, packed: bool, bf16: bool
) -> Callable[[], float]:
    """Make a step, which draws a new batch each time; the n-th is the same for all forms.

    Args:
        model: in training mode.
        loss: of its output.
        optimizer: of its parameters.
        packed: whether padding is left out.
        bf16: compute in bfloat16.

    Returns:
        A function that makes a step and gives its loss.
    """
    generator = torch.Generator().manual_seed(0)

    def step() -> float:
        video_bert.PACKED_BELOW = PACKED_BELOW if packed else -1.0
        batch = draw(generator, masked=isinstance(loss, MTM))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = {name: value.float() for name, value in model(**batch).items()}
        value = total(loss(**{**batch, **output}))
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIM.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value.item()

    return step


def run(turns: int) -> list[tuple[str, ...]]:
    """Measure a step of each model.

    Args:
        turns: counted turns.

    Returns:
        Rows of the table.
    """
    rows = []
    for name, (shape, loss) in MODELS.items():
        first: dict[str, float] = {}
        forms: dict[str, Callable[[], float]] = {}
        for form in FORMS:
            torch.manual_seed(0)
            model = build_model(MMPTConfig(BertConfig(), **shape)).train()
            optimizer: torch.optim.Optimizer = make_optimizer(model, OPTIM)
            plain = form == "plain"
            if plain:
                model.set_attn_implementation("eager")
                model.trim_padding = False
                optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, betas=(0.9, 0.98), foreach=False)
            forms[form] = make_step(model, loss(), optimizer, packed=not plain, bf16=form.endswith("bfloat16"))
            first[form] = forms[form]()
        timed = run_paired(forms, turns=turns, warmup=0)
        rows += [(name, one.name, f"{one.seconds:.2f}", f"{one.ratio:.2f}", f"{first[one.name]:.4f}") for one in timed]
    return rows


class Noting(Observer):
    """Keeps the lines of updates."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        if line["kind"] == "update":
            self.lines.append(line)


def run_waiting(folder: Path) -> list[tuple[str, ...]]:
    """Measure what the loop waits for data, reading as it trains and reading ahead.

    Args:
        folder: where shards are written.

    Returns:
        Rows of the table: medians over the updates, and the longest wait.
    """
    video_bert.PACKED_BELOW = PACKED_BELOW
    config = replace(write_shards(folder, VIDEOS), clip_per_video=CLIPS, num_video_per_batch=BATCH // CLIPS)
    dataset = MMDataset(
        ShardedHow2VideoRetriMetaProcessor(config),
        ShardedVideoRetriVideoProcessor(config),
        ShardedVideoRetriTextProcessor(config),
        VideoRetriOverlappedAligner(config, special=SPECIAL),
        seed=0,
    )
    model = build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).train()
    rows = []
    for workers in (0, 1):
        noting = Noting()
        trainer = Trainer(
            Processes("cpu"),
            VideoRetriTask(MMContraLoss(), clips=CLIPS),
            model,
            train=Batches(dataset, None, seed=0, shuffle=True, num_workers=workers),
            valid=None,
            optim=replace(OPTIM, max_update=FIRST + UPDATES),
            loader=LoaderConfig(num_workers=workers),
            keeper=Keeper(folder / "runs", CheckpointConfig(no_save=True), {}),
            observer=noting,
        )
        trainer.run(Stop())
        counted = noting.lines[FIRST:]
        assert {line["pairs"] for line in counted} == {BATCH}
        seconds = statistics.median(line["pairs"] / line["pairs_per_second"] for line in counted)
        waiting = [line["waiting"] for line in counted]
        shares = (f"{statistics.median(waiting):.2%}", f"{max(waiting):.2%}")
        rows.append((f"{workers} processes read ahead", f"{seconds:.2f}", *shares))
    return rows


def main() -> int:
    """Measure and print.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="counted turns (%(default)s)")
    parser.add_argument("--only", choices=("steps", "waiting"), help="half of it")
    args = parser.parse_args()
    if args.only != "waiting":
        show(f"training steps of {BATCH} pairs, plain in float32", HEADER, run(args.turns))
    if args.only != "steps":
        with tempfile.TemporaryDirectory() as folder:
            show(f"{BATCH} pairs from {VIDEOS:,} videos in shards", WAITING_HEADER, run_waiting(Path(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
