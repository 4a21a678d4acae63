"""Losses that pull a video and its text together and push all other pairs of the batch apart.

Shapes: B pairs, D width of the common space.
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.nn.functional import all_gather

from mmpt.losses.base import Loss
from mmpt.utils.registry import register


class PairLoss(Loss):
    """What the contrastive losses share.

    Args:
        gather: contrast with the pairs of all processes, with gradients through all of them; the papers contrast
            within a process.
    """

    def __init__(self, *, gather: bool = False) -> None:
        super().__init__()
        self.gather = gather

    def scores(self, pooled_video: torch.Tensor, pooled_text: torch.Tensor) -> torch.Tensor:
        """Score every video of the batch against every text.

        Args:
            pooled_video: float (B, D).
            pooled_text: float (B, D), row by row the texts of the videos.

        Returns:
            float (B, B), plain dot products; with `gather` over all processes' pairs.

        Raises:
            ValueError: the two do not fit.
        """
        if pooled_video.shape != pooled_text.shape or pooled_video.ndim != 2:
            raise ValueError(
                f"pooled_video is {tuple(pooled_video.shape)} and pooled_text {tuple(pooled_text.shape)}; a "
                "contrastive loss takes two of shape (pairs, width), row by row belonging together"
            )
        if self.gather and dist.is_initialized() and dist.get_world_size() > 1:
            pooled_video, pooled_text = gather_rows(pooled_video), gather_rows(pooled_text)
        return pooled_video @ pooled_text.T


@register("loss")
class T2VContraLoss(PairLoss):
    """Finds each text's video among the videos of the batch (VLM, section 4; InfoNCE without temperature)."""

    def forward(self, *, pooled_video: torch.Tensor, pooled_text: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            pooled_video: float (B, D).
            pooled_text: float (B, D).

        Returns:
            `t2v`: mean over texts of the cross entropy over videos.
        """
        return {"t2v": _diagonal(self.scores(pooled_video, pooled_text).T)}


@register("loss")
class V2TContraLoss(PairLoss):
    """Finds each video's text among the texts of the batch."""

    def forward(self, *, pooled_video: torch.Tensor, pooled_text: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            pooled_video: float (B, D).
            pooled_text: float (B, D).

        Returns:
            `v2t`: mean over videos of the cross entropy over texts.
        """
        return {"v2t": _diagonal(self.scores(pooled_video, pooled_text))}


@register("loss")
class MMContraLoss(PairLoss):
    """Both directions, added and not averaged (VideoCLIP, equation 3)."""

    def forward(self, *, pooled_video: torch.Tensor, pooled_text: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the losses.

        Args:
            pooled_video: float (B, D).
            pooled_text: float (B, D).

        Returns:
            `t2v` and `v2t`, as of the two losses of those names.
        """
        scores = self.scores(pooled_video, pooled_text)
        return {"t2v": _diagonal(scores.T), "v2t": _diagonal(scores)}


@register("loss")
class MILNCELoss(Loss):
    """Finds a video's texts where several may be right, none of them surely: the right ones count together.

    This is the paper's formula. The paper's public code counts a video's own candidates twice in the denominator, once
    among its scores and once among those of its texts: -log(p / (2p + n)). That is larger, by at most log 2, which it
    ends at where ours ends at 0, and its gradient is smaller.

    Source: Miech et al., End-to-End Learning of Visual Representations from Uncurated Instructional Videos (CVPR 2020),
    equation 2.
    """

    def forward(self, *, pooled_video: torch.Tensor, pooled_text: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            pooled_video: float (B, D).
            pooled_text: float (B * C, D), the C candidates of each video, video by video.

        Returns:
            `mil_nce`: mean over videos of -log(p / (p + n)), p the sum of exp(score) over the video's own candidates,
            n that over its scores with other candidates, and over its candidates' scores with other videos.

        Raises:
            ValueError: the two do not fit.
        """
        count, width = pooled_video.shape
        if pooled_text.ndim != 2 or pooled_text.shape[1] != width or len(pooled_text) % count:
            raise ValueError(
                f"pooled_text is {tuple(pooled_text.shape)}, and pooled_video {tuple(pooled_video.shape)}; there are "
                "as many candidate texts for each video"
            )
        scores = (pooled_video @ pooled_text.T).unflatten(1, (count, -1))  # (B, B, C)
        own = scores.diagonal(dim1=0, dim2=1).T  # (B, C)
        others = ~torch.eye(count, dtype=torch.bool, device=scores.device)
        texts = scores[others].view(count, -1)  # (B, (B - 1) * C), row by row the texts of other videos
        videos = scores.transpose(0, 1)[others].view(count, -1)  # (B, (B - 1) * C), its texts with other videos
        every = torch.cat([own, texts, videos], dim=1)
        return {"mil_nce": (every.logsumexp(dim=1) - own.logsumexp(dim=1)).mean()}


@register("loss")
class NCE(Loss):
    """Tells scores of true pairs from those of false ones; each true pair is contrasted with all false pairs."""

    def forward(self, *, align_scores: torch.Tensor, **_: object) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            align_scores: float (2B, C); the first B rows belong to true pairs, the others to false ones. Only column 0
                counts.

        Returns:
            `nce`: mean over true pairs of the cross entropy of (its score, all false scores).

        Raises:
            ValueError: the number of rows is odd.
        """
        if align_scores.ndim != 2 or len(align_scores) % 2:
            raise ValueError(
                f"align_scores is {tuple(align_scores.shape)}; it takes as many rows of false pairs as of true ones"
            )
        true, false = align_scores[:, 0].chunk(2)  # (B,), (B,)
        logits = torch.cat([true[:, None], false.expand(len(true), -1)], dim=1)  # (B, 1 + B)
        return {"nce": F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))}


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Collect the rows of all processes, with gradients through all of them.

    Args:
        rows: float (B, D); B may differ from process to process.

    Returns:
        float (sum of all B, D), in the order of the processes.
    """
    own = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    sizes = [int(count) for count in counts]
    padded = F.pad(rows, (0, 0, 0, max(sizes) - len(rows)))  # a collective takes as many rows of each
    return torch.cat([part[:size] for part, size in zip(all_gather(padded), sizes, strict=True)])


def _diagonal(scores: torch.Tensor) -> torch.Tensor:
    """Cross entropy where row i's right column is i."""
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
