"""Names that look the same: in Unicode an é is one character (NFC), or an e and an accent (NFD), as macOS writes it."""

import unicodedata
from collections.abc import Container


def normal_name(name: str) -> str:
    """A name in the form NFC, by which names are compared."""
    return unicodedata.normalize("NFC", name)


def name_forms(name: str) -> tuple[str, ...]:
    """The forms that a name may have in files of others, itself first."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


def same_name(name: str, known: Container[str]) -> str | None:
    """The form in which a name is known; None where it is not."""
    return next((form for form in name_forms(name) if form in known), None)
