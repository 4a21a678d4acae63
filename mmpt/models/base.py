"""What all models share: their transformers base class, their output, and the checks at their door."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from mmpt.models.configuration import MMPTConfig
from mmpt.models.encoders import VideoBertEncoder
from mmpt.models.pooling import masked_mean
from mmpt.models.video_bert import used_length
from mmpt.utils.registry import lookup, names


@dataclass
class MMFusionOutput(ModelOutput):
    """What a model returns, under the original's names; only what was computed is there.

    Args:
        pooled_video: float (B, D), one vector a video.
        pooled_text: float (B, D), one vector a text.
        video_logits: float (masked frames, candidates), for masked-frame prediction.
        text_logits: float (masked words, candidates), for masked-word prediction.
        logits: float, labels or words by place; the model says which.
    """

    pooled_video: torch.Tensor | None = None
    pooled_text: torch.Tensor | None = None
    video_logits: torch.Tensor | None = None
    text_logits: torch.Tensor | None = None
    logits: torch.Tensor | None = None


@dataclass(frozen=True)
class VideoStates:
    """Videos in the common space.

    Args:
        pooled: float (B, D), one vector a video.
        tokens: float (B, V, D), one a second; zeros where the batch's padding was trimmed.
    """

    pooled: torch.Tensor
    tokens: torch.Tensor


class MMPTPreTrainedModel(PreTrainedModel):
    """Base of every model: loading, saving and initialisation come from transformers, and videos and texts can be
    encoded each on their own, into vectors whose dot product is the score.

    `trim_padding` (True) cuts a batch's padding to its longest row before the encoder. The result is the same and the
    time is not; torch.compile with static shapes wants it off.
    """

    config_class = MMPTConfig
    config: MMPTConfig
    base_model_prefix = ""
    main_input_name = "vfeats"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar = ["BertLayer"]
    # Known and harmless in the world's checkpoints: position ids are computed, segment embeddings were never used.
    _keys_to_ignore_on_load_unexpected: ClassVar = [r"position_ids$", r"seg_embeddings\.weight$"]
    trim_padding: bool = True

    def __init__(self, config: MMPTConfig) -> None:
        config.model_cls = type(self).__name__  # what a saved folder is loaded as
        super().__init__(config)

    def get_text_features(self, caps: torch.Tensor, cmasks: torch.Tensor) -> torch.Tensor:
        """Encode texts: the mean over their tokens and the last [SEP].

        Args:
            caps: int64 (B, T), [CLS] [SEP] text [SEP] padding.
            cmasks: bool (B, T).

        Returns:
            float (B, D).
        """
        raise NotImplementedError

    def get_video_features(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None = None,
        cmasks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode videos: the mean over their seconds and the [SEP] behind them.

        Args:
            vfeats: float (B, V, 512), one row a second.
            vmasks: bool (B, V).
            caps: int64 (B, T) whose first two places are the [CLS] and [SEP] to use; the configuration's by default.
            cmasks: bool (B, T), with `caps`.

        Returns:
            float (B, D).

        Raises:
            ValueError: the model mixes video and text from its first layer, so that neither can be encoded alone.
        """
        return self.encode_video(vfeats, vmasks, caps, cmasks).pooled

    def get_video_tokens(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None = None,
        cmasks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode videos second by second.

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            caps: as for `get_video_features`.
            cmasks: as for `get_video_features`.

        Returns:
            float (B, V, D); zeros where the batch's padding was trimmed.

        Raises:
            ValueError: as for `get_video_features`.
        """
        return self.encode_video(vfeats, vmasks, caps, cmasks).tokens

    def encode_video(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None = None,
        cmasks: torch.Tensor | None = None,
    ) -> VideoStates:
        """Encode videos once, for their vector and their seconds.

        Args:
            vfeats: float (B, V, 512).
            vmasks: bool (B, V).
            caps: as for `get_video_features`.
            cmasks: as for `get_video_features`.

        Returns:
            Both.

        Raises:
            ValueError: as for `get_video_features`.
        """
        states, real = self._video_states(vfeats, vmasks, caps, cmasks)
        tokens = states[:, 1:-1]  # without [CLS] and [SEP]: (B, V + 2, D) -> (B, V, D)
        return VideoStates(
            pooled=self._pooled(states, real),
            tokens=nn.functional.pad(tokens, (0, 0, 0, vfeats.shape[1] - tokens.shape[1])),
        )

    def _video_states(
        self,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
        caps: torch.Tensor | None,
        cmasks: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States of [CLS] video [SEP], float (B, V + 2, D), and which are real, bool (B, V + 2), padding trimmed."""
        raise NotImplementedError

    def _pooled(self, states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The vector of states that begin with [CLS], the mean of all others: (B, L, D), (B, L) -> (B, D)."""
        return masked_mean(states[:, 1:], real[:, 1:])

    def _make_encoder(self, key: str, default: str, *, num_layers: int | None = None) -> VideoBertEncoder:
        """Make the encoder that a key of the configuration names; it must be able to do what the default one does."""
        name = getattr(self.config, key) or default
        found, needed = lookup("encoder", name, where=f"model.{key}"), lookup("encoder", default)
        if not issubclass(found, needed):
            fitting = [other for other in names("encoder") if issubclass(lookup("encoder", other), needed)]
            raise ValueError(
                f"{type(self).__name__} cannot use the encoder {name!r} (model.{key}); it takes {' or '.join(fitting)}"
            )
        return found(self.config, num_layers=num_layers)

    def _trim(
        self, caps: torch.Tensor, cmasks: torch.Tensor, vfeats: torch.Tensor, vmasks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Check a batch and cut its padding: (B, T), (B, T), (B, V, F), (B, V) with the longest row's T and V."""
        caps, cmasks = self._trim_text(caps, cmasks)
        vfeats, vmasks = self._trim_video(vfeats, vmasks)
        return caps, cmasks, vfeats, vmasks

    def _trim_text(self, caps: torch.Tensor, cmasks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        places = self.config.max_len - self.config.max_video_len
        if caps.ndim != 2 or caps.shape != cmasks.shape or not 2 <= caps.shape[1] <= places:
            raise ValueError(
                f"caps {tuple(caps.shape)} and cmasks {tuple(cmasks.shape)} do not fit; both take (batch, places) with "
                f"2 to {places} places (max_len - max_video_len): [CLS] [SEP] text [SEP]"
            )
        cmasks = cmasks.bool()
        if not self.trim_padding:
            return caps, cmasks
        length = max(used_length(cmasks), 2)
        return caps[:, :length], cmasks[:, :length]

    def _trim_video(self, vfeats: torch.Tensor, vmasks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seconds, width = self.config.max_video_len, self.config.video_dim
        if vfeats.ndim != 3 or vfeats.shape[2] != width or vfeats.shape[:2] != vmasks.shape:
            raise ValueError(
                f"vfeats {tuple(vfeats.shape)} and vmasks {tuple(vmasks.shape)} do not fit; they take "
                f"(batch, seconds, {width}) and (batch, seconds)"
            )
        if vfeats.shape[1] > seconds:
            raise ValueError(
                f"vfeats has {vfeats.shape[1]} seconds; the model takes at most {seconds} (max_video_len): "
                "cut longer videos into windows"
            )
        vmasks = vmasks.bool()
        if not self.trim_padding:
            return vfeats, vmasks
        length = used_length(vmasks)
        return vfeats[:, :length], vmasks[:, :length]

    def _frame_caps(
        self, vmasks: torch.Tensor, caps: torch.Tensor | None, cmasks: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The [CLS] and [SEP] that stand around a video: the caller's, or the configuration's: (B, 2), (B, 2)."""
        if caps is not None and cmasks is not None:
            return caps[:, :2], cmasks[:, :2].bool()
        pair = torch.tensor([self.config.cls_token_id, self.config.sep_token_id], device=vmasks.device)
        pair = pair.expand(vmasks.shape[0], 2)
        return pair, torch.ones_like(pair, dtype=torch.bool)
