"""Losses over what was masked: frames and words.

Shapes: M masked frames and N masked words of the whole batch; row i of `video_logits` scores frame i against the
right one, in column 0, and all others.
"""

import torch
import torch.nn.functional as F

from mmpt.losses.base import Loss
from mmpt.utils.registry import register

IGNORED = -100  # label of a position that is no target


@register("loss")
class MFMMLM(Loss):
    """Masked frames and masked words, each a mean of its own (VLM, section 3; HERO's two objectives)."""

    def forward(
        self, *, video_logits: torch.Tensor, text_logits: torch.Tensor, text_label: torch.Tensor, **_: object
    ) -> dict[str, torch.Tensor]:
        """Compute the losses.

        Args:
            video_logits: float (M, 1 + others), the right frame in column 0.
            text_logits: float (N, V) over the vocabulary.
            text_label: int64, any shape, -100 where nothing was masked; N others.

        Returns:
            `mfm` and `mlm`. One without a target is 0, and its gradient too.
        """
        words = _labels(text_label, text_logits)
        return {"mfm": _mean(video_logits, words.new_zeros(len(video_logits))), "mlm": _mean(text_logits, words)}


@register("loss")
class MTM(Loss):
    """Masked tokens of either kind, in one vocabulary of words and frames and one mean (VLM, section 3.2)."""

    def forward(
        self, *, video_logits: torch.Tensor, text_logits: torch.Tensor, text_label: torch.Tensor, **_: object
    ) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            video_logits: float (M, V), the right frame in column 0.
            text_logits: float (N, V - 1); a column of zeros is added behind the last.
            text_label: int64, any shape, -100 where nothing was masked; N others.

        Returns:
            `mtm`: mean cross entropy over all M + N masked tokens; 0 when there is none.
        """
        words = _labels(text_label, text_logits)
        logits = torch.cat([video_logits, F.pad(text_logits, (0, 1))])  # (M + N, V)
        return {"mtm": _mean(logits, torch.cat([words.new_zeros(len(video_logits)), words]))}


@register("loss")
class NLGLoss(Loss):
    """Says a caption word by word, each from the words before it."""

    def forward(self, *, logits: torch.Tensor, text_label: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            logits: float (N, V), scores of the words at the N places that have a label.
            text_label: int64, any shape, -100 where no word is asked for; N others.

        Returns:
            `nlg`: mean cross entropy over the words; 0 when there is none.
        """
        return {"nlg": _mean(logits, _labels(text_label, logits))}


def _labels(text_label: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    words = text_label[text_label != IGNORED]  # (N,)
    if len(words) != len(logits):
        raise ValueError(f"there are {len(words)} words to predict and scores for {len(logits)}; they must be as many")
    return words


def _mean(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy; 0 over nothing, where torch's own is NaN."""
    return F.cross_entropy(logits, targets, reduction="sum") / max(1, len(targets))
