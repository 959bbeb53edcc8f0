"""Quantities with units: ``1 GiB``, ``20 GB``, ``90 s``, ``10 min``."""

import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal

BYTES = {
    "B": 1,
    "kB": 1000,
    "KiB": 2**10,
    "MB": 1000**2,
    "MiB": 2**20,
    "GB": 1000**3,
    "GiB": 2**30,
    "TB": 1000**4,
    "TiB": 2**40,
}
MILLISECONDS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000}
_AMOUNT = re.compile(r"([0-9]{1,60}(?:\.[0-9]{1,6})?) ?([A-Za-z]{0,8})\Z")
_DIGITS = 4
_SIZE_SPELLINGS = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "ki": "KiB", "mi": "MiB", "gi": "GiB", "ti": "TiB"}
_LIKELY_MIB_FROM = 256
"""Smaller numbers without a unit are probably meant in GiB."""
_TIME_SPELLINGS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
}


class AmountError(ValueError):
    """The text is not a quantity; the message tells what to write instead, as a clause."""


def bytes_of(text: str, *, small: bool = False) -> int:
    """Return the number of bytes in ``text``, rounded up. Raises AmountError.

    ``small``: sizes from 1 KiB to 1 MiB are probable, not those of memory and disks.
    """
    return _amount(
        text,
        BYTES,
        _SIZE_SPELLINGS,
        likely_unit=_likely_small_unit if small else _likely_unit,
        sample="16 KiB" if small else "2 GiB or 512 MiB",
    )


def milliseconds_of(text: str) -> int:
    """Return the number of milliseconds in ``text``, rounded up. Raises AmountError."""
    return _amount(text, MILLISECONDS, _TIME_SPELLINGS, likely_unit=lambda _: "s", sample="90 s or 10 min")


def format_size(size_bytes: int) -> str:
    """Return ``size_bytes`` in a form valid in specs: in the largest binary unit that fits, rounded up to four digits."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        whole = size_bytes // BYTES[unit]
        if whole:
            places = max(0, _DIGITS - len(str(whole)))
            scaled = -(-size_bytes * 10**places // BYTES[unit])
            text = f"{Decimal(scaled).scaleb(-places):f}"
            return f"{text.rstrip('0').rstrip('.') if places else text} {unit}"
    return f"{size_bytes} B"


def _likely_unit(number: str) -> str:
    return "GiB" if float(number) < _LIKELY_MIB_FROM else "MiB"


def _likely_small_unit(number: str) -> str:
    return "KiB" if float(number) <= BYTES["KiB"] else "B"


def _amount(
    text: str, units: dict[str, int], spellings: dict[str, str], *, likely_unit: Callable[[str], str], sample: str
) -> int:
    found = _AMOUNT.match(text)
    if not found:
        raise AmountError(f"write a number and a unit, such as {sample}")
    number, unit = found.groups()
    if unit in units:
        return int((Decimal(number) * units[unit]).to_integral_value(ROUND_CEILING))
    if not unit:
        raise AmountError(f"write {number} {likely_unit(number)}")
    guess = spellings.get(unit.lower()) or {name.lower(): name for name in units}.get(unit.lower())
    if guess:
        raise AmountError(f"write {number} {guess}")
    raise AmountError(f"write a number and one of the units {', '.join(units)}, such as {sample}")
