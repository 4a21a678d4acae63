"""Words of captions, as the Penn Treebank counts them: `don't` is two, `3-year-old` is one, punctuation is none.

The tools that published numbers come from tokenise with a Java programme. These rules give the same words for what
captions hold; they are no general tokeniser.
"""

import re

PUNCTUATION = frozenset(("''", "'", "``", "`", ".", "?", "!", ",", ":", ";", "-", "--", "..."))
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}  # words of their own
WIDE = "\N{NO-BREAK SPACE}"  # stands in `1 1/2`, which is one word here and two where spaces are all that counts

FRACTIONS = {  # words of their own, also behind a number
    "\N{VULGAR FRACTION ONE HALF}": "1/2",
    "\N{VULGAR FRACTION ONE QUARTER}": "1/4",
    "\N{VULGAR FRACTION THREE QUARTERS}": "3/4",
    "\N{VULGAR FRACTION ONE THIRD}": "1/3",
    "\N{VULGAR FRACTION TWO THIRDS}": "2/3",
}

_SPELLINGS = (
    (re.compile("[\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}]"), "'"),
    (re.compile('["\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}]'), " '' "),
    (re.compile("[\N{EN DASH}\N{EM DASH}]|-{2,}"), " -- "),
    (re.compile("\N{HORIZONTAL ELLIPSIS}|\\.{3,}"), " ... "),
    (re.compile(f"([{''.join(FRACTIONS)}])"), r" \1 "),
    (re.compile("\N{POUND SIGN}"), "#"),
    (re.compile("\N{EURO SIGN}"), "$"),
    (re.compile("\N{CENT SIGN}"), " cents "),
)
_SHORTENED = (
    *("mr", "mrs", "ms", "mme", "messrs", "dr", "drs", "prof", "st", "ste", "jr", "sr", "esq", "hon", "rev", "ph\\.d"),
    *(
        "sgt",
        "capt",
        "col",
        "gen",
        "maj",
        "lt",
        "pvt",
        "cmdr",
        "adm",
        "gov",
        "pres",
        "sen",
        "sens",
        "rep",
        "reps",
        "atty",
    ),
    *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    *("mon", "tue", "tues", "wed", "thu", "thurs", "fri"),
    *("etc", "vs", "al", "cf", "est", "tel", "ext", "sq", "ft", "mt", "rd", "ave", "blvd", "bldg", "intl", "natl"),
    *("inc", "co", "cos", "corp", "ltd", "bros", "assn", "mfg", "dept", "univ", "alex", "wm", "jos", "atty"),
    *(
        "ala",
        "ariz",
        "calif",
        "colo",
        "conn",
        "fla",
        "ga",
        "ind",
        "kan",
        "ky",
        "md",
        "mich",
        "minn",
        "mo",
        "neb",
        "nev",
    ),
    *("nev", "okla", "penn", "tenn", "va", "vt", "wis", "wyo"),
)
_BEFORE_NUMBERS = ("no", "nos", "fig", "figs", "pp", "art", "ca")
_CLITIC = "(?:s|m|d|re|ve|ll)"
_WORD = "[^\\W_](?:[\\w+#]|[-/_](?=\\w))*"
_TOKEN = re.compile(
    "|".join(
        (
            "https?://\\S+|www\\.\\S+|[\\w.]*@[\\w.]*\\w|</?\\w+>",
            "\\d+ \\d+/\\d+",  # 1 1/2
            f"(?:{'|'.join(_SHORTENED)})\\.(?!\\w)",
            f"(?:{'|'.join(_BEFORE_NUMBERS)})\\.(?= ?\\d)",
            "(?:[a-z]\\.)+(?:[a-z](?!\\w))?",  # p.m. and a.m, u.s.
            "(?:(?<!\\S)[-+])?\\d*(?:[.,:]\\d+)+(?!\\d|[^\\W\\d]*[-/_])|(?<!\\S)[-+]\\d+",  # 1.5oz: two
            f"\\w+n't(?!\\w)|'n'|'(?:n|em|cause|til|tis|twas|\\d\\ds?)(?!\\w)|'{_CLITIC}(?!\\w)",
            f"y'(?=all)|ma'am(?!\\w)|[a-z]'(?!{_CLITIC}(?!\\w))\\w+",  # o'clock
            f"{_WORD}(?:[.?!]{_WORD})*",
            "''|``|--|\\.\\.\\.|[!?]{2,}|\\*+|\\S",
        )
    )
)
_INSIDE = re.compile(f"(?<=\\w)(?=n't$|'{_CLITIC}$)")
_RESPELT = {
    **FRACTIONS,
    **{"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na"},
    **{"gimme": "gim me", "lemme": "lem me", "'tis": "'t is", "'twas": "'t was"},
}


def words(text: str) -> list[str]:
    """List a caption's words.

    Args:
        text: the caption.

    Returns:
        Words in lower case, without punctuation; `1 1/2` is one, with a no-break space, but two where the fraction is
        one letter, as for the tools.
    """
    text = text.lower()
    for pattern, replacement in _SPELLINGS:
        text = pattern.sub(replacement, text)
    found: list[str] = []
    for match in _TOKEN.finditer(" ".join(text.split())):
        token = match.group()
        whole = BRACKETS.get(token, token.replace(" ", WIDE))
        if whole not in PUNCTUATION:
            found += _INSIDE.sub(" ", _RESPELT.get(whole, whole)).split(" ")
    return found
