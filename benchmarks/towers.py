"""VideoCLIP's towers at full size: padding trimmed, rows of a length together and sdpa, against the plain form.

Lengths are those of real data where it is at hand (YouCook2's validation clips, MSR-VTT's captions of 8 to 12 words),
and else of the same spread. Run: python -m benchmarks.towers
"""

import csv
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig

from benchmarks.paired import run_paired, show
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.build import build_model
from mmpt.models.configuration import MMPTConfig

HEADER = ("", "plain ms", "ours ms", "ratio", "max abs diff")
ROWS, BATCH = 64, 16
PLACES, SECONDS = 64, 32
SEED = 0
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def run(turns: int = 7) -> list[tuple[str, ...]]:
    """Measure both towers.

    Args:
        turns: counted turns.

    Returns:
        Rows: what, median milliseconds of the plain form, of ours, ratio, largest difference.
    """
    torch.manual_seed(SEED)
    plain = build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).eval()
    ours = build_model(MMPTConfig(BertConfig(), num_hidden_video_layers=6)).eval()
    ours.load_state_dict(plain.state_dict())
    plain.set_attn_implementation("eager")
    plain.trim_padding = False
    caps, cmasks = captions()
    rows = [_row(f"text: {ROWS} captions of 8 to 12 words", plain, ours, "get_text_features", (caps, cmasks), turns)]
    lengths = clip_lengths()
    for name, seconds in {
        f"video: {ROWS} clips of {int(lengths.min())} to {int(lengths.max())} s": lengths,
        f"video: {ROWS} windows of {SECONDS} s": torch.full((ROWS,), SECONDS),
    }.items():
        vfeats = torch.nn.functional.normalize(torch.randn(ROWS, SECONDS, 512), dim=2)
        vmasks = torch.arange(SECONDS) < seconds[:, None]
        rows.append(_row(name, plain, ours, "get_video_features", (vfeats, vmasks), turns))
    return rows


def captions() -> tuple[torch.Tensor, torch.Tensor]:
    """Lay out captions: int64 and bool (ROWS, PLACES)."""
    table, bert = DATA / "annotations" / "msrvtt_jsfusion_test.csv", DATA / "bert-base-uncased"
    if table.is_file() and bert.is_dir():
        with table.open() as file:
            sentences = [row["sentence"] for row in csv.DictReader(file) if 8 <= len(row["sentence"].split()) <= 12]
        tokenizer = AutoTokenizer.from_pretrained(bert, trust_remote_code=False)
        ids = tokenizer(sentences[:ROWS], add_special_tokens=False)["input_ids"]
    else:
        ids = [torch.randint(1000, 30000, (8 + row % 5,)).tolist() for row in range(ROWS)]
    caps = torch.zeros(ROWS, PLACES, dtype=torch.long)
    for row, tokens in zip(caps, ids, strict=True):
        row[: len(tokens) + 3] = torch.tensor([101, 102, *tokens, 102])
    return caps, caps != 0


def clip_lengths() -> torch.Tensor:
    """Give the lengths of clips in started seconds, int64 (ROWS,), cut at what the model takes."""
    table = DATA / "annotations" / "youcook_validation.csv"
    if not table.is_file():
        return torch.linspace(5, SECONDS, ROWS).long()
    with table.open() as file:
        seconds = [float(row["end"]) - float(row["start"]) for row in csv.DictReader(file)]
    return torch.tensor(seconds[:ROWS]).ceil().long().clamp(1, SECONDS)


@torch.no_grad()
def _row(
    name: str, plain: MMPTPreTrainedModel, ours: MMPTPreTrainedModel, method: str, inputs: tuple, turns: int
) -> tuple[str, ...]:
    def in_order(model: MMPTPreTrainedModel, order: torch.Tensor) -> torch.Tensor:
        batches = [getattr(model, method)(*(part[rows] for part in inputs)) for rows in order.split(BATCH)]
        return torch.cat(batches)[order.argsort()]

    by_length = inputs[1].sum(dim=1).argsort(stable=True)
    first, second = run_paired(
        {"plain": lambda: in_order(plain, torch.arange(ROWS)), "ours": lambda: in_order(ours, by_length)}, turns=turns
    )
    difference = float((first.result - second.result).abs().max())
    return name, f"{first.seconds * 1e3:.0f}", f"{second.seconds * 1e3:.0f}", f"{second.ratio:.2f}", f"{difference:.0e}"


if __name__ == "__main__":
    show("towers at bert-base size", HEADER, run())
