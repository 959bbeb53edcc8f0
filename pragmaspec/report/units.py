"""Quantities as people read them: binary sizes and durations. At most three digits that matter."""

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_MINUTE = 60
_HOUR = 3600


def size(size_bytes: int) -> str:
    """``size_bytes`` in the largest unit that leaves at least 1: ``612 MiB``, ``1.5 GiB``, ``0 B``."""
    unit = 0
    value = float(size_bytes)
    while value >= _STEP and unit < len(_SIZES) - 1:
        value /= _STEP
        unit += 1
    return f"{_short(value)} {_SIZES[unit]}"


def memory(memory_mib: int) -> str:
    """``memory_mib`` mebibytes: ``512 MiB``, ``1.5 GiB``."""
    return size(memory_mib * _STEP * _STEP) if memory_mib else "0 MiB"


def size_change(before_bytes: int, after_bytes: int) -> str:
    """``4 GiB → 8 GiB``; in bytes when both would read the same."""
    before, after = size(before_bytes), size(after_bytes)
    if before == after:
        before, after = f"{before_bytes} B", f"{after_bytes} B"
    return f"{before} → {after}"


def cpus(count: int) -> str:
    """``1 cpu``, ``2 cpus``."""
    return counted(count, "cpu")


def counted(count: int, noun: str) -> str:
    """``1 node``, ``10,000 nodes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """``0.05 s``, ``3.2 s``, ``42 s``, ``2 min 5 s``, ``1 h 3 min``."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:  # noqa: PLR2004 - below ten a tenth still matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _both(whole // _MINUTE, "min", whole % _MINUTE, "s")
    return _both(whole // _HOUR, "h", whole % _HOUR // _MINUTE, "min")


def _both(many: int, unit: str, few: int, smaller: str) -> str:
    return f"{many} {unit} {few} {smaller}" if few else f"{many} {unit}"


def _short(value: float) -> str:
    if value >= 100 or value == int(value):  # noqa: PLR2004 - three digits are enough
        return f"{value:.0f}"
    return f"{value:.1f}".removesuffix(".0")
