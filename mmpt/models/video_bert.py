"""Video tokens in a stock BERT: what the encoder is fed, who may see whom, and the walk through its layers.

Shapes: B batch, V video tokens (one a second), T places of `caps`, S places of the whole sequence, D width.

The sequence is [CLS] video [SEP] text [SEP]. Positions count as if the video part were always `max_video_len` long, so
they stay right when padding is trimmed or when one of the parts is left out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import BertModel
from transformers.activations import ACT2FN
from transformers.models.bert.modeling_bert import BertLayer

from mmpt.models.configuration import MMPTConfig

CLS, VIDEO, TEXT = 0, 1, 2  # groups of places; below the isolated layers' end a place sees its own group only

PACKED_BELOW = 0.9  # part of the places that are real


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


@dataclass(frozen=True)
class Packing:
    """Rows of unequal length without the padding between them, so that nothing is computed for it but attention.

    The results at real places are those of the plain walk; padding becomes zeros. Dropout draws differently.

    Args:
        places: int64 (N,), the real places of all rows, row by row.
        shape: B and S.
    """

    places: torch.Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, real: torch.Tensor) -> "Packing | None":
        """Pack where that pays: in training, where rows of a length cannot be put together as in encoding.

        Args:
            real: bool (B, S), False for padding.

        Returns:
            None where the plain walk is as fast.
        """
        if not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        places = real.flatten().nonzero().flatten()
        rows, length = real.shape
        return cls(places, (rows, length)) if len(places) <= PACKED_BELOW * rows * length else None

    def pack(self, states: torch.Tensor) -> torch.Tensor:
        """Leave padding out: float (B, S, D) -> float (N, D)."""
        return states.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """Put zeros where padding is: float (N, D) -> float (B, S, D)."""
        rows, length = self.shape
        empty = packed.new_zeros(rows * length, packed.shape[1])
        return empty.index_copy(0, self.places, packed).unflatten(0, self.shape)

    def walk(self, layer: BertLayer, packed: torch.Tensor, additive: torch.Tensor | None) -> torch.Tensor:
        """Run a layer.

        Args:
            layer: a stock one.
            packed: float (N, D).
            additive: float (B, 1, S, S), what attention adds to its scores.

        Returns:
            float (N, D).
        """
        run = getattr(layer, "run_packed", partial(run_packed, layer))  # a layer divided among processes has its own
        if layer.gradient_checkpointing and layer.training:
            return checkpoint(run, self, packed, additive, use_reentrant=False)
        return run(self, packed, additive)


def run_packed(layer: BertLayer, packing: Packing, packed: torch.Tensor, additive: torch.Tensor | None) -> torch.Tensor:
    """Run a layer on rows without padding.

    Args:
        layer: a stock one.
        packing: where the places belong.
        packed: float (N, D).
        additive: float (B, 1, S, S), what attention adds to its scores.

    Returns:
        float (N, D).
    """
    attention = layer.attention.self
    heads = (attention.num_attention_heads, attention.attention_head_size)
    query, key, value = (
        packing.unpack(part(packed)).unflatten(2, heads).transpose(1, 2)  # (N, D) -> (B, H, S, width of a head)
        for part in (attention.query, attention.key, attention.value)
    )
    rate = attention.dropout.p if layer.training else 0.0
    seen = scaled_dot_product_attention(query, key, value, additive, rate, scale=attention.scaling)
    seen = packing.pack(seen.transpose(1, 2).flatten(2))  # (B, H, S, width) -> (N, D)
    return layer.feed_forward_chunk(layer.attention.output(seen, packed))


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
    packing = Packing.of(sequence.real) if bert.training else None
    packed = None if packing is None else packing.pack(state)
    for index, layer in enumerate(bert.encoder.layer):
        if index in (0, isolated_until):
            additive = _additive(masks[index >= isolated_until](), state.dtype)
        if packing is None or packed is None:
            state = layer(state, additive)  # (B, S, D)
        else:
            assert isinstance(layer, BertLayer)
            packed = packing.walk(layer, packed, additive)  # (N, D)
            state = packing.unpack(packed)  # (B, S, D)
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
