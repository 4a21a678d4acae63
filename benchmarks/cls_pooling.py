"""VideoCLIP with the state of [CLS] in the place of the mean: an ablation of the paper, which nothing else needs."""

import torch

from mmpt.models.videoclip import MMFusionSeparate
from mmpt.utils.registry import register


@register("model")
class MMFusionSeparateCls(MMFusionSeparate):
    """Two towers whose vectors are their first place's state, of video and of text."""

    def _pooled(self, states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return states[:, 0]
