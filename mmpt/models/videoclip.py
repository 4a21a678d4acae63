"""VideoCLIP: video and text meet in one space, each encoded without a look at the other.

Source: Xu et al., VideoCLIP: Contrastive Pre-training for Zero-shot Video-Text Understanding, section 3 (EMNLP 2021).
Shapes: B batch, V seconds, T places of `caps`, D width. A score is the plain dot product of the two vectors.
"""

from typing import ClassVar

import torch
from transformers import BertModel

from mmpt.models.base import MMFusionOutput, MMPTPreTrainedModel
from mmpt.models.configuration import MMPTConfig
from mmpt.models.encoders import VideoBertEncoder, make_bert
from mmpt.models.video_bert import TokenSequence, joint_sequence, last_state, text_sequence
from mmpt.utils.registry import register


class TwoPassModel(MMPTPreTrainedModel):
    """One pass for the video, one for the text; subclasses say through which encoder."""

    def forward(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor, **_: object
    ) -> MMFusionOutput:
        """Encode pairs of video and text.

        Args:
            caps: int64 (B, T), [CLS] [SEP] text [SEP] padding; or (B * C, T), where a video has C texts.
            cmasks: bool (B, T).
            vfeats: float (B, V, 512), one row a second.
            vmasks: bool (B, V).

        Returns:
            `pooled_video` and `pooled_text`, float (B, D) each; (B * C, D) of C texts.
        """
        count = len(vfeats)  # [CLS] and [SEP], which stand around a video too, are those of any text
        return MMFusionOutput(
            pooled_video=self.get_video_features(vfeats, vmasks, caps[:count], cmasks[:count]),
            pooled_text=self.get_text_features(caps, cmasks),
        )

    def get_text_features(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode texts: the mean over their tokens and the last [SEP].

        Args:
            caps: int64 (B, T), [CLS] [SEP] text [SEP] padding.
            cmasks: bool (B, T).

        Returns:
            float (B, D).
        """
        caps, cmasks = self._trim_text(caps, cmasks)
        sequence = self.text_sequence(caps, cmasks)
        return self._pooled(last_state(self.text_bert, sequence), sequence.real)  # (B, T - 1, D) -> (B, D)

    def video_sequence(
        self, vfeats: torch.Tensor, vmasks: torch.Tensor, caps: torch.Tensor, cmasks: torch.Tensor
    ) -> TokenSequence:
        """Lay out [CLS] video [SEP].

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            caps: int64 (B, T); the first two places are used.
            cmasks: bool (B, T).

        Returns:
            V + 2 places.
        """
        encoder = self.video_tower
        return joint_sequence(
            encoder.bert, caps[:, :2], cmasks[:, :2], encoder.videomlp(vfeats), vmasks, self.config.max_video_len
        )

    def text_sequence(self, caps: torch.Tensor, cmasks: torch.Tensor) -> TokenSequence:
        """Lay out [CLS] text [SEP].

        Args:
            caps: int64 (B, T).
            cmasks: bool (B, T).

        Returns:
            T - 1 places.
        """
        raise NotImplementedError

    @property
    def video_tower(self) -> VideoBertEncoder:
        """The encoder of videos."""
        raise NotImplementedError

    @property
    def text_bert(self) -> BertModel:
        """The encoder of texts."""
        raise NotImplementedError

    def _video_states(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None,
        cmasks: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        vfeats, vmasks = self._trim_video(vfeats, vmasks)
        sequence = self.video_sequence(vfeats, vmasks, *self._frame_caps(vmasks, caps, cmasks))
        return last_state(self.video_tower.bert, sequence), sequence.real


@register("model")
class MMFusionSeparate(TwoPassModel):
    """VideoCLIP: a tower for video and a tower for text (paper's default: the video tower has six layers)."""

    _default_video_encoder: ClassVar[str] = "MMBertForEncoder"

    def __init__(self, config: MMPTConfig) -> None:
        super().__init__(config)
        self.video_encoder = self._make_encoder(
            "video_encoder_cls", self._default_video_encoder, num_layers=config.num_hidden_video_layers
        )
        if config.text_encoder_cls not in (None, "BertModel"):
            raise ValueError(
                f"{type(self).__name__} cannot use the encoder {config.text_encoder_cls!r} (model.text_encoder_cls); "
                "it takes BertModel"
            )
        self.text_encoder = make_bert(config)
        self.post_init()

    def text_sequence(self, caps: torch.Tensor, cmasks: torch.Tensor) -> TokenSequence:
        """Lay out [CLS] text [SEP], counted plainly from 0."""
        return text_sequence(self.text_encoder, caps, cmasks)

    @property
    def video_tower(self) -> VideoBertEncoder:
        """The encoder of videos."""
        return self.video_encoder

    @property
    def text_bert(self) -> BertModel:
        """The encoder of texts."""
        return self.text_encoder


@register("model")
class MMFusionShare(TwoPassModel):
    """VideoCLIP with one tower that both pass through (an ablation of the paper)."""

    _default_encoder: ClassVar[str] = "MMBertForEncoder"

    def __init__(self, config: MMPTConfig) -> None:
        super().__init__(config)
        self.mm_encoder = self._make_encoder("mm_encoder_cls", self._default_encoder)
        self.post_init()

    def text_sequence(self, caps: torch.Tensor, cmasks: torch.Tensor) -> TokenSequence:
        """Lay out [CLS] text [SEP], counted from behind the video's places."""
        return text_sequence(
            self.mm_encoder.bert, caps, cmasks, first_position=self.config.max_video_len + 2, token_type=1
        )

    @property
    def video_tower(self) -> VideoBertEncoder:
        """The encoder of videos."""
        return self.mm_encoder

    @property
    def text_bert(self) -> BertModel:
        """The encoder of texts."""
        return self.mm_encoder.bert
