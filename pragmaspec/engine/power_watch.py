"""Whether machines still run, from one listing per site that all who wait share."""

import threading

from pragmaspec.clock import Clock
from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Provider

_FRESH_S = 5.0


class PowerWatch:
    """The power of one stack's machines at one site. Used from several threads at once."""

    def __init__(self, provider: Provider, lineage: str, clock: Clock) -> None:
        self._clock = clock
        self._provider = provider
        self._lineage = lineage
        self._lock = threading.Lock()
        self._listed: set[str] = set()
        self._running: set[str] = set()
        self._paused: dict[str, str] = {}
        self._listed_at = float("-inf")

    def stopped(self, address: str, since: float) -> bool:
        """Whether the machine made under ``address`` is known not to run. A site that does not answer is no proof.

        Only a listing made after ``since`` (of the monotonic clock) counts: an older one may not know the machine yet.
        """
        with self._lock:
            if self._listed_at < max(since, self._clock.monotonic() - _FRESH_S):
                try:
                    observed = self._provider.observe(self._lineage)
                except SiteError:
                    return False
                self._running = {node.address for node in observed.nodes if node.status == "running"}
                self._paused = {node.address: node.why for node in observed.nodes if node.status == "paused"}
                self._listed = {node.address for node in observed.nodes}
                self._listed_at = self._clock.monotonic()
            # Where what was made may be missing from a listing for a while, only what is in it is known.
            return address not in self._running and (address in self._listed or not self._provider.window_s)

    def paused(self, address: str) -> str | None:
        """Why the machine is paused, by the listing that :meth:`stopped` has gone by; None: it is not."""
        with self._lock:
            return self._paused.get(address)
