"""Which frames and words are to be predicted, and who may see whom.

Masks of both kinds follow a `modality_masking`: None masks some of it, each place with the configured probability;
``"full"`` all of it, ``"no"`` nothing, ``"inverse"`` what None would leave, in probability. Shapes: L places; a leading
dimension of K clips is kept.
"""

import functools
from typing import Any

import numpy as np
import torch

from mmpt.processors.base import Processor
from mmpt.utils.registry import register

NO_LABEL = -100  # where nothing is to be predicted; torch's cross entropy leaves it out
BECOMES_MASK = 0.8  # of the chosen words, as BERT does
BECOMES_RANDOM = 0.1  # of the chosen words; the rest stay
MODES = (None, "full", "no", "inverse")
TEXT_MODES = (*MODES, "mask", "textgen", "textgen_mask")
TEXT_BEGIN = 2  # behind [CLS] [SEP]


@register("processor")
class FrameMaskingProcessor(Processor):
    """Chooses the frames to predict, each with `mfm_probability`."""

    def __call__(
        self, vmasks: torch.Tensor, rng: np.random.Generator, modality_masking: str | None = None
    ) -> torch.Tensor:
        """Choose frames.

        Args:
            vmasks: bool (..., L), False for padding.
            rng: gives the draws.
            modality_masking: None, ``"full"``, ``"no"`` or ``"inverse"``.

        Returns:
            bool (..., L), True for a frame to predict; padding never is.

        Raises:
            ValueError: `modality_masking` is another, or `mfm_probability` is not set.
        """
        part = _probability(modality_masking, self.config.mfm_probability, "mfm_probability")
        return vmasks & torch.from_numpy(rng.random(tuple(vmasks.shape)) < part)


@register("processor")
class TextMaskingProcessor(Processor):
    """Chooses the words to predict, each with `mlm_probability`, and hides them as BERT does."""

    def __call__(
        self, caps: torch.Tensor, rng: np.random.Generator, modality_masking: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose words, and hide them.

        Args:
            caps: int64 (L,), [CLS] [SEP] text [SEP] padding.
            rng: gives the draws.
            modality_masking: None, ``"full"``, ``"no"`` or ``"inverse"``; ``"mask"`` hides words and asks for none;
                ``"textgen"`` is the layout of `TextGenerationProcessor`, and ``"textgen_mask"`` the same with some
                of what is read hidden.

        Returns:
            What the model reads and what it must say there, -100 where nothing is asked: int64 (L,) each.

        Raises:
            ValueError: `modality_masking` is another, or `mlm_probability` is not set.
        """
        if modality_masking in ("textgen", "textgen_mask"):
            shifted, labels = self.textgen(caps)
            return (shifted if modality_masking == "textgen" else self._hide(shifted, None, rng)[0]), labels
        if modality_masking == "mask":
            return self._hide(caps, None, rng)[0], torch.full_like(caps, NO_LABEL)
        return self._hide(caps, modality_masking, rng)

    @functools.cached_property
    def textgen(self) -> "TextGenerationProcessor":
        """The layout of captioning."""
        return TextGenerationProcessor(self._token("cls_token_id"), self._token("pad_token_id"))

    def _hide(
        self, caps: torch.Tensor, modality_masking: str | None, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        part = _probability(modality_masking, self.config.mlm_probability, "mlm_probability", TEXT_MODES)
        before = caps.numpy()
        chosen = ~np.isin(before, self._never) & (rng.random(before.shape) < part)
        fate = rng.random(before.shape)
        random = rng.integers(0, len(self.tokenizer), before.shape)
        hidden = np.where(chosen & (fate < BECOMES_MASK), self._token("mask_token_id"), before)
        hidden = np.where(chosen & (fate >= BECOMES_MASK) & (fate < BECOMES_MASK + BECOMES_RANDOM), random, hidden)
        return torch.from_numpy(hidden), torch.from_numpy(np.where(chosen, before, NO_LABEL))

    @functools.cached_property
    def _never(self) -> list[int]:
        """The tokens that frame a sequence are never chosen."""
        return [self._token(name) for name in ("cls_token_id", "sep_token_id", "pad_token_id")]

    def _token(self, name: str) -> int:
        value: Any = getattr(self.tokenizer, name)
        if not isinstance(value, int):
            raise ValueError(f"the tokenizer of {self.config.bert_name} has no {name}; masking takes a BERT vocabulary")
        return value


@register("processor")
class TextGenerationProcessor:
    """Lays out a text for a model that says each word after the ones before it.

    Args:
        bos_token_id: what stands before the first word; [CLS].
        pad_token_id: of [PAD].
    """

    def __init__(self, bos_token_id: int, pad_token_id: int) -> None:
        self.bos_token_id = bos_token_id
        self.pad_token_id = pad_token_id

    def __call__(self, caps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Move the text one place to the right.

        Args:
            caps: int64 (L,), [CLS] [SEP] text [SEP] padding.

        Returns:
            [CLS] [SEP] [CLS] text padding, and what the model must say at each place: text [SEP], -100 elsewhere.
            int64 (L,) each.
        """
        end = int((caps != self.pad_token_id).sum())  # padding stands behind the last [SEP] only
        inputs, labels = caps.clone(), torch.full_like(caps, NO_LABEL)
        inputs[TEXT_BEGIN] = self.bos_token_id
        inputs[TEXT_BEGIN + 1 : end] = caps[TEXT_BEGIN : end - 1]
        labels[TEXT_BEGIN:end] = caps[TEXT_BEGIN:end]
        return inputs, labels


@register("processor")
class MMAttentionMask2DProcessor:
    """Says which places of the joint sequence each place may see."""

    def __call__(self, vmask: torch.Tensor, cmask: torch.Tensor, mtype: str | None = None) -> torch.Tensor:
        """Make a mask for [CLS] video [SEP] text [SEP].

        Args:
            vmask: bool (V,), False for padding.
            cmask: bool (T,), of [CLS] [SEP] text [SEP] padding.
            mtype: ``"textgen"`` lets a word see the words before it only, and the video no word; ``"videogen"`` does
                the same with the seconds and the [SEP] behind them. Any other: all see all.

        Returns:
            bool (V + T, V + T): row sees column.
        """
        real = torch.cat([cmask.new_ones(1), vmask, cmask[1:]])  # (V + T,)
        place, separator = torch.arange(len(real)), 1 + len(vmask)
        if mtype == "textgen":
            generated = real & (place > separator)
        elif mtype == "videogen":
            generated = real & (place >= 1) & (place <= separator)
        else:
            return real.expand(len(real), -1).clone()
        earlier = place[None, :] <= place[:, None]
        return (real & ~generated) | (generated[:, None] & generated[None, :] & earlier)


def _probability(mode: str | None, configured: float | None, key: str, modes: tuple[str | None, ...] = MODES) -> float:
    if mode not in modes:
        known = ", ".join("none" if known is None else repr(known) for known in modes)
        raise ValueError(f"modality_masking is {mode!r}; it takes {known}")
    if mode in ("full", "no"):
        return 1.0 if mode == "full" else 0.0
    if configured is None or not 0 <= configured <= 1:
        raise ValueError(
            f"dataset.{key} is {configured}; masking takes a probability, 0.15 in the published YAML files"
        )
    return configured if mode is None else 1 - configured
