"""Searching for captions: greedy and beam search over whatever scores the next word.

Shapes: B videos, K beams a video, R = B K rows, t tokens so far, W vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

PROMPT = 3  # [CLS] [SEP] [CLS] stand before the first word, and count in every length, as in the original
OUT_OF_REACH = -1e9  # log probability of a beam that must not be chosen: at first all beams of a video are the same


@dataclass(frozen=True)
class Decoding:
    """How captions are searched for; the `gen_param:` block. Lengths are in tokens, the three before the text included.

    Args:
        num_beams: texts that are followed at a time; 1 takes the likeliest word each time.
        max_length: longest text; None for the model's own limit.
        min_length: [SEP] cannot come before.
        length_penalty: a text's score is its log probability over its length to this power.
        early_stopping: end a video's search as soon as there are `num_beams` complete texts.
        repetition_penalty: words that were there before are made less likely by this factor; above 0, 1 for none.
        no_repeat_ngram_size: no sequence of so many tokens comes twice; 0 for no such rule.
        bad_words_ids: lists of token ids that must not come.
        num_return_sequences: texts for each video, the best first.

    Raises:
        ValueError: a value is out of its range.
    """

    num_beams: int = 1
    max_length: int | None = None
    min_length: int = 0
    length_penalty: float = 1.0
    early_stopping: bool = False
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[Sequence[int], ...] | list[Sequence[int]] = ()
    num_return_sequences: int = 1

    def __post_init__(self) -> None:
        least_values = {"num_beams": 1, "num_return_sequences": 1, "min_length": 0, "no_repeat_ngram_size": 0}
        for key, least in least_values.items():
            if getattr(self, key) < least:
                raise ValueError(f"gen_param.{key} is {getattr(self, key)}; it takes a number from {least} on")
        if self.max_length is not None and self.max_length <= PROMPT:
            raise ValueError(
                f"gen_param.max_length is {self.max_length}; it takes a number from {PROMPT + 1} on, since the "
                f"{PROMPT} tokens before the text count"
            )
        if not self.repetition_penalty > 0:
            raise ValueError(f"gen_param.repetition_penalty is {self.repetition_penalty}; it takes a number above 0")
        if self.num_return_sequences > self.num_beams:
            raise ValueError(
                f"gen_param.num_return_sequences is {self.num_return_sequences}; it takes at most num_beams, "
                f"{self.num_beams}"
            )
        for sequence in self.bad_words_ids:
            if not isinstance(sequence, list | tuple) or not sequence or not all(isinstance(t, int) for t in sequence):
                raise ValueError(f"gen_param.bad_words_ids is {self.bad_words_ids}; it takes lists of token ids")


@dataclass(frozen=True)
class Caption:
    """One text.

    Args:
        score: its log probability over its length to the power of the length penalty.
        tokens: token ids with the three before the text, without the [SEP] at the end.
        complete: whether it ended with [SEP], not by its length.
    """

    score: float
    tokens: list[int]
    complete: bool


class NextWords(Protocol):
    """Scores next words, row by row; K rows a video."""

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Read a word in each row, int64 (R,), and score what follows, float32 (R, W)."""
        ...

    def choose(self, rows: torch.Tensor) -> None:
        """Go on from other rows, int64 (R,)."""
        ...

    def keep(self, videos: torch.Tensor) -> None:
        """Go on with some of the videos, int64 (N,)."""
        ...


