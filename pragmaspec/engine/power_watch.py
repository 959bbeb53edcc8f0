"""Power states of machines during the waits for their guests: one shared listing per site."""

import threading

from pragmaspec.clock import Clock
from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Provider

_FRESH_S = 5.0


class PowerWatch:
    """The power states of one stack's machines at one site. Thread-safe."""

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
        """True if the machine created as ``address`` is known not to run. False if the site does not answer.

        Only a listing later than ``since`` (monotonic clock) counts, as an older one may not contain the machine yet.
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
            # At a site with delayed listings, a missing machine proves nothing.
            return address not in self._running and (address in self._listed or not self._provider.window_s)

    def paused(self, address: str) -> str | None:
        """Return the reason why the machine is paused, as of the last call of :meth:`stopped`; None if it is not paused."""
        with self._lock:
            return self._paused.get(address)
