"""VLM writes captions: the encoder, with a mask that lets a word see the video and the words before it.

Source: Xu et al., VLM (ACL Findings 2021), section on text generation.
"""

from typing import Any

import torch

from mmpt.config.typed import fill
from mmpt.models.base import MMFusionOutput
from mmpt.models.caption_writer import CaptionWriter
from mmpt.models.encoders import VideoBertWithHead
from mmpt.models.generation import PROMPT, Caption, Decoding, Rules, lay_out, search
from mmpt.models.video_bert import layer_states, state_at
from mmpt.models.vlm import OneEncoderModel
from mmpt.utils.registry import register


@register("model")
class MMFusionNLG(OneEncoderModel):
    """Scores the words of a caption, each from the words before it."""

    mm_encoder: VideoBertWithHead
    _default_encoder = "MMBertForNLG"
    _tied_weights_keys = {  # noqa: RUF012 - the library's own way to declare it
        "mm_encoder.cls.predictions.decoder.weight": "mm_encoder.bert.embeddings.word_embeddings.weight",
        "mm_encoder.cls.predictions.decoder.bias": "mm_encoder.cls.predictions.bias",
    }

    def forward(
        self,
        caps: torch.Tensor,
        cmasks: torch.Tensor,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        attention_mask: torch.Tensor,
        text_label: torch.Tensor | None = None,
        **_: object,
    ) -> MMFusionOutput:
        """Score the vocabulary at the places of a caption (teacher forcing).

        Args:
            caps: int64 (B, T), [CLS] [SEP] [CLS] words, padding.
            cmasks: bool (B, T).
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            attention_mask: bool (B, V + T, V + T), which place sees which.
            text_label: int64 (B, T), the next word, or -100; with it only the labelled places are scored.

        Returns:
            `logits`: float (labelled places, words) in row-major order, or (B, T, words) without labels.
        """
        length = vmasks.shape[1] + caps.shape[1]
        if attention_mask.shape != (caps.shape[0], length, length):
            raise ValueError(
                f"attention_mask {tuple(attention_mask.shape)} does not fit; it takes (batch, seconds + places of "
                f"caps, the same again) = {(caps.shape[0], length, length)}"
            )
        sequence = self.sequence(caps, cmasks.bool(), self.mm_encoder.videomlp(vfeats), vmasks.bool())
        walk = layer_states(self.mm_encoder.bert, sequence, attention_mask=attention_mask.bool())
        state = state_at(walk, self.config.bert_config.num_hidden_layers)
        words = torch.cat([state[:, :1], state[:, vmasks.shape[1] + 1 :]], dim=1)  # (B, S, D) -> (B, T, D)
        if text_label is not None:
            words = words[text_label != -100]  # (B, T, D) -> (N, D)
        head = self.mm_encoder.cls
        return MMFusionOutput(logits=head.words(head.transform(words)))

    def generate(self, vfeats: torch.Tensor, vmasks: torch.Tensor, **gen_param: Any) -> torch.Tensor:
        """Write captions.

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            gen_param: the fields of `Decoding`, for example ``num_beams=5``.

        Returns:
            int64 (B * num_return_sequences, L): [CLS] [SEP] [CLS] words [SEP] padding; without the [SEP] where
            `max_length` cut a text off. A video's texts follow each other, the best first.

        Raises:
            ValueError: a parameter is not known or out of its range, the shapes do not fit, or the model is in
                training mode.
        """
        captions = self.captions(vfeats, vmasks, read_decoding(gen_param))
        each = [caption for of_video in captions for caption in of_video]
        padding = self.config.bert_config.pad_token_id or 0
        return lay_out(each, end=self.config.sep_token_id, padding=padding).to(vfeats.device)

    @torch.no_grad()
    def captions(self, vfeats: torch.Tensor, vmasks: torch.Tensor, decoding: Decoding) -> list[list[Caption]]:
        """Write captions, and say how likely they are.

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            decoding: how to search.

        Returns:
            For each video `num_return_sequences` texts, the best first.

        Raises:
            ValueError: as for `generate`.
        """
        if self.training:
            raise ValueError("the model is in training mode, where dropout makes captions random; call model.eval()")
        known = self.config.bert_config.vocab_size
        if unknown := [token for sequence in decoding.bad_words_ids for token in sequence if not 0 <= token < known]:
            raise ValueError(f"gen_param.bad_words_ids has the token id {unknown[0]}; the model has {known} words")
        vfeats, vmasks = self._trim_video(vfeats, vmasks)
        if not len(vfeats):
            return []
        config, bert, head = self.config, self.mm_encoder.bert, self.mm_encoder.cls
        longest = self._longest(decoding.max_length)
        caps, cmasks = self._frame_caps(vmasks, None, None)
        writer = CaptionWriter(
            bert,
            self.sequence(caps, cmasks, self.mm_encoder.videomlp(vfeats), vmasks),
            first_position=config.max_video_len + 2,  # behind [CLS], the seconds and the video's [SEP]
            beams=decoding.num_beams,
            most=longest - PROMPT,
            head=lambda states: head.words(head.transform(states)),
        )
        prompt = (config.cls_token_id, config.sep_token_id, config.cls_token_id)
        return search(writer, len(vfeats), Rules(decoding, prompt, config.sep_token_id, longest, vfeats.device))

    def _longest(self, max_length: int | None) -> int:
        """Tokens of the longest text, [CLS] [SEP] [CLS] included."""
        places = self.config.max_len - self.config.max_video_len - PROMPT
        wanted = max_length or self.config.max_decode_length or places
        return min(wanted, places)


def read_decoding(gen_param: Any) -> Decoding:
    """Read the `gen_param:` block.

    Args:
        gen_param: names and values.

    Returns:
        How captions are to be searched for.

    Raises:
        ValueError: a name is not known, or a value does not fit; all of them are told.
    """
    problems: list[str] = []
    decoding = fill(Decoding, gen_param, "gen_param", problems)
    if decoding is None:
        raise ValueError("\n".join(problems))
    return decoding
