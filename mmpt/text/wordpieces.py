"""Texts of clips -> token ids, as the files of `mmpt.text.pretokenize` hold them."""

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.text.tokenizer import load_tokenizer

FORMAT = "mmpt-caption-tokens-1"
MAX_CHARS = 96  # of a clip's text that are cut into word pieces
MAX_TOKENS = 32  # of a clip in a shard
PAD = -1


class Encoder:
    """Cuts texts into word pieces, on all cores.

    Args:
        bert_name: hub name or folder of the BERT whose vocabulary is used.

    Attributes:
        name: what files are called after it.
        digest: of all that the ids depend on.
    """

    def __init__(self, bert_name: str) -> None:
        self.name = Path(bert_name).name
        tokenizer: Any = load_tokenizer(bert_name)
        self._fast: Any = getattr(tokenizer, "backend_tokenizer", None)
        self._tokenizer = tokenizer
        if self._fast is not None:
            self._fast.no_truncation()
            self._fast.no_padding()
        told = self._fast.to_str() if self._fast is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
        self.digest = hashlib.sha256(f"{FORMAT} {MAX_CHARS} {MAX_TOKENS} {told}".encode()).hexdigest()

    def __call__(self, texts: Sequence[str | None]) -> list[list[int]]:
        """Cut texts.

        Args:
            texts: of clips; None is no text.

        Returns:
            Their token ids without special tokens; an empty list for no text.
        """
        cut = [(text or "")[:MAX_CHARS] for text in texts]
        try:
            return self._encode(cut)
        except (UnicodeEncodeError, TypeError):  # half a surrogate pair, which files with \ud83d hold
            return self._encode([text.encode("utf-8", "replace").decode() for text in cut])

    def vocabulary(self) -> list[str]:
        """List the word pieces that there are."""
        return list(self._tokenizer.get_vocab())

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if self._fast is None:
            return self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
        return [encoding.ids for encoding in self._fast.encode_batch_fast(texts, add_special_tokens=False)]


def padded(ids: Sequence[Sequence[int]]) -> np.ndarray:
    """Put token ids of clips into one array.

    Args:
        ids: of each clip.

    Returns:
        int32 (clips, 32): at most 32 ids of each, -1 behind them.
    """
    cut = [clip[:MAX_TOKENS] for clip in ids]
    lengths = np.fromiter(map(len, cut), np.int64, len(cut))
    rows = np.full((len(cut), MAX_TOKENS), PAD, np.int32)
    rows[np.arange(MAX_TOKENS) < lengths[:, None]] = np.fromiter(chain.from_iterable(cut), np.int32, lengths.sum())
    return rows
