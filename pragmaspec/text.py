"""Pieces of English sentences: suggestions for misspelt names, shortened lists, capitals."""

from collections.abc import Iterable, Sequence


def capitalized(text: str) -> str:
    """Return ``text`` with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def few(names: Sequence[str], most: int) -> str:
    """Return ``a, b and 3 more``: at most ``most`` of ``names``, and the number of those left out; ``none`` for none."""
    if not names:
        return "none"
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that ``name`` is probably a misspelling of, if any; case, ``-`` and ``_`` do not count."""
    from difflib import get_close_matches  # noqa: PLC0415 - needed for a mistake only

    folded = {_folded(each): each for each in known}
    near = get_close_matches(_folded(name[:_LONGEST]), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", quote: str = "") -> str:
    """Return ``Did you mean NAME?`` for the closest of ``known``, else ``otherwise``. ``quote`` is put around the name."""
    near = closest(name, known)
    return f"Did you mean {quote}{near}{quote}?" if near else otherwise


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


_LONGEST = 80
"""Characters of a name that are compared: hostile input must not cost time."""
