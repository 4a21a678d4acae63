"""Training steps at bert-base size: ours against the plain form, from the same weights on the same batches.

Plain: fixed padding to 96 places, eager attention, Adam one weight at a time. Ours: nothing but attention is computed
for padding, and all weights are updated by one call. Lengths are drawn as the published YAML files draw them: texts of
8 to 61 tokens, clips of 3 to 32 seconds. Run: python -m benchmarks.train [--bf16] [--turns N]
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from transformers import BertConfig

import mmpt.models.video_bert as video_bert
from benchmarks.paired import run_paired, show
from mmpt.config.training import OptimConfig
from mmpt.losses.base import Loss, total
from mmpt.losses.contrastive import MMContraLoss
from mmpt.losses.masked import MTM
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig
from mmpt.training.optim import make_optimizer

HEADER = ("step", "plain s", "ours s", "ratio", "first loss, plain", "ours")
BATCH, PLACES, SECONDS = 16, 64, 32
LEAST_TEXT, MOST_TEXT, LEAST_VIDEO, MOST_VIDEO = 8, 61, 3, 32  # tokens and seconds
MASKED = 0.15
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
        video_bert.PACKED_BELOW = 0.9 if packed else -1.0
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


def run(*, turns: int, bf16: bool) -> list[tuple[str, ...]]:
    """Measure a step of each model.

    Args:
        turns: counted turns.
        bf16: let ours compute in bfloat16.

    Returns:
        Rows of the table.
    """
    rows = []
    for name, (shape, loss) in MODELS.items():
        first: dict[str, float] = {}
        forms: dict[str, Callable[[], float]] = {}
        for form in ("plain", "ours"):
            torch.manual_seed(0)
            model = build_model(MMPTConfig(BertConfig(), **shape)).train()
            optimizer: torch.optim.Optimizer = make_optimizer(model, OPTIM)
            if form == "plain":
                model.set_attn_implementation("eager")
                model.trim_padding = False
                optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, betas=(0.9, 0.98), foreach=False)
            forms[form] = make_step(model, loss(), optimizer, packed=form == "ours", bf16=bf16 and form == "ours")
            first[form] = forms[form]()
        plain, ours = run_paired(forms, turns=turns, warmup=0)
        seconds = (f"{plain.seconds:.2f}", f"{ours.seconds:.2f}", f"{ours.ratio:.2f}")
        rows.append((name, *seconds, *(f"{value:.4f}" for value in first.values())))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Training steps at bert-base size, paired.")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="let ours compute in bfloat16")
    words = parser.parse_args()
    precision = "ours in bfloat16" if words.bf16 else "float32"
    show(f"training steps, {BATCH} pairs, {precision}", HEADER, run(turns=words.turns, bf16=words.bf16))
