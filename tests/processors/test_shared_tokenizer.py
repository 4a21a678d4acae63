"""A tokenizer that is loaded once, and never in another's place."""

from pathlib import Path

import pytest

from mmpt.processors.base import cached_tokenizer

BERT = Path("data/bert")


def write(folder: Path, *words: str) -> None:
    (folder / BERT).mkdir(parents=True, exist_ok=True)
    (folder / BERT / "config.json").write_text('{"model_type": "bert"}')
    (folder / BERT / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words)))


def ids(text: str) -> list[int]:
    return cached_tokenizer(str(BERT))(text, add_special_tokens=False)["input_ids"]


def test_the_same_name_elsewhere_is_another_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", "dog", "cat")
    write(tmp_path / "b", "cat", "dog")
    monkeypatch.chdir(tmp_path / "a")
    first = cached_tokenizer(str(BERT))
    assert ids("dog") == [5]
    assert cached_tokenizer(str(BERT)) is first
    assert cached_tokenizer(str(BERT.absolute())) is first
    monkeypatch.chdir(tmp_path / "b")
    assert ids("dog") == [6]
    write(tmp_path / "b", "cow", "cat", "dog")
    assert ids("dog") == [7]
