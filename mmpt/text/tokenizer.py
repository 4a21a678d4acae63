"""Where a BERT lies, and its WordPiece tokenizer."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from mmpt.utils.places import locate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PRETRAINED = "pretrained_models"  # beside the project's folders: weights and vocabularies of others


def find_bert(bert_name: str | os.PathLike[str]) -> str:
    """Say where a BERT lies.

    Args:
        bert_name: a folder, or a hub name such as ``"bert-base-uncased"``. A folder of that name under
            ``pretrained_models/`` comes before the hub.

    Returns:
        The folder, or the hub name when there is none.

    Raises:
        FileNotFoundError: `bert_name` is a path, and no folder is there.
    """
    name = os.fspath(bert_name)
    for folder in (Path(name), locate(name), locate(PRETRAINED) / name):
        if folder.is_dir():
            return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise FileNotFoundError(
            f"bert_name {name!r} is not a folder; it takes a folder with config.json and vocab.txt, or a hub name such "
            "as bert-base-uncased"
        )
    return name


def load_tokenizer(bert_name: str | os.PathLike[str]) -> "PreTrainedTokenizerBase":
    """Load the WordPiece tokenizer.

    Args:
        bert_name: as for `find_bert`.

    Returns:
        A transformers tokenizer.

    Raises:
        FileNotFoundError: it is neither in a folder nor in the hub's cache, and the hub cannot be reached.
    """
    place = find_bert(bert_name)
    if Path(place).is_dir() and not any((Path(place) / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        raise absent("the tokenizer", place, FileNotFoundError("there is neither vocab.txt nor tokenizer.json"))
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise absent("the tokenizer", place, error) from error


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """Look up the tokens that frame a sequence.

    Args:
        tokenizer: a BERT tokenizer.

    Returns:
        `cls_token_id`, `sep_token_id` and `pad_token_id`.

    Raises:
        ValueError: the vocabulary lacks one of them.
    """
    ids = {name: getattr(tokenizer, name) for name in ("cls_token_id", "sep_token_id", "pad_token_id")}
    if missing := [name for name, value in ids.items() if not isinstance(value, int)]:
        raise ValueError(f"the tokenizer has no {', '.join(missing)}; the models take a BERT vocabulary")
    return ids


def absent(what: str, place: str, error: Exception) -> FileNotFoundError:
    """Say that a part of a BERT is not there, and how to get it.

    Args:
        what: the part, for example ``"the tokenizer"``.
        place: the folder or hub name.
        error: what the library said.

    Returns:
        The error to raise.
    """
    if Path(place).is_dir():
        return FileNotFoundError(
            f"{what} of {place} cannot be read ({_first_line(error)}); the folder takes config.json, vocab.txt and "
            "tokenizer_config.json"
        )
    return FileNotFoundError(
        f"{what} of {place!r} is not on this machine, and the hub cannot be reached ({_first_line(error)}). "
        "Get it once with `mmpt download bert`, or point to a folder with config.json and vocab.txt: "
        "--bert-name FOLDER, bert_name=FOLDER in Python, or dataset.bert_name in the YAML file"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160]
