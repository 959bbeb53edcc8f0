"""Progress, rate and remaining time of a transfer."""

from pragmaspec.text import duration, size

_MIN_SPAN_S = 2.0
"""A rate over less time is dominated by the start of the transfer."""
_WINDOW_S = 20.0
"""Older samples do not count, because rates change."""
_MIN_INTERVAL_S = 0.25
"""Minimum interval between samples."""


class TransferRate:
    """Samples of one transfer, which reports growing numbers of bytes."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def text(self, done_bytes: int | None, total_bytes: int | None, now_s: float) -> str:
        """Return ``612 MiB of 1.2 GiB, 83 MiB/s, 7 s left``, without unknown parts. ``now_s``: time of any clock."""
        if not done_bytes:
            return size(total_bytes) if total_bytes else ""
        self._add(done_bytes, now_s)
        parts = [f"{size(done_bytes)} of {size(total_bytes)}" if total_bytes else size(done_bytes)]
        rate = self._rate()
        if rate and done_bytes != total_bytes:
            parts.append(f"{size(round(rate))}/s")
            if total_bytes:
                parts.append(f"{duration(max(1, (total_bytes - done_bytes) / rate))} left")
        return ", ".join(parts)

    def _add(self, done_bytes: int, now_s: float) -> None:
        if self._samples and done_bytes < self._samples[-1][1]:
            self._samples.clear()  # the transfer was restarted
        if len(self._samples) > 1 and now_s - self._samples[-2][0] < _MIN_INTERVAL_S:
            self._samples.pop()
        self._samples.append((now_s, done_bytes))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= _WINDOW_S:  # noqa: PLR2004 - a rate needs two samples
            del self._samples[0]

    def _rate(self) -> float:
        """Return the rate in bytes per second, 0 if unknown."""
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= _MIN_SPAN_S else 0.0
