"""A vocabulary of one's own: word pieces learnt from captions, and the shape of a small BERT beside them.

Source: Wu et al., Google's Neural Machine Translation System (2016), section 4.1: word pieces. The tokenizers library
learns them; the same captions give the same pieces.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import BertConfig

from mmpt.utils.files import atomic_path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # in BERT's order of use; a model's padding is number 0
LETTERS = 1000  # the most different ones that get a piece of their own; a word with another is unknown
CONTINUED = "##"  # before a piece that does not begin a word
TOKENIZER = '{"tokenizer_class": "BertTokenizer", "do_lower_case": true}\n'
MLP = 4  # width of BERT's inner layer, in widths of the model


@dataclass(frozen=True)
class BertShape:
    """How large the encoders are that a folder describes.

    Attributes:
        width: of the hidden states.
        layers: of the encoder.
        heads: of each layer; they share the width.
        positions: the longest sequence.
    """

    width: int = 768
    layers: int = 12
    heads: int = 12
    positions: int = 512

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.positions) < 1 or self.width % self.heads:
            raise ValueError(
                f"a BERT of width {self.width} with {self.layers} layers of {self.heads} heads and {self.positions} "
                "positions cannot be made; each takes 1 or more, and the heads must share the width evenly"
            )


def learn_word_pieces(texts: Iterable[str], size: int) -> list[str]:
    """Learn word pieces, in lower case.

    Args:
        texts: what is to be written with them.
        size: how many pieces to learn; the special ones and two for each letter are among them in any case.

    Returns:
        The word pieces; their places are their ids.

    Raises:
        ValueError: the texts hold no word, or the size is below 1.
    """
    if size < 1:
        raise ValueError(f"a vocabulary of {size} word pieces cannot be made; it takes 1 or more")
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    if not words:
        raise ValueError("the captions hold no word, so that no vocabulary can be made of them")
    first = [*SPECIAL, *_letters(words)]
    learner = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    # The library goes through words in an order of its own and lets that decide between equally frequent pairs, by the
    # numbers of their parts; parts that have their numbers beforehand take the chance out of it.
    learner.train_from_iterator(
        words.elements(), trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    )
    pieces = learner.get_vocab()
    return sorted(pieces, key=pieces.__getitem__)


def _letters(words: Counter[str]) -> list[str]:
    """The letters of words, as beginnings and as continuations."""
    letters: Counter[str] = Counter()
    for word, count in words.items():
        letters.update({letter: word.count(letter) * count for letter in set(word)})
    kept = sorted(sorted(letters, key=lambda letter: (-letters[letter], letter))[:LETTERS])
    return [*kept, *(f"{CONTINUED}{letter}" for letter in kept)]


def write_bert(folder: Path, pieces: list[str], shape: BertShape) -> None:
    """Write a BERT without weights: its vocabulary, and the shape of its layers.

    Args:
        folder: where to; `dataset.bert_name` and ``--bert-name`` take it.
        pieces: the word pieces, as `learn_word_pieces` gives them.
        shape: of the layers.
    """
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=MLP * shape.width,
        max_position_embeddings=shape.positions,
    )
    contents = {
        "vocab.txt": "".join(f"{piece}\n" for piece in pieces),
        "tokenizer_config.json": TOKENIZER,
        "config.json": config.to_json_string(),
    }
    for name, text in contents.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
