"""Searching for captions: against the plain forward pass, against all texts there are, and at its edges."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig

from mmpt.models.build import build_model
from mmpt.models.captioning import read_decoding
from mmpt.models.configuration import MMPTConfig
from mmpt.models.generation import PROMPT, Rules, search
from mmpt.processors.masking import MMAttentionMask2DProcessor

SECONDS, PLACES, WIDTH = 6, 14, 24
CLS, SEP = 2, 3
LONGEST = PLACES - PROMPT


def captioner(words: int = 30, **changes: Any) -> Any:
    torch.manual_seed(0)
    bert = BertConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.5,  # so that a wrong mask or position shows
    )
    values = {"max_len": SECONDS + PLACES, "max_video_len": SECONDS, "video_dim": WIDTH}
    tokens = {"cls_token_id": CLS, "sep_token_id": SEP}
    return build_model(MMPTConfig(bert, model_cls="MMFusionNLG", **{**values, **tokens, **changes})).eval()


def clips(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    vfeats = torch.randn(len(lengths), SECONDS, WIDTH, generator=random)
    return vfeats, torch.arange(SECONDS) < torch.tensor(lengths)[:, None]


class PlainWords:
    """Scores the next words with the model's forward pass over everything, each time."""

    def __init__(self, model: Any, vfeats: torch.Tensor, vmasks: torch.Tensor, beams: int) -> None:
        self.model = model
        self.vfeats, self.vmasks = vfeats.repeat_interleave(beams, 0), vmasks.repeat_interleave(beams, 0)
        self.texts = torch.tensor([[CLS, SEP]]).repeat(len(self.vfeats), 1)
        self.beams = beams

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.texts = torch.cat([self.texts, tokens[:, None]], dim=1)
        real = torch.ones_like(self.texts, dtype=torch.bool)
        mask = MMAttentionMask2DProcessor()
        masks = torch.stack([mask(*row, "textgen") for row in zip(self.vmasks, real, strict=True)])
        return self.model(self.texts, real, self.vfeats, self.vmasks, attention_mask=masks).logits[:, -1]

    def choose(self, rows: torch.Tensor) -> None:
        self.texts = self.texts[rows]

    def keep(self, videos: torch.Tensor) -> None:
        shape = (-1, self.beams)
        self.texts, self.vfeats, self.vmasks = (
            tensor.unflatten(0, shape)[videos].flatten(0, 1) for tensor in (self.texts, self.vfeats, self.vmasks)
        )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.integers(0, SECONDS), min_size=1, max_size=4),
    beams=st.sampled_from([1, 1, 2, 5]),
    others=st.fixed_dictionaries(
        {},
        optional={
            "length_penalty": st.sampled_from([0.0, 0.6, 2.0]),
            "early_stopping": st.booleans(),
            "min_length": st.integers(0, LONGEST),
            "max_length": st.integers(PROMPT + 1, PLACES),
            "no_repeat_ngram_size": st.integers(0, 3),
            "repetition_penalty": st.sampled_from([0.7, 1.5]),
        },
    ),
)
def test_the_plain_forward_pass_writes_the_same(seed: int, lengths: list[int], beams: int, others: dict) -> None:
    model = captioner()
    vfeats, vmasks = clips(lengths, seed)
    decoding = read_decoding({"num_beams": beams, "num_return_sequences": beams, **others})
    longest = min(decoding.max_length or LONGEST, LONGEST)
    rules = Rules(decoding, (CLS, SEP, CLS), SEP, longest, vfeats.device)
    with torch.no_grad():
        plain = search(PlainWords(model, vfeats, vmasks, beams), len(lengths), rules)
    found = model.captions(vfeats, vmasks, decoding)
    for ours, theirs in zip(found, plain, strict=True):
        assert [caption.score for caption in ours] == pytest.approx([caption.score for caption in theirs], abs=1e-4)
        assert ours[0].tokens == theirs[0].tokens


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_with_enough_beams_the_best_of_all_texts_is_found(penalty: float) -> None:
    model, words, length = captioner(words=8), 8, 3
    vfeats, vmasks = clips([SECONDS, 2])
    decoding = read_decoding({"num_beams": 64, "max_length": PROMPT + length, "length_penalty": penalty})
    found = model.captions(vfeats, vmasks, decoding)
    for row in range(2):
        best = best_of_all(model, vfeats[row], vmasks[row], words, length, penalty)
        assert found[row][0].tokens[PROMPT:] == best[1]
        assert found[row][0].score == pytest.approx(best[0], abs=1e-5)


