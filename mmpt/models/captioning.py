"""VLM writes captions: the encoder, with a mask that lets a word see the video and the words before it.

Source: Xu et al., VLM (ACL Findings 2021), section on text generation.
"""

import torch

from mmpt.models.base import MMFusionOutput
from mmpt.models.encoders import VideoBertWithHead
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
