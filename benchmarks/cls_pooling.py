"""VideoCLIP with the state of [CLS] in the place of the mean: an ablation of the paper, which nothing else needs."""

import torch

from mmpt.models.base import VideoStates
from mmpt.models.video_bert import last_state
from mmpt.models.videoclip import MMFusionSeparate
from mmpt.utils.registry import register


@register("model")
class MMFusionSeparateCls(MMFusionSeparate):
    """Two towers whose vectors are their first place's state, of video and of text."""

    def get_text_features(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode texts: the state of [CLS].

        Args:
            caps: int64 (B, T), [CLS] [SEP] text [SEP] padding.
            cmasks: bool (B, T).

        Returns:
            float (B, D).
        """
        sequence = self.text_sequence(*self._trim_text(caps, cmasks))
        return last_state(self.text_bert, sequence)[:, 0]  # (B, T - 1, D) -> (B, D)

    def encode_video(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None = None,
        cmasks: torch.Tensor | None = None,
    ) -> VideoStates:
        """Encode videos: the state of [CLS] is their vector.

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            caps: as for `get_video_features`.
            cmasks: as for `get_video_features`.

        Returns:
            That, and their seconds.
        """
        states, _ = self._video_states(vfeats, vmasks, caps, cmasks)
        tokens = states[:, 1:-1]  # (B, V + 2, D) -> (B, V, D)
        padding = (0, 0, 0, vfeats.shape[1] - tokens.shape[1])
        return VideoStates(pooled=states[:, 0], tokens=torch.nn.functional.pad(tokens, padding))
