"""Measures of captions that are no means over captions: numbers of sums over all of them."""

import numpy as np

# The COCO caption tools add these to what was matched and to what could be, so that no caption makes all others worth
# nothing; their numbers come out only with the same.
TINY, SMALL = 1e-15, 1e-9

# METEOR 1.5 for English: Denkowski and Lavie (2014), section 4
PRECISION_WEIGHT, PENALTY_POWER, PENALTY, CONTENT_WEIGHT = 0.85, 0.2, 0.6, 0.75
MATCHER_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # the same word, the same stem, a synonym, a paraphrase
METEOR_COLUMNS = 23


def bleu(rows: np.ndarray) -> float:
    """Compute corpus BLEU.

    Args:
        rows: float (N, 2 + 2 n): words of the caption, words of its reference, matches and possible matches of
            sequences of 1 to n words.

    Returns:
        BLEU-n; NaN without a caption.
    """
    if not len(rows):
        return float("nan")
    length, reference, *counts = rows.sum(axis=0)
    matches, possible = np.split(np.array(counts), 2)
    precision = np.exp(np.log((matches + TINY) / (possible + SMALL)).mean())
    ratio = (length + TINY) / (reference + SMALL)
    return float(precision * np.exp(min(0.0, 1 - 1 / ratio)))


def meteor(rows: np.ndarray) -> float:
    """Compute corpus METEOR.

    Args:
        rows: float (N, 23), what the METEOR programme tells of each caption: words of caption and reference; function
            words of both; for each of four matchers the content words of both and the function words of both that it
            matched; chunks; matched words of both.

    Returns:
        METEOR; NaN without a caption.
    """
    if not len(rows):
        return float("nan")
    sums = rows.sum(axis=0)
    lengths, function_words = sums[:2], sums[2:4]
    matched = sums[4:20].reshape(4, 2, 2)  # matcher, content or function, caption or reference
    chunks, matches = sums[20], sums[21:23].mean()
    weights = np.array([CONTENT_WEIGHT, 1 - CONTENT_WEIGHT])
    found = np.einsum("m,k,mks->s", MATCHER_WEIGHTS, weights, matched)
    there = weights @ np.array([lengths - function_words, function_words])
    if not found.all():
        return 0.0
    precision, recall = found / there
    mean = precision * recall / (PRECISION_WEIGHT * precision + (1 - PRECISION_WEIGHT) * recall)
    return float(mean * (1 - PENALTY * (chunks / matches) ** PENALTY_POWER))
