"""One encoder for both: video and text in one sequence, kept apart below `num_iso_layer`.

Source: Xu et al., VLM: Task-agnostic Video-Language Model Pre-training for Video Understanding (ACL Findings 2021).
Shapes: B batch, V seconds, T places of `caps`, S = V + T places of the sequence, D width, N masked places.
"""

from collections.abc import Iterator

import torch

from mmpt.models.base import MMFusionOutput, MMPTPreTrainedModel
from mmpt.models.configuration import MMPTConfig
from mmpt.models.encoders import VideoBertWithHead
from mmpt.models.pooling import masked_mean
from mmpt.models.video_bert import TokenSequence, joint_sequence, layer_states, state_at
from mmpt.utils.registry import alias, register


class OneEncoderModel(MMPTPreTrainedModel):
    """A model with one encoder, `mm_encoder`."""

    _default_encoder = "MMBertForJoint"

    def __init__(self, config: MMPTConfig) -> None:
        super().__init__(config)
        self.mm_encoder = self._make_encoder("mm_encoder_cls", self._default_encoder)
        self.post_init()

    @property
    def pooling_layer(self) -> int:
        """The layer whose states are pooled: where isolation ends, or the last one."""
        return self.config.num_iso_layer or self.config.bert_config.num_hidden_layers

    def sequence(
        self, caps: torch.Tensor, cmasks: torch.Tensor, video_tokens: torch.Tensor, vmasks: torch.Tensor
    ) -> TokenSequence:
        """Lay out [CLS] video [SEP] text [SEP].

        Args:
            caps: int64 (B, T).
            cmasks: bool (B, T).
            video_tokens: float (B, V, D).
            vmasks: bool (B, V).

        Returns:
            V + T places.
        """
        return joint_sequence(self.mm_encoder.bert, caps, cmasks, video_tokens, vmasks, self.config.max_video_len)

    def states(self, sequence: TokenSequence) -> Iterator[torch.Tensor]:
        """Walk the layers, video and text apart below `num_iso_layer`.

        Args:
            sequence: what the encoder is fed.

        Yields:
            float (B, S, D): the embeddings, then the state after each layer.
        """
        return layer_states(self.mm_encoder.bert, sequence, num_iso_layer=self.config.num_iso_layer)

    def pooled(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor
    ) -> MMFusionOutput:
        """Encode pairs of video and text in one sequence each.

        Args:
            caps: int64 (B, T).
            cmasks: bool (B, T).
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).

        Returns:
            `pooled_video` and `pooled_text`, float (B, D) each.
        """
        caps, cmasks, vfeats, vmasks = self._trim(caps, cmasks, vfeats, vmasks)
        sequence = self.sequence(caps, cmasks, self.mm_encoder.videomlp(vfeats), vmasks)
        state = state_at(self.states(sequence), self.pooling_layer)
        text_begin = vmasks.shape[1] + 2  # behind [CLS], the seconds and the video's [SEP]
        return MMFusionOutput(
            pooled_video=masked_mean(state[:, 1:text_begin], sequence.real[:, 1:text_begin]),
            pooled_text=masked_mean(state[:, text_begin:], sequence.real[:, text_begin:]),
        )

    def get_text_features(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode texts alone: the mean over their tokens and the last [SEP].

        Args:
            caps: int64 (B, T), [CLS] [SEP] text [SEP] padding.
            cmasks: bool (B, T).

        Returns:
            float (B, D).

        Raises:
            ValueError: the model mixes video and text from its first layer, so that neither can be encoded alone.
        """
        self._require_isolation()
        caps, cmasks = self._trim_text(caps, cmasks)
        nothing = self.mm_encoder.bert.embeddings.word_embeddings(caps[:, :0])  # (B, 0, D)
        sequence = self.sequence(caps, cmasks, nothing, cmasks[:, :0])
        state = state_at(self.states(sequence), self.pooling_layer)
        return masked_mean(state[:, 2:], sequence.real[:, 2:])  # (B, T - 2, D) -> (B, D)

    def _video_states(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None,
        cmasks: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self._require_isolation()
        vfeats, vmasks = self._trim_video(vfeats, vmasks)
        caps, cmasks = self._frame_caps(vmasks, caps, cmasks)
        sequence = self.sequence(caps, cmasks, self.mm_encoder.videomlp(vfeats), vmasks)
        return state_at(self.states(sequence), self.pooling_layer), sequence.real

    def _require_isolation(self) -> None:
        if not self.config.num_iso_layer:
            layers = self.config.bert_config.num_hidden_layers
            raise ValueError(
                "this model mixes video and text from its first layer (num_iso_layer is not set), so neither can be "
                f"encoded alone; set dataset.num_iso_layer to 1..{layers} ({layers} in every published YAML), or call "
                "the model with both"
            )


@register("model")
class MMFusionJoint(OneEncoderModel):
    """VLM for retrieval: one encoder, pooled where isolation ends."""

    def forward(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor, **_: object
    ) -> MMFusionOutput:
        """Encode pairs of video and text; see `pooled`."""
        return self.pooled(caps, cmasks, vfeats, vmasks)


class MaskedModel(OneEncoderModel):
    """Predicts masked words and masked frames; without labels it encodes pairs, as `MMFusionJoint` does."""

    mm_encoder: VideoBertWithHead

    def forward(
        self,
        caps: torch.Tensor,
        cmasks: torch.Tensor,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        video_label: torch.Tensor | None = None,
        text_label: torch.Tensor | None = None,
        **_: object,
    ) -> MMFusionOutput:
        """Score the candidates for every masked place, or encode pairs when nothing is masked.

        Args:
            caps: int64 (B, T), with the words already masked.
            cmasks: bool (B, T).
            vfeats: float (B, V, 512), with the frames as they are; they are masked here, on a copy.
            vmasks: bool (B, V).
            video_label: bool (B, V), True for a frame to predict.
            text_label: int64 (B, T), the word to predict, or -100.

        Returns:
            `video_logits` and `text_logits`, one row for each masked place in row-major order, for the labels given;
            `pooled_video` and `pooled_text` when there are none.
        """
        if video_label is None and text_label is None:
            return self.pooled(caps, cmasks, vfeats, vmasks)
        caps, cmasks, vfeats, vmasks = self._trim(caps, cmasks, vfeats, vmasks)
        count, length = vmasks.shape[1], caps.shape[1]
        masked = torch.zeros_like(vmasks) if video_label is None else video_label[:, :count].bool()  # (B, V)
        mlp = self.mm_encoder.videomlp
        tokens = mlp(vfeats.masked_fill(masked[..., None], 0.0))  # (B, V, 512) -> (B, V, D)
        targets = mlp(vfeats[masked])  # (masked frames, D)
        others = tokens[vmasks & ~masked]  # (other real frames of the batch, D)
        sequence = self.sequence(caps, cmasks, tokens, vmasks)
        state = state_at(self.states(sequence), self.config.bert_config.num_hidden_layers)
        output, head = MMFusionOutput(), self.mm_encoder.cls
        if video_label is not None:
            states = head.transform(state[:, 1 : count + 1][masked])  # (N, D)
            output["video_logits"] = self.frame_logits(states, targets, others)
        if text_label is not None:
            words = torch.cat([state[:, :1], state[:, count + 1 :]], dim=1)  # (B, S, D) -> (B, T, D)
            states = head.transform(words[text_label[:, :length] != -100])  # (N, D)
            output["text_logits"] = self.word_logits(states, others)
        return output

    def frame_logits(self, states: torch.Tensor, targets: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Score candidates for masked frames: the target first, then the other frames of the batch.

        Args:
            states: float (N, D), the transformed states of the masked frames.
            targets: float (N, D), the tokens that stood there.
            others: float (M, D), the tokens of the frames that are not masked.

        Returns:
            float (N, 1 + M).
        """
        own = (states * targets).sum(dim=1, keepdim=True)  # (N, D) * (N, D) -> (N, 1)
        return torch.cat([own, states @ others.T], dim=1)  # (N, 1 + M)

    def word_logits(self, states: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Score the vocabulary for masked words.

        Args:
            states: float (N, D), the transformed states of the masked words.
            others: float (M, D), the tokens of the frames that are not masked.

        Returns:
            float (N, words).
        """
        return self.mm_encoder.cls.words(states)


@register("model")
class MMFusionMFMMLM(MaskedModel):
    """Masked frames and masked words, each with candidates of its own kind (an ablation of the VLM paper)."""

    _default_encoder = "MMBertForMFMMLM"
    _tied_weights_keys = {  # noqa: RUF012 - the library's own way to declare it
        "mm_encoder.cls.predictions.decoder.weight": "mm_encoder.bert.embeddings.word_embeddings.weight",
        "mm_encoder.cls.predictions.decoder.bias": "mm_encoder.cls.predictions.bias",
    }


@register("model")
class MMFusionMTM(MaskedModel):
    """VLM's pre-training: words and frames are candidates of one vocabulary."""

    _default_encoder = "MMBertForMTM"
    _tied_weights_keys = {  # noqa: RUF012 - the library's own way to declare it
        "mm_encoder.cls.predictions.decoder.weight": "mm_encoder.bert.embeddings.word_embeddings.weight",
    }

    def __init__(self, config: MMPTConfig) -> None:
        if config.mm_encoder_cls == "MMBertForMFMMLM":
            config.mm_encoder_cls = self._default_encoder  # what the YAML files say; this model replaces its head
        super().__init__(config)

    def frame_logits(self, states: torch.Tensor, targets: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Score candidates for masked frames: as for MFM, then every word.

        Args:
            states: float (N, D).
            targets: float (N, D).
            others: float (M, D).

        Returns:
            float (N, 1 + M + words).
        """
        words = self.mm_encoder.cls.words(states)  # (N, words)
        return torch.cat([super().frame_logits(states, targets, others), words], dim=1)

    def word_logits(self, states: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Score candidates for masked words: every word, then the frames that are not masked.

        Args:
            states: float (N, D).
            others: float (M, D).

        Returns:
            float (N, words + M).
        """
        return torch.cat([self.mm_encoder.cls.words(states), states @ others.T], dim=1)


alias("model", "MMFusionForMFMMLM", "MMFusionMFMMLM")
