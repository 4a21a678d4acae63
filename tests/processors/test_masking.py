"""The limits of the masks; their distributions and layouts are held to the recorded ones in tests/parity."""

from pathlib import Path

import pytest
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.processors.masking import NO_LABEL, FrameMaskingProcessor, TextGenerationProcessor, TextMaskingProcessor
from mmpt.utils.seeding import generator

CAPS = torch.tensor([2, 3, 10, 11, 12, 3, 0, 0])


@pytest.fixture
def bert(golden_dir: Path) -> str:
    return str(golden_dir / "common" / "tiny-bert")


def test_an_unknown_mode_is_told(bert: str) -> None:
    config = DatasetConfig(bert_name=bert, mfm_probability=0.15, mlm_probability=0.15)
    with pytest.raises(ValueError, match=r"'some'; it takes none, 'full', 'no', 'inverse'$"):
        FrameMaskingProcessor(config)(torch.ones(4, dtype=torch.bool), generator(0), "some")
    with pytest.raises(ValueError, match=r"'some'; it takes .*'textgen_mask'$"):
        TextMaskingProcessor(config)(CAPS, generator(0), "some")


@pytest.mark.parametrize("probability", [None, -0.1, 1.5])
def test_what_is_no_probability_is_told(bert: str, probability: float | None) -> None:
    with pytest.raises(ValueError, match=r"dataset.mfm_probability is"):
        config = DatasetConfig(bert_name=bert, mfm_probability=probability)
        FrameMaskingProcessor(config)(torch.ones(4, dtype=torch.bool), generator(0))
    with pytest.raises(ValueError, match=r"dataset.mlm_probability is"):
        config = DatasetConfig(bert_name=bert, mlm_probability=probability)
        TextMaskingProcessor(config)(CAPS, generator(0))


def test_what_frames_a_text_is_never_hidden(bert: str) -> None:
    config = DatasetConfig(bert_name=bert, mlm_probability=1.0)
    for draw in range(50):
        inputs, labels = TextMaskingProcessor(config)(CAPS, generator(0, 0, draw))
        assert labels.tolist() == [NO_LABEL, NO_LABEL, 10, 11, 12, NO_LABEL, NO_LABEL, NO_LABEL]
        assert inputs[[0, 1, 5, 6, 7]].tolist() == [2, 3, 3, 0, 0]
    assert CAPS.tolist() == [2, 3, 10, 11, 12, 3, 0, 0]


def test_a_text_of_no_words(bert: str) -> None:
    empty = torch.tensor([2, 3, 3, 0])
    config = DatasetConfig(bert_name=bert, mlm_probability=1.0)
    inputs, labels = TextMaskingProcessor(config)(empty, generator(0))
    assert inputs.tolist() == empty.tolist() and (labels == NO_LABEL).all()
    assert TextGenerationProcessor(2, 0)(empty)[0].tolist() == [2, 3, 2, 0]
