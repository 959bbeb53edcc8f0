"""Whether machines still run, from one listing per site that all who wait share."""

import threading
import time

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import Provider

_FRESH_S = 5.0


class PowerWatch:
    """The power of one stack's machines at one site. Used from several threads at once."""

    def __init__(self, provider: Provider, lineage: str) -> None:
        self._provider = provider
        self._lineage = lineage
        self._lock = threading.Lock()
        self._listed: dict[str, str] = {}
        self._listed_at = float("-inf")

    def stopped(self, address: str, since: float) -> bool:
        """Whether the machine at ``address`` is known not to run. A site that does not answer is no proof.

        Only a listing made after ``since`` (of the monotonic clock) counts: an older one may not know the machine yet.
        """
        with self._lock:
            if self._listed_at < max(since, time.monotonic() - _FRESH_S):
                try:
                    observed = self._provider.observe(self._lineage)
                except SiteError:
                    return False
                self._listed = {node.address: node.status for node in observed.nodes}
                self._listed_at = time.monotonic()
            return self._listed.get(address, "gone") != "running"
