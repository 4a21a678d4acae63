"""The next word of a caption, scored with the video encoded once.

In a captioning model a word sees the video and the words before it, and the video sees no word. So what the layers
make of [CLS] video [SEP] is the same whatever is written: its keys and values are computed once, and each step
computes one new place of each text.

Shapes: B videos, K beams a video, R = B K rows, P places of [CLS] video [SEP], t words so far, H heads, W vocabulary.
"""

from collections.abc import Callable

import torch
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from mmpt.models.video_bert import TokenSequence, layer_states


class CaptionWriter:
    """Scores next words, row by row, and remembers what the layers made of the words so far.

    Args:
        bert: the encoder.
        sequence: [CLS] video [SEP] of B videos.
        first_position: position of the first word.
        beams: K.
        most: words that will be written at most, the first [CLS] included.
        head: states -> scores of the vocabulary, float (R, D) -> float (R, W).
    """

    def __init__(
        self,
        bert: BertModel,
        sequence: TokenSequence,
        *,
        first_position: int,
        beams: int,
        most: int,
        head: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        self.bert, self.head, self.beams, self.first_position = bert, head, beams, first_position
        self.layers: list[BertLayer] = list(bert.encoder.layer)  # pyright: ignore[reportAttributeAccessIssue]
        states = layer_states(bert, sequence)
        # what each layer reads: the embeddings, then the states after the layers below; the last layer's are not read
        self.video = [
            tuple(part.contiguous() for part in _project(layer, state))  # once, not at each step
            for layer, state in zip(self.layers, states, strict=False)
        ]
        lowest = torch.finfo(sequence.tokens.dtype).min
        self.hidden = torch.zeros_like(sequence.real, dtype=sequence.tokens.dtype).masked_fill_(~sequence.real, lowest)
        keys = self.video[0][0]
        rows, heads, width = len(keys) * beams, keys.shape[1], keys.shape[3]
        # keys and values of the words: (layers, 2, R, H, most, width of a head)
        self.words = keys.new_empty(len(self.layers), 2, rows, heads, most, width)
        self.count = 0

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a word in each row.

        Args:
            tokens: int64 (R,).

        Returns:
            Scores of the word that follows, float32 (R, W).
        """
        place = torch.tensor([[self.first_position + self.count]], device=tokens.device)
        state = self.bert.embeddings(
            input_ids=tokens[:, None], position_ids=place, token_type_ids=torch.ones_like(tokens[:, None])
        )  # (R, 1, D)
        self.count += 1
        for index, layer in enumerate(self.layers):
            state = layer.attention.output(self._attend(index, layer, state), state)
            state = layer.feed_forward_chunk(state)
        return self.head(state[:, 0]).float()

    def choose(self, rows: torch.Tensor) -> None:
        """Go on from other rows.

        Args:
            rows: int64 (R,), for each row the one whose words it goes on from, of the same video.
        """
        if not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            for read in self.words[..., : self.count, :]:  # a layer at a time, since each is copied
                read.copy_(read.index_select(1, rows))

    def keep(self, videos: torch.Tensor) -> None:
        """Forget videos that are done.

        Args:
            videos: int64, the others.
        """
        self.video = [(keys[videos], values[videos]) for keys, values in self.video]
        self.hidden = self.hidden[videos]
        self.words = self.words.index_select(2, _rows_of(videos, self.beams))

    def _attend(self, index: int, layer: BertLayer, state: torch.Tensor) -> torch.Tensor:
        """What a word sees, in one layer: the video of its row, which all beams share, and the row's own words."""
        attention = layer.attention.self
        rows, heads, size = len(state), attention.num_attention_heads, attention.attention_head_size
        query = attention.query(state).reshape(rows, heads, 1, size) * attention.scaling
        for kind, part in enumerate(_project(layer, state)):
            self.words[index, kind, :, :, self.count - 1] = part[:, :, 0]
        keys, values = self.words[index, :, :, :, : self.count]  # (R, H, t, width) each
        video_keys, video_values = self.video[index]  # (B, H, P, width) each
        by_video = query.reshape(-1, self.beams, heads, size).transpose(1, 2)  # (B, H, K, width)
        seen = by_video @ video_keys.transpose(2, 3) + self.hidden[:, None, None, :]  # (B, H, K, P)
        seen = seen.transpose(1, 2).reshape(rows, heads, 1, -1)  # (R, H, 1, P)
        weights = torch.cat([seen, query @ keys.transpose(2, 3)], dim=3).softmax(dim=3)  # (R, H, 1, P + t)
        on_video, on_words = weights.split([seen.shape[3], self.count], dim=3)
        by_video = on_video.reshape(-1, self.beams, heads, seen.shape[3]).transpose(1, 2)  # (B, H, K, P)
        of_video = (by_video @ video_values).transpose(1, 2).reshape(rows, heads, 1, size)
        return (of_video + on_words @ values).reshape(rows, 1, heads * size)


def _project(layer: BertLayer, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's keys and values: float (N, S, D) -> (N, H, S, width of a head), twice."""
    attention = layer.attention.self
    shape = (*state.shape[:2], attention.num_attention_heads, attention.attention_head_size)
    return attention.key(state).view(shape).transpose(1, 2), attention.value(state).view(shape).transpose(1, 2)


def _rows_of(videos: torch.Tensor, beams: int) -> torch.Tensor:
    """The rows of some videos: int64 (N,) -> (N K,)."""
    return (videos[:, None] * beams + torch.arange(beams, device=videos.device)).flatten()