@torch.no_grad()
def best_of_all(
    model: Any, vfeats: torch.Tensor, vmasks: torch.Tensor, words: int, length: int, penalty: float
) -> tuple[float, list[int]]:
    """Score every text there is, by the forward pass."""
    texts = torch.tensor(list(itertools.product(range(words), repeat=length)))
    plain = PlainWords(model, vfeats[None], vmasks[None], len(texts))
    log_probability = []
    for inputs, said in zip([torch.full((len(texts),), CLS), *texts.T[:-1]], texts.T, strict=True):
        log_probability.append(plain.step(inputs).log_softmax(dim=1).gather(1, said[:, None])[:, 0])
    rated = []
    for text, steps in zip(texts.tolist(), torch.stack(log_probability, 1).tolist(), strict=True):
        end = text.index(SEP) if SEP in text else length
        rated.append((sum(steps[: end + 1]) / (PROMPT + end) ** penalty, text[:end]))
    return max(rated)


def test_rules_are_kept() -> None:
    model = captioner()
    vfeats, vmasks = clips([6, 3, 1, 6])

    def texts(**param: Any) -> list[list[int]]:
        return model.generate(vfeats, vmasks, **param).tolist()

    free = texts(num_beams=3)
    assert all(row[:PROMPT] == [CLS, SEP, CLS] for row in free)
    bad = [[free[0][PROMPT]], free[1][PROMPT : PROMPT + 2]]
    for row in texts(num_beams=3, bad_words_ids=bad):
        assert bad[0][0] not in row[PROMPT:]
        assert bad[1] not in [list(pair) for pair in itertools.pairwise(row)]
    for beams in (1, 3):
        for row in texts(num_beams=beams, min_length=9):
            assert SEP not in row[PROMPT:9]
        for row in texts(num_beams=beams, no_repeat_ngram_size=2):
            pairs = list(itertools.pairwise(token for token in row if token))
            assert len(pairs) == len(set(pairs))
        assert all(len(row) <= 5 for row in texts(num_beams=beams, max_length=5))
        assert all(len(row) <= LONGEST for row in texts(num_beams=beams, max_length=999, min_length=999))
    several = texts(num_beams=3, num_return_sequences=2)
    assert len(several) == 8
    assert [trimmed(row) for row in several[::2]] == [trimmed(row) for row in free]


def trimmed(row: list[int]) -> list[int]:
    return row[: len(row) - [*map(bool, row[::-1])].index(True)]


def test_the_model_knows_its_own_longest_caption() -> None:
    model = captioner(max_decode_length=6)
    vfeats, vmasks = clips([6])
    assert model.generate(vfeats, vmasks, min_length=99).shape == (1, 6)
    assert model.generate(vfeats, vmasks, min_length=99, max_length=8).shape == (1, 8)


def test_nothing_of_the_caller_changes() -> None:
    model = captioner()
    vfeats, vmasks = clips([6, 2])
    before, state = (vfeats.clone(), vmasks.clone()), torch.get_rng_state()
    first = model.generate(vfeats, vmasks, num_beams=4)
    assert torch.equal(first, model.generate(vfeats, vmasks, num_beams=4))
    assert torch.equal(vfeats, before[0]) and torch.equal(vmasks, before[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_no_clip_gives_no_caption_and_half_precision_gives_some() -> None:
    model = captioner()
    assert model.generate(*clips([]), num_beams=2).shape == (0, 0)
    vfeats, vmasks = clips([6, 2])
    tokens = model.to(torch.bfloat16).generate(vfeats.bfloat16(), vmasks, num_beams=2)
    assert tokens.dtype == torch.int64 and tokens.shape[0] == 2


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ({"num_beam": 5}, "gen_param.num_beam is not known; did you mean 'num_beams'"),
        ({"do_sample": True}, "gen_param.do_sample is not known"),
        ({"num_beams": 0}, "gen_param.num_beams is 0; it takes a number from 1 on"),
        ({"num_beams": "five"}, "gen_param.num_beams is 'five'; it takes int"),
        ({"num_beams": 2, "num_return_sequences": 3}, "it takes at most num_beams, 2"),
        ({"max_length": 3}, "gen_param.max_length is 3; it takes a number from 4 on"),
        ({"min_length": -1}, "gen_param.min_length is -1"),
        ({"no_repeat_ngram_size": -1}, "gen_param.no_repeat_ngram_size is -1"),
        ({"repetition_penalty": 0}, "it takes a number above 0"),
        ({"bad_words_ids": [[]]}, "it takes lists of token ids"),
        ({"bad_words_ids": [["fish"]]}, "it takes lists of token ids"),
        ({"bad_words_ids": [5]}, "it takes lists of token ids"),
        ({"bad_words_ids": [[99]]}, "token id 99.*30 words"),
    ],
)
def test_parameters_that_cannot_be_are_told(param: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        captioner().generate(*clips([3]), **param)


def test_a_model_in_training_writes_nothing() -> None:
    with pytest.raises(ValueError, match=r"in training mode.*model.eval\(\)"):
        captioner().train().generate(*clips([3]))


def test_features_that_do_not_fit_are_told() -> None:
    vfeats, vmasks = clips([3])
    with pytest.raises(ValueError, match=r"vfeats \(1, 6, 20\).*\(batch, seconds, 24\)"):
        captioner().generate(vfeats[..., :20], vmasks)
