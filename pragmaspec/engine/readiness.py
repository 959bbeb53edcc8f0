"""Waits until a booted node is ready, stage by stage, each with its own limit, and collects diagnostics on failure.

The stages: domain running → address responding → ssh login → cloud-init finished without error.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pragmaspec.access.ssh import printable
from pragmaspec.clock import Clock
from pragmaspec.engine.guests import Guests
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.errors import AccessError, NotReadyError
from pragmaspec.providers.base import Diagnostics
from pragmaspec.resources import Mark, Node

FIRST_PAUSE_S = 0.01
MAX_PAUSE_S = 2.0
_POWER_CHECK_S = 3.0
_REPORT_S = 1.0


@dataclass(frozen=True)
class ReadinessWait:
    """The wait for one node, with its collaborators.

    ``check`` raises to cancel the wait, or returns why it is hopeless; ``report`` receives the current stage; ``diagnostics``
    returns what the site knows about the node.
    """

    node: Node
    mark: Mark
    guests: Guests
    power: PowerWatch
    clock: Clock
    check: Callable[[], str]
    report: Callable[[str], None]
    diagnostics: Callable[[], Diagnostics]


def wait_until_ready(wait: ReadinessWait) -> None:
    """Return when the node has reached its readiness. Raises NotReadyError with the failed stage and diagnostics."""
    node, mark, guests = wait.node, wait.mark, wait.guests
    limit_s = float(node.readiness.timeout_s)
    if node.readiness.when == "none" or guests.finished(node, mark):
        return
    if not guests.reachable(node):
        # All that can be checked is that the domain is running.
        if wait.power.stopped(mark.address, wait.clock.monotonic()):
            raise _not_ready(wait, "the domain to run", _stopped(wait, "has stopped"))
        return
    _Stage(wait, "its address", limit_s).poll(lambda: "" if guests.answers(node, mark) else "no response")
    _Stage(wait, "ssh", limit_s).poll(lambda: guests.login(node, mark))
    if node.readiness.when == "cloud-init":
        _Stage(wait, "cloud-init", limit_s).first_boot()


class _Stage:
    """One stage of the wait."""

    def __init__(self, wait: ReadinessWait, name: str, limit_s: float) -> None:
        self._wait = wait
        self._name = name
        self._limit_s = limit_s
        self._began = wait.clock.monotonic()
        self._reported = float("-inf")
        self._power_checked = self._began

    def poll(self, attempt: Callable[[], str]) -> None:
        """Repeat ``attempt``, which returns an error or nothing, until it succeeds."""
        pause_s = FIRST_PAUSE_S
        while error := attempt():
            self.tick()
            if self._wait.clock.monotonic() - self._began >= self._limit_s:
                raise _not_ready(self._wait, self._name, f"{error} after {self._limit_s:.0f} s")
            self._wait.clock.sleep(pause_s)
            pause_s = min(1.6 * pause_s, MAX_PAUSE_S)

    def first_boot(self) -> None:
        """Wait until cloud-init has finished without error."""
        wait = self._wait
        try:
            error = wait.guests.first_boot(wait.node, wait.mark, self._limit_s, self.tick)
        except AccessError as lost:
            raise _not_ready(wait, self._name, f"it did not finish within {self._limit_s:.0f} s; {lost.first_line}") from lost
        if error:
            raise _not_ready(wait, self._name, f"it reports: {error}")

    def tick(self) -> None:
        """Report the stage, and end the wait if it is hopeless."""
        now = self._wait.clock.monotonic()
        if now - self._reported >= _REPORT_S:
            self._reported = now
            self._wait.report(f"waiting for {self._name} · {now - self._began:.0f} s")
        hopeless = self._wait.check()
        if not hopeless and now - self._power_checked >= _POWER_CHECK_S:
            self._power_checked = now
            if self._wait.power.stopped(self._wait.mark.address, self._began):
                hopeless = _stopped(self._wait, "has stopped by itself")
        if hopeless:
            raise _not_ready(self._wait, self._name, hopeless)


def _stopped(wait: ReadinessWait, otherwise: str) -> str:
    paused = wait.power.paused(wait.mark.address)
    return f"its machine {otherwise}" if paused is None else f"its machine is paused ({paused})"


def _not_ready(wait: ReadinessWait, stage: str, reason: str) -> NotReadyError:
    """The error for a node that did not reach ``stage``, with all available diagnostics."""
    node, site = wait.node, wait.diagnostics()
    lines = [f"waited for {stage}: {reason}"]
    lines += [f"domain: {site.domain}"] if site.domain else []
    lines += [f"lease: {site.lease}"] if site.lease else []
    guest = wait.guests.diagnosis(node)
    lines += ["the guest reports:", *(f"  {line}" for line in guest)] if guest else []
    lines += ["last lines of its console:", *(f"  {line}" for line in site.console)] if site.console else []
    lines.append(f"To investigate: pragmaspec console {node.name}. The next apply waits for it again.")
    return NotReadyError("A node did not become ready", printable("\n".join(lines)))
