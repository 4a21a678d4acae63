"""Video tokens in a stock BERT: what the encoder is fed, who may see whom, and the walk through its layers.

Shapes: B batch, V video tokens (one a second), T places of `caps`, S places of the whole sequence, D width.

The sequence is [CLS] video [SEP] text [SEP]. Positions count as if the video part were always `max_video_len` long, so
they stay right when padding is trimmed or when one of the parts is left out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn
from transformers import BertModel
from transformers.activations import ACT2FN

from mmpt.models.configuration import MMPTConfig

CLS, VIDEO, TEXT = 0, 1, 2  # groups of places; below the isolated layers' end a place sees its own group only


class VideoTokenMLP(nn.Module):
    """Bring a second's features to the width of the encoder."""

    def __init__(self, config: MMPTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.linear1 = nn.Linear(config.video_dim, width)
        self.activation = ACT2FN[config.bert_config.hidden_act]
        self.LayerNorm = nn.LayerNorm(width)  # torch's own epsilon, unlike BERT's layers: checkpoints rely on it
        self.linear2 = nn.Linear(width, width)

    def forward(self, vfeats: torch.Tensor) -> torch.Tensor:
        """Project features.

        Args:
            vfeats: float (B, V, video_dim).

        Returns:
            float (B, V, D).
        """
        return self.linear2(self.LayerNorm(self.activation(self.linear1(vfeats))))


@dataclass(frozen=True)
class TokenSequence:
    """What an encoder is fed.

    Args:
        tokens: float (B, S, D), before positions and types are added.
        real: bool (B, S), False for padding.
        positions: int64 (S,).
        types: int64 (S,), 0 for video and 1 for text.
        groups: int64 (S,), which places see each other in isolated layers.
    """

    tokens: torch.Tensor
    real: torch.Tensor
    positions: torch.Tensor
    types: torch.Tensor
    groups: torch.Tensor

    def full_mask(self) -> torch.Tensor:
        """Let every place see every real place.

        Returns:
            bool (B, 1, S, S).
        """
        batch, length = self.real.shape
        return self.real[:, None, None, :].expand(batch, 1, length, length)

    def isolated_mask(self) -> torch.Tensor:
        """Let every place see the real places of its own group.

        Returns:
            bool (B, 1, S, S).
        """
        same_group = self.groups[:, None] == self.groups[None, :]  # (S, S)
        return self.full_mask() & same_group


def joint_sequence(
    bert: BertModel,
    caps: torch.Tensor,
    cmasks: torch.Tensor,
    video_tokens: torch.Tensor,
    vmasks: torch.Tensor,
    max_video_len: int,
) -> TokenSequence:
    """Lay out [CLS] video [SEP] text [SEP].

    Args:
        bert: the encoder whose word embeddings are used.
        caps: int64 (B, T), [CLS] [SEP] text [SEP] padding. With T = 2 the text part is absent.
        cmasks: bool (B, T).
        video_tokens: float (B, V, D).
        vmasks: bool (B, V).
        max_video_len: the number of places that positions reserve for video.

    Returns:
        A sequence of S = V + T places.
    """
    words = bert.embeddings.word_embeddings(caps)  # (B, T) -> (B, T, D)
    count, length = video_tokens.shape[1], caps.shape[1]
    places = torch.arange(count + length, device=caps.device)
    in_text = places >= count + 2
    return TokenSequence(
        tokens=torch.cat([words[:, :1], video_tokens, words[:, 1:]], dim=1),  # (B, S, D)
        real=torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:]], dim=1),
        positions=torch.where(places > count, places - count + max_video_len, places),
        types=in_text.long(),
        groups=torch.where(in_text, TEXT, torch.where(places == 0, CLS, VIDEO)),
    )


def text_sequence(
    bert: BertModel, caps: torch.Tensor, cmasks: torch.Tensor, *, first_position: int = 1, token_type: int = 0
) -> TokenSequence:
    """Lay out [CLS] text [SEP].

    Args:
        bert: the encoder whose word embeddings are used.
        caps: int64 (B, T), [CLS] [SEP] text [SEP] padding; the first [SEP] is left out.
        cmasks: bool (B, T).
        first_position: position of the first text token; 1 in a text tower of its own.
        token_type: type of the text tokens; 0 in a text tower of its own.

    Returns:
        A sequence of S = T - 1 places.
    """
    words = bert.embeddings.word_embeddings(caps)  # (B, T) -> (B, T, D)
    places = torch.arange(caps.shape[1] - 1, device=caps.device)
    in_text = places > 0
    return TokenSequence(
        tokens=torch.cat([words[:, :1], words[:, 2:]], dim=1),  # (B, T, D) -> (B, T - 1, D)
        real=torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1),
        positions=torch.where(in_text, places - 1 + first_position, 0),
        types=torch.where(in_text, token_type, 0),
        groups=torch.where(in_text, TEXT, CLS),
    )


def layer_states(
    bert: BertModel,
    sequence: TokenSequence,
    *,
    num_iso_layer: int | None = None,
    attention_mask: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Walk the stock layers, with one mask or the other.

    Args:
        bert: the encoder.
        sequence: what it is fed.
        num_iso_layer: how many layers, from the first, keep video and text apart; None for none.
        attention_mask: bool (B, S, S) that replaces both masks, for captioning.

    Yields:
        float (B, S, D): the embeddings, then the state after each layer; a caller may stop at an early one.
    """
    masks = [sequence.isolated_mask, sequence.full_mask]
    if attention_mask is not None:
        masks = [lambda: attention_mask[:, None]] * 2
    state = bert.embeddings(
        inputs_embeds=sequence.tokens,
        position_ids=sequence.positions[None],
        token_type_ids=sequence.types[None].expand(sequence.real.shape),
    )
    yield state
    isolated_until = num_iso_layer or 0
    additive = None
    for index, layer in enumerate(bert.encoder.layer):
        if index in (0, isolated_until):
            additive = _additive(masks[index >= isolated_until](), state.dtype)
        state = layer(state, additive)  # (B, S, D)
        yield state


def state_at(states: Iterator[torch.Tensor], layer: int) -> torch.Tensor:
    """Take the state after one layer and run no layer above it.

    Args:
        states: what `layer_states` gives.
        layer: 0 for the embeddings, n for the state after the n-th layer.

    Returns:
        float (B, S, D).
    """
    return next(islice(states, layer, None))


def last_state(bert: BertModel, sequence: TokenSequence) -> torch.Tensor:
    """Run all layers.

    Args:
        bert: the encoder.
        sequence: what it is fed.

    Returns:
        float (B, S, D).
    """
    return deque(layer_states(bert, sequence), maxlen=1)[0]


def used_length(mask: torch.Tensor) -> int:
    """Count the columns up to the last one that any row uses.

    Args:
        mask: bool (B, S).

    Returns:
        A number from 0 to S.
    """
    used = mask.any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 0


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    # Attention adds its mask. The lowest finite number, unlike -inf, leaves a row that sees nobody free of NaN.
    if not torch.compiler.is_compiling() and bool(mask.all()):
        return None  # nothing to hide: attention without a mask is faster
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
