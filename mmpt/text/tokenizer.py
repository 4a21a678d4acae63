"""Where a BERT lies, and its WordPiece tokenizer."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils import get_session
from transformers import AutoTokenizer

from mmpt.utils.places import locate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Part = TypeVar("Part")

VOCABULARIES = ("vocab.txt", "tokenizer.json")
PATIENCE = 10  # seconds that the hub may take to answer
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

    def load(local: bool) -> "PreTrainedTokenizerBase":
        if local and not _has_vocabulary(place):  # of which transformers would make a tokenizer without words
            raise FileNotFoundError(f"there is neither {' nor '.join(VOCABULARIES)}")
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=local)
        except (OSError, ValueError):
            raise
        except Exception as error:  # a damaged file raises whatever its bytes lead to, in Rust as well
            raise ValueError(str(error) or type(error).__name__) from error
        if len(tokenizer) <= len(tokenizer.all_special_tokens):  # to which every text would be the same
            raise ValueError("its vocabulary holds no words")
        return tokenizer

    try:
        return from_here_or_hub(place, load)
    except (OSError, ValueError) as error:
        raise absent("the tokenizer", place, error) from error


def from_here_or_hub(place: str, load: Callable[[bool], Part]) -> Part:
    """Load a part of a BERT from this machine; only when it is not here, from the hub.

    Args:
        place: a folder, or a hub name.
        load: loads it, with True from this machine alone.

    Returns:
        What `load` gives.

    Raises:
        OSError: it is not here, and the hub does not answer at once, or has none.
        ValueError: what `load` raises.
    """
    with _quiet():
        try:
            return load(True)
        except (OSError, ValueError):
            if Path(place).is_dir():
                raise
        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)  # else the libraries try six times, for a minute
        except Exception as error:  # of whichever library it sends by
            raise ConnectionError(f"{constants.ENDPOINT}: {_first_line(error)}") from error
        return load(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the notes of libraries on what they try away: what comes of it is said once, in the end."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _has_vocabulary(place: str) -> bool:
    if Path(place).is_dir():
        return any((Path(place) / name).is_file() for name in VOCABULARIES)
    return any(isinstance(try_to_load_from_cache(place, name), str) for name in VOCABULARIES)


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


def check_vocabulary(tokenizer: "PreTrainedTokenizerBase", rows: int, *, where: str) -> None:
    """Check that a model has an embedding for every word of a tokenizer.

    Args:
        tokenizer: a BERT tokenizer.
        rows: of the model's word embeddings.
        where: what messages call the model.

    Raises:
        ValueError: there are more words than rows, so that some text would have no embedding.
    """
    if len(tokenizer) > rows:
        raise ValueError(
            f"the vocabulary has {len(tokenizer):,} words, and the model has {rows:,} ({where}): they do not belong "
            "together. Take the vocabulary that the model was trained with: --bert-name FOLDER, or the right vocab.txt"
        )


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
