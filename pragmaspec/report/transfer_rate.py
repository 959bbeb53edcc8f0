"""How far a transfer is, how fast it goes, and how long it still takes."""

from pragmaspec.text import duration, size

_SETTLED_S = 2.0
"""Before that, a rate says more about the beginning than about the rest."""
_WINDOW_S = 20.0
"""Only what went on lately counts: rates change."""


_APART_S = 0.25
"""Whoever tells more often is not listened to more closely."""


class TransferRate:
    """One stretch of work, as it is told of with growing numbers of bytes."""

    def __init__(self) -> None:
        self._told: list[tuple[float, int]] = []

    def words(self, done_bytes: int | None, total_bytes: int | None, now_s: float) -> str:
        """``612 MiB of 1.2 GiB, 83 MiB/s, 7 s left``; as much of it as is known, so perhaps nothing. ``now_s``: any clock."""
        if not done_bytes:
            return size(total_bytes) if total_bytes else ""
        self._note(done_bytes, now_s)
        parts = [f"{size(done_bytes)} of {size(total_bytes)}" if total_bytes else size(done_bytes)]
        rate = self._rate()
        if rate and done_bytes != total_bytes:
            parts.append(f"{size(round(rate))}/s")
            if total_bytes:
                parts.append(f"{duration(max(1, (total_bytes - done_bytes) / rate))} left")
        return ", ".join(parts)

    def _note(self, done_bytes: int, now_s: float) -> None:
        if self._told and done_bytes < self._told[-1][1]:
            self._told.clear()  # begun anew
        if len(self._told) > 1 and now_s - self._told[-2][0] < _APART_S:
            self._told.pop()
        self._told.append((now_s, done_bytes))
        while len(self._told) > 2 and now_s - self._told[1][0] >= _WINDOW_S:  # noqa: PLR2004 - two make a rate
            del self._told[0]

    def _rate(self) -> float:
        """Bytes in a second; 0 while it cannot be told."""
        (first_s, first), (last_s, last) = self._told[0], self._told[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= _SETTLED_S else 0.0
