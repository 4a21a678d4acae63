"""The words of captions and of queries: one analyser for both, so that a word copied out of a caption finds it.

A word stands in the index folded (without capitals and accents) and as its stem, and a query is analysed in the same
way: two words are one when they have a form in common. Scripts that write no spaces between words, and Korean, which
writes particles on to them, are indexed by pairs of neighbouring letters.
"""

# ruff: noqa: RUF001 for letters of many scripts

import functools
import itertools
import threading
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import regex
import snowballstemmer

from mmpt.text.languages import language_code

MAX_QUERY_WORDS = 64  # more say nothing new
MAX_WORD_LETTERS = 100  # what follows is cut off: stemmers know no such word
MAX_CACHED_WORDS = 1 << 16

# Snowball's algorithms by the code of the language; a language that has none here has no stems.
ALGORITHMS = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "english", "und": "english", "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french",
    "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian",
    "lt": "lithuanian", "ne": "nepali", "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "fa": "persian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "es": "spanish",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

# English words that say nothing of what is looked for.
_STOP_WORDS = (
    "a about all also am an and any are as at be been being but by can could did do does doing done for from had has "
    "have he her him his how i if in into is it its just like may me my no not of off on one or our out over she so "
    "some that the their them then there these they this those to up us very was we were what when where which while "
    "who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
# Forms that the stemmer does not bring together, each family after its first word.
_IRREGULAR = (
    "go goes went gone,glue glued gluing,dye dyed,knife knives,leaf leaves,half halves,loaf loaves,shelf shelves,"
    "calf calves,wolf wolves,scarf scarves,man men,woman women,child children,foot feet,tooth teeth,goose geese,"
    "mouse mice,person people,make made,take took taken,give gave given,get got gotten,find found,hold held,lay laid,"
    "say said,tell told,keep kept,leave left,bring brought,buy bought,catch caught,build built,bend bent,sell sold,"
    "break broke broken,freeze froze frozen,shake shook shaken,choose chose chosen,stick stuck,"
    "hang hung,swing swung,spin spun,sweep swept,feed fed,bleed bled,drive drove driven,write wrote written,"
    "eat ate eaten,drink drank drunk,sink sank sunk,run ran,begin began begun,sing sang sung,swim swam swum,"
    "throw threw thrown,grow grew grown,blow blew blown,draw drew drawn,fly flew flown,tear tore torn,wear wore worn,"
    "grind ground,wind wound,wake woke woken,teach taught,think thought,shoot shot,light lit,slide slid"
)
IRREGULAR = {form: first for first, *forms in (family.split() for family in _IRREGULAR.split(",")) for form in forms}
CLITICS = frozenset({"ll", "re", "ve", "qu"})  # parts of "we'll" and "qu'il" that are no words

# Signs that NFKC would make letters of ("350º" -> "350o", "Pyrex™" -> "PyrexTM", "1½" -> "11/2"), and the many signs
# that are typed for an apostrophe or a hyphen.
_SIGNS = str.maketrans(
    dict.fromkeys("’‘‛ʼʻʾʿʹ′`´＇׳", "'")
    | dict.fromkeys("‐‑", "-")
    | dict.fromkeys("°˚ºª™℠№\u200b", " ")
    | {"ẚ": "a"}  # whose small letter has a sign for an apostrophe
    | {sign: f" {unicodedata.normalize('NFKC', sign)} " for sign in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
)
# Letters that have no decomposition, and what is typed for them.
_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i", "ŧ": "t", "ŋ": "n", "æ": "ae", "œ": "oe"}
    | {"ə": "e", "ɛ": "e", "ɔ": "o", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ґ": "г"}
    | {"ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه", "ہ": "ه", "ە": "ه", "\N{ARABIC TATWEEL}": ""}
    | {"ൺ": "ണ്", "ൻ": "ന്", "ർ": "ര്", "ൽ": "ല്", "ൾ": "ള്", "ൿ": "ക്"}  # as written before Unicode 5.1
)
_SPELLED_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}
)  # as typed without a German or Danish keyboard
_NUKTA = "\N{DEVANAGARI SIGN NUKTA}"  # mostly left out when typed
_OWN_LETTERS = "йўї"  # letters of their own, though Unicode takes them for letters with a mark

_SCRIPTS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Tham}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Viet}\p{Javanese}\p{Balinese}"
)
_UNSPACED = _SCRIPTS + "\N{KATAKANA-HIRAGANA PROLONGED SOUND MARK}"
_CLUSTER = rf"[[{_UNSPACED}]&&[\p{{L}}\p{{N}}]]\p{{M}}*"
_LETTER = rf"[[\p{{L}}\p{{N}}]--[{_UNSPACED}]]\p{{M}}*"
_JOINER = (
    r"(?:['\-\u00b7_&\"\u05f4\u200c](?!(?<=\d.)\d)"  # don't, e-mail, col·legi; but 2-3 are two numbers
    r"|\.(?<=(?<![\p{L}\p{N}])\p{L}\.)(?=\p{L}(?![\p{L}\p{N}])))"  # U.S.A.
)
_TOKEN = regex.compile(rf"((?:{_LETTER})++(?:{_JOINER}(?:{_LETTER})++)*+)|((?:{_CLUSTER})++)", regex.VERSION1)
_JOINERS = regex.compile(r"['\-\u00b7_&\"\u05f4\u200c.]")
_THOUSANDS = regex.compile(r"(?<=\d)[,.'](?=\d{3}(?!\d))")  # of 1,000
_IGNORED = regex.compile(r"[[\p{Default_Ignorable_Code_Point}\p{Me}]--[\u200c]]", regex.VERSION1)
_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.VERSION1)
_MARKED = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}]\p{M}*", regex.VERSION1)
_CLUSTERS = regex.compile(_CLUSTER, regex.VERSION1)

