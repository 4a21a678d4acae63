"""Captions at bert-base size: the video encoded once and words one by one, against the forward pass over everything.

Weights are random, so the end of a text is no likelier than any word: [SEP] is kept back until the last place, and all
texts have the length that `max_decode_length` of the published configuration allows. Run:
python -m benchmarks.captioning
"""

from typing import Any

import torch
from transformers import BertConfig

from benchmarks.paired import run_paired, show
from benchmarks.towers import clip_lengths
from mmpt.models.build import build_model
from mmpt.models.captioning import MMFusionNLG, read_decoding
from mmpt.models.configuration import MMPTConfig
from mmpt.models.generation import Rules, search
from mmpt.processors.masking import MMAttentionMask2DProcessor

HEADER = ("", "plain captions/s", "ours captions/s", "ratio", "same texts")
CLIPS, LONGEST, SECONDS = 4, 24, 32  # the plain form takes a minute and more for these
SEED = 0


class PlainWords:
    """Scores the next words with the model's forward pass, over video and words, each time.

    Args:
        model: a captioning model.
        vfeats: float (B, V, 512).
        vmasks: bool (B, V).
        beams: rows of a video.
    """

    def __init__(self, model: MMFusionNLG, vfeats: torch.Tensor, vmasks: torch.Tensor, beams: int) -> None:
        self.model, self.beams = model, beams
        self.vfeats, self.vmasks = vfeats.repeat_interleave(beams, 0), vmasks.repeat_interleave(beams, 0)
        pair = [model.config.cls_token_id, model.config.sep_token_id]
        self.texts = torch.tensor([pair]).repeat(len(self.vfeats), 1)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """As `NextWords.step`."""
        self.texts = torch.cat([self.texts, tokens[:, None]], dim=1)
        real = torch.ones_like(self.texts, dtype=torch.bool)
        mask = MMAttentionMask2DProcessor()
        masks = torch.stack([mask(*row, "textgen") for row in zip(self.vmasks, real, strict=True)])
        labels = torch.full_like(self.texts, -100)
        labels[:, -1] = 0  # the last place alone is scored
        output = self.model(self.texts, real, self.vfeats, self.vmasks, attention_mask=masks, text_label=labels)
        assert output.logits is not None, "a captioning model gives scores"
        return output.logits

    def choose(self, rows: torch.Tensor) -> None:
        """As `NextWords.choose`."""
        self.texts = self.texts[rows]

    def keep(self, videos: torch.Tensor) -> None:
        """As `NextWords.keep`."""
        self.texts, self.vfeats, self.vmasks = (
            tensor.unflatten(0, (-1, self.beams))[videos].flatten(0, 1)
            for tensor in (self.texts, self.vfeats, self.vmasks)
        )


@torch.no_grad()
def run(turns: int = 1) -> list[tuple[str, ...]]:
    """Measure greedy and beam search.

    Args:
        turns: counted turns.

    Returns:
        Rows: what, captions a second of the plain form, of ours, ratio, whether the texts are the same.
    """
    torch.manual_seed(SEED)
    config = MMPTConfig(BertConfig(), model_cls="MMFusionNLG", max_decode_length=LONGEST)
    model = build_model(config).eval()
    assert isinstance(model, MMFusionNLG), "what the configuration says"
    vfeats = torch.nn.functional.normalize(torch.randn(CLIPS, SECONDS, 512), dim=2)
    vmasks = torch.arange(SECONDS) < clip_lengths()[:CLIPS, None]
    return [_row(model, vfeats, vmasks, beams, turns) for beams in (1, 5)]


def _row(model: MMFusionNLG, vfeats: torch.Tensor, vmasks: torch.Tensor, beams: int, turns: int) -> tuple[str, ...]:
    decoding = read_decoding({"num_beams": beams, "min_length": LONGEST})
    config = model.config
    prompt = (config.cls_token_id, config.sep_token_id, config.cls_token_id)
    rules = Rules(decoding, prompt, config.sep_token_id, LONGEST, vfeats.device)

    def plain() -> Any:
        return search(PlainWords(model, vfeats, vmasks, beams), CLIPS, rules)

    first, second = run_paired({"plain": plain, "ours": lambda: model.captions(vfeats, vmasks, decoding)}, turns=turns)
    same = all(a.tokens == b.tokens for (a, *_), (b, *_) in zip(first.result, second.result, strict=True))
    name = f"{CLIPS} clips, {'greedy' if beams == 1 else f'{beams} beams'}, {LONGEST} tokens"
    speeds = [f"{CLIPS / timed.seconds:.2f}" for timed in (first, second)]
    return name, *speeds, f"{second.ratio:.1f}", "yes" if same else "no"


if __name__ == "__main__":
    show("captions at bert-base size", HEADER, run())
