"""How like a caption is to what people wrote: BLEU, ROUGE-L and CIDEr, to the numbers of the COCO caption tools.

Sources: Papineni et al., BLEU (ACL 2002); Lin, ROUGE (2004), section on ROUGE-L; Vedantam et al., CIDEr (CVPR 2015),
the form CIDEr-D that the tools compute.

A caption is a list of words, a case is a caption and its references: one or more lists of words. Shapes: N cases.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

Words = Sequence[str]
NGRAMS = 4
RECALL_WEIGHT = 1.2  # of ROUGE-L: recall counts this squared times as much as precision
LENGTH_SPREAD = 6.0  # of CIDEr-D: standard deviation, in words, of the penalty on another length
CIDER_SCALE = 10.0


def ngrams(words: Words, size: int) -> Counter[tuple[str, ...]]:
    """Count the sequences of so many words.

    Args:
        words: a caption.
        size: words in a row.

    Returns:
        Sequence -> how often it is there.
    """
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def bleu_counts(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """Count what BLEU is made of; see `caption_statistics.bleu`.

    Args:
        captions: N captions.
        references: theirs.

    Returns:
        float (N, 10): words of the caption; words of the reference whose length is closest, of equally close ones
        the shorter; for sequences of 1 to 4 words how many of the caption's are in a reference, each at most as often
        as in one of them; and how many the caption has.
    """
    rows = []
    for caption, truths in zip(captions, references, strict=True):
        length = len(caption)
        closest = min((abs(len(truth) - length), len(truth)) for truth in truths)[1]
        matches = []
        for size in range(1, NGRAMS + 1):
            most: Counter[tuple[str, ...]] = Counter()
            for truth in truths:
                most |= ngrams(truth, size)
            matches.append((ngrams(caption, size) & most).total())
        possible = [max(0, length - size + 1) for size in range(1, NGRAMS + 1)]
        rows.append([length, closest, *matches, *possible])
    return np.array(rows, np.float64).reshape(len(rows), 2 + 2 * NGRAMS)


def rouge_l(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """Compute ROUGE-L, from the longest common subsequence of words.

    Args:
        captions: N captions.
        references: theirs; precision and recall are the highest over them, each on its own.

    Returns:
        float (N,).
    """
    scores = []
    for caption, truths in zip(captions, references, strict=True):
        common = [longest_common(caption, truth) for truth in truths]
        precision = max(common) / max(1, len(caption))
        recall = max(length / max(1, len(truth)) for length, truth in zip(common, truths, strict=True))
        both = recall + RECALL_WEIGHT**2 * precision
        scores.append((1 + RECALL_WEIGHT**2) * precision * recall / both if both else 0.0)
    return np.array(scores, np.float64)


def longest_common(one: Words, other: Words) -> int:
    """Count the words of the longest sequence that two captions have in common, with others in between or not.

    Args:
        one: a caption.
        other: another.

    Returns:
        From 0 to the words of the shorter.
    """
    best = [0] * (len(other) + 1)  # for each beginning of `other`, with the words of `one` read so far
    for word in one:
        before = best
        best = [0]
        for place, theirs in enumerate(other):
            best.append(before[place] + 1 if word == theirs else max(before[place + 1], best[place]))
    return best[-1]


def cider(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """Compute CIDEr-D: cosine similarity of word sequences, weighted by how rare they are among all references.

    Args:
        captions: N captions.
        references: theirs; those of all cases say what is rare.

    Returns:
        float (N,), from 0 to 10. All are 0 for N = 1, where everything is equally rare.
    """
    scores = np.zeros(len(captions))
    for size in range(1, NGRAMS + 1):
        counted = [[ngrams(truth, size) for truth in truths] for truths in references]
        cases_with = Counter(gram for truths in counted for gram in set().union(*truths))
        rarity = {gram: math.log(len(captions)) - math.log(count) for gram, count in cases_with.items()}
        unseen = math.log(len(captions)) if captions else 0.0
        for number, (caption, truths) in enumerate(zip(captions, references, strict=True)):
            own = {gram: count * rarity.get(gram, unseen) for gram, count in ngrams(caption, size).items()}
            for truth, counts in zip(truths, counted[number], strict=True):
                theirs = {gram: count * rarity[gram] for gram, count in counts.items()}
                further = _pairs(caption) - _pairs(truth)
                penalty = math.exp(-(further**2) / (2 * LENGTH_SPREAD**2))
                scores[number] += penalty * _similarity(own, theirs) / len(truths)
    return CIDER_SCALE / NGRAMS * scores


def _pairs(words: Words) -> int:
    """What the tools take for a caption's length in CIDEr: its pairs of neighbouring words."""
    return max(0, len(words) - 1)


def _similarity(own: dict[tuple[str, ...], float], theirs: dict[tuple[str, ...], float]) -> float:
    """Cosine, but a sequence counts in the caption at most as often as in the reference."""
    norms = math.hypot(*own.values()) * math.hypot(*theirs.values())
    common = sum(min(weight, theirs[gram]) * theirs[gram] for gram, weight in own.items() if gram in theirs)
    return common / norms if norms else 0.0