_stemmer_lock = threading.Lock()  # a stemmer keeps the word that it is at

Word = tuple[str, ...]  # the forms of a word, any of which will do


def index_terms(text: str, language: str = "") -> list[str]:
    """Return the terms that a caption is found by.

    Args:
        text: the caption.
        language: its language tag, such as ``"fr"`` or ``"pt-BR"``; empty where unknown, which is stemmed as English.

    Returns:
        For each word its forms, without white space; for each run of a script without spaces its letters and pairs.
    """
    algorithms = stemmers((language,))
    terms: list[str] = []
    for parts, is_run in _tokens(text):
        if is_run:
            terms += parts
            terms += _pairs(parts)
        else:
            for part in [*parts, "".join(parts)] if len(parts) > 1 else parts:
                terms += _forms(part, algorithms)
    return terms


def query_words(text: str, languages: Iterable[str] = ("",)) -> list[Word]:
    """Return the words that say what a query is about.

    Args:
        text: the query.
        languages: tags of the captions that are searched: what is asked has no language, so that each word is stemmed
            in all of them.

    Returns:
        For each word the forms of which a caption has one, in order, each word once, at most MAX_QUERY_WORDS; without
        words such as "the", unless there are only such words.
    """
    algorithms = stemmers(tuple(languages))
    telling: list[tuple[Word, Word]] = []
    stopped: list[tuple[Word, Word]] = []
    for parts, is_run in _tokens(text):
        if is_run:
            telling += [((pair,), ()) for pair in _pairs(parts) or parts]
            continue
        joined = _forms("".join(parts), algorithms) if len(parts) > 1 else ()
        words = [part for part in parts if not _is_clitic(part)] if joined else parts
        negated = len(parts) > 1 and parts[-1] == "t" and parts[-2].endswith("n")  # don't, isn't
        for word in words:
            (stopped if negated or word in STOP_WORDS else telling).append((_forms(word, algorithms), joined))
        if not words:  # U.S.A. is a word, I'm is none
            (stopped if parts[0] == "i" else telling).append((joined, ()))
    chosen: list[Word] = []
    seen: set[str] = set()
    for forms, joined in telling or stopped:
        if seen.isdisjoint(forms):
            chosen.append((*forms, *(form for form in joined if form not in forms)))
        seen.update(forms)
    return chosen[:MAX_QUERY_WORDS]


def coverage(asked: Collection[Word], heard: Iterable[str]) -> float:
    """Return the part of a query's words that is said.

    Args:
        asked: what `query_words` gives of the query.
        heard: what `index_terms` gives of captions.

    Returns:
        From 0 to 1; 0 for a query without words.
    """
    terms = set(heard)
    return sum(not terms.isdisjoint(word) for word in asked) / len(asked) if asked else 0.0


@functools.lru_cache(maxsize=1000)
def stemmers(languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return Snowball's algorithms for language tags: English for an empty one, none for an unknown language."""
    codes = (language_code(tag or "en") for tag in languages)
    return tuple(sorted({ALGORITHMS[code] for code in codes if code in ALGORITHMS}))


@functools.lru_cache(MAX_CACHED_WORDS)
def fold(word: str) -> str:
    """Return a word without accents; letters such as й, which Unicode decomposes, stay.

    Latin, Greek, Cyrillic, Arabic and Hebrew letters lose their marks; those of Indic and other scripts are vowels.
    """
    if word.isascii():
        return word
    composed = unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).replace(_NUKTA, ""))
    return _MARKED.sub(_base, composed).translate(_LETTERS)


def _base(marked: Any) -> str:
    letter = marked[0][0]
    return letter if letter in _OWN_LETTERS else unicodedata.normalize("NFD", letter)[0]


def _is_clitic(part: str) -> bool:
    return part in CLITICS or (len(part) == 1 and part.isalpha())


def _tokens(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words of a text, each with the parts it is joined of ("e-mail"), and runs of letters without spaces."""
    for word, run in _TOKEN.findall(_normalized(text)):
        if run:
            yield _CLUSTERS.findall(run), True
        else:
            parts = [word] if word.isalnum() else _JOINERS.split(word)
            yield [part[:MAX_WORD_LETTERS] for part in parts], False


def _normalized(text: str) -> str:
    """Return a text in one form: NFKC, small letters, plain digits and apostrophes, nothing that is not seen."""
    if text.isascii():
        return _THOUSANDS.sub("", text.translate(_SIGNS).lower())
    signs = unicodedata.normalize("NFC", text).translate(_SIGNS)
    small = unicodedata.normalize("NFKC", signs).casefold().replace("i\u0307", "i")  # İ
    plain = _DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), _IGNORED.sub("", small))
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", plain))


def _pairs(letters: list[str]) -> list[str]:
    return [first + second for first, second in itertools.pairwise(letters)]


@functools.lru_cache(MAX_CACHED_WORDS)
def _forms(word: str, algorithms: tuple[str, ...]) -> Word:
    """Return a word's forms: as written, as typed without accents, and the stems of these; all folded."""
    written = dict.fromkeys((word, fold(word), word.translate(_SPELLED_OUT)))
    stems = [_stem(form, algorithm) for form in written for algorithm in algorithms]
    if "english" in algorithms and word in IRREGULAR:
        stems.append(_stem(IRREGULAR[word], "english"))
    return tuple(form for form in dict.fromkeys(map(fold, (*written, *stems))) if form)


def _stem(word: str, algorithm: str) -> str:
    with _stemmer_lock:
        return _stemmer(algorithm).stemWord(word)


@functools.cache
def _stemmer(algorithm: str) -> Any:
    return snowballstemmer.stemmer(algorithm)
