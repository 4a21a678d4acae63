"""A vocabulary of one's own: the same each time, and good for the tokenizer and the models that read it."""

import json
import sys
from pathlib import Path

import pytest

from mmpt.cli.main import main
from mmpt.models.bert import load_bert_config
from mmpt.text.tokenizer import load_tokenizer, special_ids
from mmpt.text.vocabulary import SPECIAL, BertShape, learn_word_pieces, write_bert
from tests.processes import ROOT, ForkedProcess

TEXTS = ["Pour the red milk, then pour again", "the red ball rolls", "stir the blue bowl", "rolling balls"] * 5


def test_frequent_words_become_whole_and_rare_ones_are_put_together(tmp_path: Path) -> None:
    pieces = learn_word_pieces(TEXTS, 200)
    assert pieces[: len(SPECIAL)] == list(SPECIAL) and len(set(pieces)) == len(pieces)
    write_bert(tmp_path, pieces, BertShape(width=32, layers=2, heads=4, positions=64))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.tokenize("Pour the red milk") == ["pour", "the", "red", "milk"]
    assert "".join(piece.removeprefix("##") for piece in tokenizer.tokenize("bred")) == "bred"
    assert tokenizer.tokenize("\N{GREEK SMALL LETTER ALPHA}") == ["[UNK]"]
    assert special_ids(tokenizer) == {"cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
    config = load_bert_config(tmp_path)
    assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (len(pieces), 32, 128)
    assert (config.num_hidden_layers, config.num_attention_heads, config.max_position_embeddings) == (2, 4, 64)


def _write_word_pieces() -> None:
    sys.stdout.write(str(learn_word_pieces(TEXTS, 70)))


def test_it_is_the_same_in_every_process() -> None:
    """The library counts words in an order that differs from process to process."""
    told = set()
    for _ in range(3):
        with ForkedProcess(_write_word_pieces, cwd=ROOT) as process:
            told.add(process.communicate(timeout=60)[0])
    assert told == {str(learn_word_pieces(TEXTS, 70))}
    assert learn_word_pieces(TEXTS[::-1], 70) == learn_word_pieces(TEXTS, 70)


def test_what_cannot_be_a_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="hold no word"):
        learn_word_pieces(["", "  "], 100)
    for size in (0, -5):
        with pytest.raises(ValueError, match=f"vocabulary of {size} word pieces"):
            learn_word_pieces(TEXTS, size)
    with pytest.raises(ValueError, match=r"width 30 with 2 layers of 4 heads .* share the width evenly"):
        BertShape(width=30, layers=2, heads=4)


def test_the_command_makes_a_folder_that_captions_are_cut_with(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    captions = {"start": [0.0, 2.0], "end": [2.0, 4.0], "text": ["pour the red milk", "stir it"]}
    clean = tmp_path / "clean.json"
    clean.write_text(json.dumps({"a": captions, "b": {**captions, "text": ["cut the red ball", None]}}))
    words = ["captions", "vocabulary", str(clean), "-o", str(tmp_path / "bert"), "--width", "32", "--heads", "2"]
    assert main([*words, "--layers", "1", "--size", "300"]) == 0
    assert "word pieces; layers of width 32" in capsys.readouterr().out
    tokens = tmp_path / "tokens.pkl"
    assert main(["captions", "tokenize", str(clean), "--bert-name", str(tmp_path / "bert"), "-o", str(tokens)]) == 0
    assert load_tokenizer(tmp_path / "bert").tokenize("cut the milk") == ["cut", "the", "milk"]
    assert main([*words, "--layers", "0"]) == 2
    assert "takes 1 or more" in capsys.readouterr().err
    assert main(["captions", "vocabulary", str(clean), "-o", str(clean)]) == 2
    assert "is a file; -o takes a folder" in capsys.readouterr().err


def test_a_bert_with_weights_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clean, bert = tmp_path / "clean.json", tmp_path / "bert"
    clean.write_text(json.dumps({"a": {"start": [0.0], "end": [2.0], "text": ["pour the red milk"]}}))
    bert.mkdir()
    there = {"vocab.txt": "[PAD]\n", "config.json": "{}", "model.safetensors": "weights"}
    for name, content in there.items():
        (bert / name).write_text(content)
    assert main(["captions", "vocabulary", str(clean), "-o", str(bert)]) == 2
    assert "holds the weights of a model (model.safetensors)" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in bert.iterdir()} == there