@dataclass(frozen=True)
class Rules:
    """What a search needs to know.

    Args:
        decoding: how to search.
        prompt: the three tokens before the text.
        end: token id of the [SEP] at the end.
        longest: tokens of the longest text, the prompt included.
        device: where scores lie.
    """

    decoding: Decoding
    prompt: tuple[int, int, int]
    end: int
    longest: int
    device: torch.device

    def start(self, rows: int) -> torch.Tensor:
        """Lay out the prompt, int64 (rows, 3)."""
        return torch.tensor([self.prompt], device=self.device).repeat(rows, 1)

    def constrain(self, scores: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Make words less likely, or impossible.

        Args:
            scores: float (R, W).
            texts: int64 (R, t), what was written so far.

        Returns:
            float (R, W).
        """
        decoding, length = self.decoding, texts.shape[1]
        if decoding.repetition_penalty != 1:
            there = scores.gather(1, texts)  # (R, t)
            factor = torch.where(there < 0, decoding.repetition_penalty, 1 / decoding.repetition_penalty)
            scores = scores.scatter(1, texts, there * factor)
        banned = torch.zeros_like(scores, dtype=torch.bool)
        banned[:, self.end] = length < decoding.min_length
        if 0 < decoding.no_repeat_ngram_size <= length:
            grams = texts.unfold(1, decoding.no_repeat_ngram_size, 1)  # (R, places, n)
            beginning = texts[:, length - decoding.no_repeat_ngram_size + 1 :]  # (R, n - 1)
            row, place = (grams[:, :, :-1] == beginning[:, None]).all(dim=2).nonzero(as_tuple=True)
            banned[row, grams[row, place, -1]] = True
        for *before, last in decoding.bad_words_ids:
            if len(before) <= length:
                beginning = torch.tensor(before, dtype=texts.dtype, device=texts.device)
                banned[:, last] |= (texts[:, length - len(before) :] == beginning).all(dim=1)
        return scores.masked_fill(banned, -torch.inf)


def search(words: NextWords, videos: int, rules: Rules) -> list[list[Caption]]:
    """Search for the captions of some videos.

    Args:
        words: scores the next words; it has read nothing so far.
        videos: how many, B.
        rules: how.

    Returns:
        For each video `num_return_sequences` texts, the best first.
    """
    if rules.decoding.num_beams == 1:
        return [[caption] for caption in _greedy(words, videos, rules)]
    return _beams(words, videos, rules)


def _greedy(words: NextWords, videos: int, rules: Rules) -> list[Caption]:
    found: dict[int, Caption] = {}
    open_ = list(range(videos))  # the videos that rows belong to
    texts = rules.start(videos)
    sums = torch.zeros(videos, device=rules.device)
    while open_:
        scores = rules.constrain(words.step(texts[:, -1]), texts)
        best = scores.argmax(dim=1)
        sums = sums + scores.log_softmax(dim=1).gather(1, best[:, None])[:, 0]
        texts = torch.cat([texts, best[:, None]], dim=1)
        ended = (best == rules.end).tolist()
        full = texts.shape[1] == rules.longest
        for row, video in enumerate(open_):
            if ended[row] or full:
                tokens = texts[row].tolist()[: -1 if ended[row] else None]
                score = float(sums[row]) / len(tokens) ** rules.decoding.length_penalty
                found[video] = Caption(score, tokens, ended[row])
        going_on = [row for row, video in enumerate(open_) if video not in found]
        if len(going_on) < len(open_):
            rows = torch.tensor(going_on, dtype=torch.long, device=rules.device)
            words.keep(rows)
            texts, sums, open_ = texts[rows], sums[rows], [open_[row] for row in going_on]
    return [found[video] for video in range(videos)]


class _Finished:
    """The best complete texts of a video, at most `num_beams`."""

    def __init__(self, decoding: Decoding) -> None:
        self.decoding = decoding
        self.captions: list[Caption] = []  # the worst first; of equal ones the older first

    def add(self, total: float, tokens: list[int], *, complete: bool) -> None:
        score = total / len(tokens) ** self.decoding.length_penalty
        full = len(self.captions) == self.decoding.num_beams
        if full and score <= self.captions[0].score:
            return
        kept = self.captions[1:] if full else self.captions
        self.captions = sorted([*kept, Caption(score, tokens, complete)], key=lambda caption: caption.score)

    def is_enough(self, best_total: float, length: int) -> bool:
        """Whether nothing that is still being written can be better, as far as its present length tells."""
        if len(self.captions) < self.decoding.num_beams:
            return False
        if self.decoding.early_stopping:
            return True
        return self.captions[0].score >= best_total / length**self.decoding.length_penalty


def _beams(words: NextWords, videos: int, rules: Rules) -> list[list[Caption]]:
    beams = rules.decoding.num_beams
    finished = [_Finished(rules.decoding) for _ in range(videos)]
    open_ = list(range(videos))
    texts = rules.start(videos * beams)
    sums = torch.full((videos, beams), OUT_OF_REACH, device=rules.device)
    sums[:, 0] = 0
    while open_ and texts.shape[1] < rules.longest:
        scores = rules.constrain(words.step(texts[:, -1]).log_softmax(dim=1), texts)  # (R, W)
        totals = (scores + sums.view(-1, 1)).view(len(open_), -1)  # (B, K W)
        # each beam has one way to end, so that of twice as many candidates enough go on
        best, places = totals.topk(2 * beams, dim=1)
        first_rows = torch.arange(len(open_), device=rules.device)[:, None] * beams
        parents, tokens = places // scores.shape[1] + first_rows, places % scores.shape[1]
        ended = tokens == rules.end
        _note_complete(best, ended, parents, texts, [finished[video] for video in open_])
        on = ended.long().argsort(dim=1, stable=True)[:, :beams]  # the best that do not end
        rows, sums = parents.gather(1, on).flatten(), best.gather(1, on)
        words.choose(rows)
        length = texts.shape[1]
        texts = torch.cat([texts[rows], tokens.gather(1, on).view(-1, 1)], dim=1)
        highest = best[:, 0].tolist()
        going_on = [n for n, video in enumerate(open_) if not finished[video].is_enough(highest[n], length)]
        if len(going_on) < len(open_):
            kept = torch.tensor(going_on, dtype=torch.long, device=rules.device)
            words.keep(kept)
            texts, sums = texts.unflatten(0, (len(open_), beams))[kept].flatten(0, 1), sums[kept]
            open_ = [open_[number] for number in going_on]
    videos_of_rows = [video for video in open_ for _ in range(beams)]
    for video, total, text in zip(videos_of_rows, sums.flatten().tolist(), texts.tolist(), strict=True):
        finished[video].add(total, text, complete=False)
    return [each.captions[::-1][: rules.decoding.num_return_sequences] for each in finished]


def _note_complete(
    best: torch.Tensor, ended: torch.Tensor, parents: torch.Tensor, texts: torch.Tensor, finished: list[_Finished]
) -> None:
    """Keep the texts that end here, where they stand among the `num_beams` best ways to go on."""
    beams = ended.shape[1] // 2
    for video, rank in ended[:, :beams].nonzero().tolist():
        finished[video].add(float(best[video, rank]), texts[parents[video, rank]].tolist(), complete=True)


def lay_out(captions: Sequence[Caption], *, end: int, padding: int) -> torch.Tensor:
    """Put texts beside each other.

    Args:
        captions: the texts.
        end: token id behind a text that is complete.
        padding: token id behind that.

    Returns:
        int64 (N, L), L the length of the longest, its [SEP] included.
    """
    rows = [caption.tokens + [end] * caption.complete for caption in captions]
    width = max((len(row) for row in rows), default=0)
    return torch.tensor([row + [padding] * (width - len(row)) for row in rows], dtype=torch.long).view(len(rows), width)
