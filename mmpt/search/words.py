"""How much of what was asked for is said: a query's words, looked for in captions."""

import re
import unicodedata

MOST_WORDS = 64  # of a query; more say nothing new
WORD = re.compile(r"\w+")
# Words that say nothing of what is looked for.
EMPTY_WORDS = frozenset(
    WORD.findall(
        "a about all also am an and any are as at be been being but by can could did do does doing done for from "
        "had has have he her him his how i if in into is it its just like may me my no not of off on one or our "
        "out over she so some that the their them then there these they this those to up us very was we were what "
        "when where which while who why will with would you your "
    )
)
ENDINGS = ("ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "s", "ly")
SHORTEST_STEM = 3  # letters


def content_words(text: str) -> list[str]:
    """Give the words that say what a text is about.

    Args:
        text: anything.

    Returns:
        Without capitals and accents, of those with one stem the first, in order, at most MOST_WORDS; of a text that has
        only words such as "the", those.
    """
    words = [fold(word) for word in WORD.findall(unicodedata.normalize("NFKC", text))]
    telling = [word for word in words if word not in EMPTY_WORDS] or words
    first: dict[str, str] = {}
    for word in telling:
        first.setdefault(stem(word), word)
    return list(first.values())[:MOST_WORDS]


def coverage(asked: list[str], said: str) -> float:
    """Say which part of a query's words is said.

    Args:
        asked: what `content_words` gives of the query.
        said: a caption, or several.

    Returns:
        From 0 to 1; 0 for a query without words.
    """
    if not asked:
        return 0.0
    heard = {stem(fold(word)) for word in WORD.findall(unicodedata.normalize("NFKC", said))}
    return sum(stem(word) in heard for word in asked) / len(asked)


def fold(word: str) -> str:
    """Give a word without capitals and accents."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def stem(word: str) -> str:
    """Take an English word's ending off, so that "flipping", "flips" and "flip" are one.

    Args:
        word: as `fold` gives it.

    Returns:
        What is left; other words, and short ones, as they are.
    """
    ending = next((end for end in ENDINGS if word.endswith(end) and len(word) - len(end) >= SHORTEST_STEM), "")
    left = word.removesuffix(ending) if not word.endswith("ss") else word
    if ending in ("ies", "ied"):
        return left + "y"
    if ending and len(left) > SHORTEST_STEM and left[-1] == left[-2] and left[-1] not in "lsz":
        return left[:-1]
    return left[:-1] if left.endswith("e") and len(left) > SHORTEST_STEM else left
