"""Text that others wrote, as it may be shown: on a terminal, in a log, in Patchwork."""

from __future__ import annotations

_LAYOUT = "\n\t"


def visible(text: str) -> str:
    """The text, with an escape like `\\x1b` in the place of what is no visible character.

    That is what steers a terminal (ESC, the C1 controls, carriage return, bell), what turns the
    direction of the text around it, and what cannot be written as UTF-8. Newlines and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in _LAYOUT:
        return character
    import unicodedata  # Few texts need it.

    if unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
