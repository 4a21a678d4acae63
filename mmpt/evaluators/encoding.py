"""Texts, videos and windows through a model: rows of like length together, each distinct one once.

Padding costs what words and seconds cost, and models cut it to the longest row of a batch: so rows are sorted by length
first. Shapes: N rows, L places of a row.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.by_length import compute_by_length
from mmpt.models.video_bert import used_length

REMEMBERED = 16_384  # vectors, 50 MB at bert-base's width

Compute = Callable[..., torch.Tensor]


def by_length(
    compute: Compute, real: torch.Tensor, columns: Sequence[torch.Tensor], device: torch.device
) -> np.ndarray:
    """Compute something of rows, rows of like length together.

    Args:
        compute: as for `compute_by_length`, and so are the others.
        real: which places are used.
        columns: what goes in.
        device: where `compute` works.

    Returns:
        float32 (N, ...), in the order of the rows.
    """
    return compute_by_length(compute, real, columns, device).numpy()


def seconds_by_length(
    compute: Compute, vfeats: torch.Tensor, vmasks: torch.Tensor, texts: Sequence[torch.Tensor], device: torch.device
) -> np.ndarray:
    """Compute something of every second of windows, without the padding behind the longest of those at hand.

    Args:
        compute: takes features (n, V', F), masks (n, V') and the texts' parts, and gives (n, V', ...).
        vfeats: float (N, V, F).
        vmasks: bool (N, V).
        texts: what stands beside each window, (N, ...) each.
        device: where `compute` works.

    Returns:
        float32 (N, V, ...); zeros where padding was cut.
    """

    def cut(features: torch.Tensor, masks: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        length = used_length(masks)
        found = compute(features[:, :length], masks[:, :length], *beside)
        whole = found.new_zeros(len(found), masks.shape[1], *found.shape[2:])
        whole[:, :length] = found
        return whole

    return by_length(cut, vmasks, (vfeats, vmasks, *texts), device)


class Once:
    """Computes something of rows, and remembers it: the same row is computed once.

    Args:
        compute: as for `by_length`.
        remembered: how many results are kept; the oldest go first.
    """

    def __init__(self, compute: Compute, remembered: int = REMEMBERED) -> None:
        self._compute = compute
        self._remembered = remembered
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, real: torch.Tensor, columns: Sequence[torch.Tensor], device: torch.device) -> list[np.ndarray]:
        """Compute, or recall.

        Args:
            real: as for `by_length`.
            columns: as for `by_length`.
            device: as for `by_length`.

        Returns:
            A float32 array for each row; not to be changed.
        """
        keys = [_digest(row) for row in zip(*columns, strict=True)]
        results = {key: self._known[key] for key in keys if key in self._known}
        new = {key: place for place, key in enumerate(keys) if key not in results}
        if new:
            rows = torch.tensor(list(new.values()))
            found = by_length(self._compute, real[rows], [column[rows] for column in columns], device)
            results.update(zip(new, found, strict=True))
            self._known.update((key, results[key]) for key in new)
        for key in list(self._known)[: max(0, len(self._known) - self._remembered)]:
            del self._known[key]
        return [results[key] for key in keys]


class Towers:
    """A model's two sides, each on its own.

    Args:
        model: encodes either side alone.

    Raises:
        ValueError: the model mixes video and text, so that neither can be encoded alone.
    """

    def __init__(self, model: MMPTPreTrainedModel) -> None:
        require_towers(model)
        self._device = model.device
        self._texts = Once(model.get_text_features)
        self._videos = Once(model.get_video_features)

    def texts(self, caps: torch.Tensor, cmasks: torch.Tensor) -> np.ndarray:
        """Encode texts.

        Args:
            caps: int64 (N, T).
            cmasks: bool (N, T).

        Returns:
            float32 (N, D).
        """
        return np.stack(self._texts(cmasks, (caps, cmasks), self._device))

    def videos(
        self, vfeats: torch.Tensor, vmasks: torch.Tensor, caps: torch.Tensor, cmasks: torch.Tensor
    ) -> np.ndarray:
        """Encode videos.

        Args:
            vfeats: float (N, V, F).
            vmasks: bool (N, V).
            caps: int64 (N, T); the first two places, [CLS] and [SEP], are used.
            cmasks: bool (N, T).

        Returns:
            float32 (N, D).
        """
        return np.stack(self._videos(vmasks, (vfeats, vmasks, caps[:, :2], cmasks[:, :2]), self._device))


@torch.inference_mode()
def require_towers(model: MMPTPreTrainedModel) -> None:
    """See that a model can encode a text without a video.

    Args:
        model: the model.

    Raises:
        ValueError: it cannot.
    """
    caps = torch.tensor([[model.config.cls_token_id, model.config.sep_token_id, model.config.sep_token_id]])
    model.get_text_features(caps.to(model.device), torch.ones_like(caps, dtype=torch.bool).to(model.device))


def distinct(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find equal vectors: a matrix product may round the same row otherwise at another place.

    Args:
        vectors: float (N, D).

    Returns:
        int (M,), where each distinct vector stands first; int (N,), which of them each vector is.
    """
    number: dict[bytes, int] = {}
    inverse, first = np.empty(len(vectors), np.int64), []
    for place, vector in enumerate(vectors):
        key = hashlib.blake2b((vector + 0.0).tobytes(), digest_size=16).digest()  # -0 is 0
        inverse[place] = number.setdefault(key, len(number))
        if len(number) > len(first):
            first.append(place)
    return np.array(first, np.int64), inverse


def _digest(row: Sequence[torch.Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in row:
        digest.update(part.contiguous().numpy().data)
    return digest.digest()
