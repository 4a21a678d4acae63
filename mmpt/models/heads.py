"""Labels by second: action segmentation (a label head) and step localisation (dot products with step texts).

Shapes: B videos, W windows of a video, V seconds of a window, K steps of a task, T places of `caps`, D width.
"""

import torch

from mmpt.models.base import MMFusionOutput, MMPTPreTrainedModel
from mmpt.models.encoders import VideoBertForTokenClassification
from mmpt.models.pooling import masked_mean
from mmpt.models.video_bert import state_at
from mmpt.models.videoclip import MMFusionSeparate, MMFusionShare, TwoPassModel
from mmpt.models.vlm import MMFusionJoint, OneEncoderModel
from mmpt.utils.registry import register

PAD_ID = 0  # of every BERT vocabulary that the models are published with


class LocalisationModel(MMPTPreTrainedModel):
    """Scores every second of a video against the texts of a task's steps."""

    def forward(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor, **_: object
    ) -> MMFusionOutput:
        """Score seconds against step texts.

        Args:
            caps: int64 (B, K, T), the steps of each video's task.
            cmasks: bool (B, K, T).
            vfeats: float (B, W, V, 512), the windows of each video.
            vmasks: bool (B, W, V).

        Returns:
            `logits`: float (real seconds of all windows, in order, K).
        """
        _check_windows(caps, vfeats)
        rows = []
        for texts, text_masks, windows, masks in zip(caps, cmasks.bool(), vfeats, vmasks.bool(), strict=True):
            steps = self.step_vectors(texts, text_masks)  # (K, T) -> (K, D)
            seconds = self.second_vectors(windows, masks)  # (W, V, 512) -> (W, V, D)
            rows.append(seconds[masks] @ steps.T)  # (real seconds, D) x (D, K)
        return MMFusionOutput(logits=torch.cat(rows))

    def step_vectors(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode the texts of steps: int64 (K, T), bool (K, T) -> float (K, D)."""
        raise NotImplementedError

    def second_vectors(self, vfeats: torch.Tensor, vmasks: torch.Tensor) -> torch.Tensor:
        """Encode windows second by second: float (W, V, 512), bool (W, V) -> float (W, V, D)."""
        raise NotImplementedError

    def _no_text(self, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        # The original stands a window beside an empty text: [CLS] and padding hidden, both [SEP] seen.
        sep = self.config.sep_token_id
        caps = torch.tensor([self.config.cls_token_id, sep, PAD_ID, sep], device=device)
        cmasks = torch.tensor([False, True, False, True], device=device)
        return caps.expand(count, -1), cmasks.expand(count, -1)


class TwoPassLocalisation(LocalisationModel, TwoPassModel):
    """Localisation with VideoCLIP."""

    def step_vectors(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode the texts of steps: int64 (K, T), bool (K, T) -> float (K, D)."""
        return self.get_text_features(caps, cmasks)

    def second_vectors(self, vfeats: torch.Tensor, vmasks: torch.Tensor) -> torch.Tensor:
        """Encode windows second by second: float (W, V, 512), bool (W, V) -> float (W, V, D)."""
        return self.get_video_tokens(vfeats, vmasks, *self._no_text(len(vfeats), vfeats.device))


@register("model")
class MMFusionSeparateActionLocalization(TwoPassLocalisation, MMFusionSeparate):
    """Step localisation with VideoCLIP's two towers."""


@register("model")
class MMFusionShareActionLocalization(TwoPassLocalisation, MMFusionShare):
    """Step localisation with one tower that both pass through."""


@register("model")
class MMFusionActionLocalization(LocalisationModel, MMFusionJoint):
    """Step localisation with VLM's one encoder: a window beside an empty text, a text beside one empty second."""

    def step_vectors(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode the texts of steps: int64 (K, T), bool (K, T) -> float (K, D)."""
        caps, cmasks = self._trim_text(caps, cmasks)
        weight = self.mm_encoder.videomlp.linear1.weight
        empty = self.mm_encoder.videomlp(weight.new_zeros(len(caps), 1, self.config.video_dim))  # (K, 1, D)
        sequence = self.sequence(caps, cmasks, empty, cmasks.new_ones(len(caps), 1))
        state = state_at(self.states(sequence), self.pooling_layer)
        return masked_mean(state[:, 3:], sequence.real[:, 3:])  # behind [CLS], the empty second and [SEP]

    def second_vectors(self, vfeats: torch.Tensor, vmasks: torch.Tensor) -> torch.Tensor:
        """Encode windows second by second: float (W, V, 512), bool (W, V) -> float (W, V, D)."""
        caps, cmasks = self._no_text(len(vfeats), vfeats.device)
        state = state_at(
            self.states(self.sequence(caps, cmasks, self.mm_encoder.videomlp(vfeats), vmasks)), self.pooling_layer
        )
        return state[:, 1 : vfeats.shape[1] + 1]


class SegmentationModel(MMPTPreTrainedModel):
    """Scores every second of a video for every label."""

    def forward(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor, **_: object
    ) -> MMFusionOutput:
        """Score seconds for labels.

        Args:
            caps: int64 (B, W, T), the empty text that stands beside each window.
            cmasks: bool (B, W, T).
            vfeats: float (B, W, V, 512), the windows of each video.
            vmasks: bool (B, W, V).

        Returns:
            `logits`: float (B * W, V, labels); meaningless where `vmasks` is False.
        """
        _check_windows(caps, vfeats)
        batch = [part.flatten(0, 1) for part in (caps, cmasks.bool(), vfeats, vmasks.bool())]
        return MMFusionOutput(logits=self.window_logits(*batch))

    def window_logits(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor
    ) -> torch.Tensor:
        """Score the seconds of windows: (W, T), (W, T), (W, V, 512), (W, V) -> float (W, V, labels)."""
        raise NotImplementedError


class TwoPassSegmentation(SegmentationModel, TwoPassModel):
    """Segmentation with VideoCLIP's video tower."""

    def window_logits(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor
    ) -> torch.Tensor:
        """Score the seconds of windows: (W, T), (W, T), (W, V, 512), (W, V) -> float (W, V, labels)."""
        tower = self.video_tower
        assert isinstance(tower, VideoBertForTokenClassification)
        return tower.label(self.get_video_tokens(vfeats, vmasks, caps, cmasks))


@register("model")
class MMFusionSeparateActionSegmentation(TwoPassSegmentation, MMFusionSeparate):
    """Action segmentation with VideoCLIP's video tower."""

    _default_video_encoder = "MMBertForTokenClassification"


@register("model")
class MMFusionShareActionSegmentation(TwoPassSegmentation, MMFusionShare):
    """Action segmentation with one tower that both pass through."""

    _default_encoder = "MMBertForTokenClassification"


@register("model")
class MMFusionActionSegmentation(SegmentationModel, OneEncoderModel):
    """Action segmentation with VLM's one encoder."""

    mm_encoder: VideoBertForTokenClassification
    _default_encoder = "MMBertForTokenClassification"

    def window_logits(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor
    ) -> torch.Tensor:
        """Score the seconds of windows: (W, T), (W, T), (W, V, 512), (W, V) -> float (W, V, labels)."""
        sequence = self.sequence(caps, cmasks, self.mm_encoder.videomlp(vfeats), vmasks)
        state = state_at(self.states(sequence), self.config.bert_config.num_hidden_layers)
        return self.mm_encoder.label(state[:, 1 : vfeats.shape[1] + 1])


def _check_windows(caps: torch.Tensor, vfeats: torch.Tensor) -> None:
    if caps.ndim != 3 or vfeats.ndim != 4 or len(caps) != len(vfeats):
        raise ValueError(
            f"caps {tuple(caps.shape)} and vfeats {tuple(vfeats.shape)} do not fit; they take (videos, texts, places) "
            "and (videos, windows, seconds, width)"
        )
