"""Pieces of English sentences: suggestions for misspelt names, shortened lists, capitals, human-readable amounts."""

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


def joined(names: Sequence[str], most: int = 3, last: str = "and") -> str:
    """Return ``a``, ``a and b`` or ``a, b, c and 5 more``: names as part of a sentence.

    At most ``most`` of them, and one name more rather than "1 more". ``last`` joins the last one, an empty string is for none.
    """
    shown = list(names) if len(names) <= most + 1 else [*names[:most], f"{len(names) - most:,} more"]
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}" if len(shown) > 1 else "".join(shown)


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


def size(size_bytes: int) -> str:
    """Return ``612 MiB``, ``1.5 GiB``, ``0 B``: the largest binary unit that leaves at least 1, with at most three digits.

    A shortage or a size to write into a spec needs :func:`pragmaspec.spec.quantity.format_size`, which rounds up.
    """
    unit = 0
    value = float(size_bytes)
    while value >= _STEP and unit < len(_SIZES) - 1:
        value /= _STEP
        unit += 1
    return f"{_three_digits(value)} {_SIZES[unit]}"


def memory(memory_mib: int) -> str:
    """Return ``512 MiB``, ``1.5 GiB``."""
    return size(memory_mib * _STEP * _STEP) if memory_mib else "0 MiB"


def size_change(before_bytes: int, after_bytes: int) -> str:
    """Return ``4 GiB → 8 GiB``; in bytes if both would read the same."""
    before, after = size(before_bytes), size(after_bytes)
    if before == after:
        before, after = f"{before_bytes} B", f"{after_bytes} B"
    return f"{before} → {after}"


def counted(count: int, noun: str) -> str:
    """Return ``1 node``, ``10,000 nodes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """Return ``0.05 s``, ``3.2 s``, ``42 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:  # noqa: PLR2004 - below ten a tenth still matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two_units(whole // _MINUTE, "min", whole % _MINUTE, "s")
    return _two_units(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")


def _two_units(many: int, unit: str, few: int, smaller: str) -> str:
    return f"{many} {unit} {few} {smaller}" if few else f"{many} {unit}"


def _three_digits(value: float) -> str:
    if value >= 100 or value == int(value):  # noqa: PLR2004 - three digits are enough
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_MINUTE = 60
_HOUR = 3600
_LONGEST = 80
"""Characters of a name that are compared: hostile input must not cost time."""
