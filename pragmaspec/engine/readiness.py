"""Waiting until a booted node is ready, stage by stage, each with its own limit, and saying why when it is not.

domain runs → address answers → ssh lets us in → cloud-init finished without error
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
_SAY_S = 1.0


@dataclass(frozen=True)
class ReadinessWait:
    """One node that is waited for, and what is needed for that.

    ``check`` raises to end the waiting (an interrupt), or returns why it is hopeless; ``say`` is told what is waited for;
    ``evidence`` is what the site can show.
    """

    node: Node
    mark: Mark
    guests: Guests
    power: PowerWatch
    clock: Clock
    check: Callable[[], str]
    say: Callable[[str], None]
    diagnostics: Callable[[], Diagnostics]


def wait_until_ready(waiting: ReadinessWait) -> None:
    """Return when the node is as ready as it shall be. Raises NotReadyError with the stage and the evidence."""
    node, mark, guests = waiting.node, waiting.mark, waiting.guests
    limit_s = float(node.readiness.timeout_s)
    if node.readiness.when == "none":
        return
    if not guests.reachable(node):
        # Nobody can look inside: that its machine runs is all there is to see.
        if waiting.power.stopped(mark.address, waiting.clock.monotonic()):
            raise _not_ready(waiting, "the domain to run", _stopped(waiting, "has stopped"))
        return
    _Stage(waiting, "its address", limit_s).poll(lambda: "" if guests.answers(node, mark) else "nothing answers there")
    _Stage(waiting, "ssh", limit_s).poll(lambda: guests.login(node, mark))
    if node.readiness.when == "cloud-init":
        _Stage(waiting, "cloud-init", limit_s).first_boot()


class _Stage:
    """One stage of waiting."""

    def __init__(self, waiting: ReadinessWait, name: str, limit_s: float) -> None:
        self._waiting = waiting
        self._name = name
        self._limit_s = limit_s
        self._began = waiting.clock.monotonic()
        self._said = float("-inf")
        self._power_checked = self._began

    def poll(self, attempt: Callable[[], str]) -> None:
        """Try until ``attempt`` returns nothing, which means that the stage is reached."""
        pause_s = FIRST_PAUSE_S
        while why := attempt():
            self.tick()
            if self._waiting.clock.monotonic() - self._began >= self._limit_s:
                raise _not_ready(self._waiting, self._name, f"{why} after {self._limit_s:.0f} s")
            self._waiting.clock.sleep(pause_s)
            pause_s = min(1.6 * pause_s, MAX_PAUSE_S)

    def first_boot(self) -> None:
        """Wait for cloud-init to finish without error."""
        waiting = self._waiting
        try:
            error = waiting.guests.first_boot(waiting.node, waiting.mark, self._limit_s, self.tick)
        except AccessError as lost:
            raise _not_ready(waiting, self._name, f"it did not finish in {self._limit_s:.0f} s; {lost.first_line}") from lost
        if error:
            raise _not_ready(waiting, self._name, f"it reports: {error}")

    def tick(self) -> None:
        """Say what is waited for, and end the waiting when it has become hopeless."""
        now = self._waiting.clock.monotonic()
        if now - self._said >= _SAY_S:
            self._said = now
            self._waiting.say(f"waiting for {self._name} · {now - self._began:.0f} s")
        hopeless = self._waiting.check()
        if not hopeless and now - self._power_checked >= _POWER_CHECK_S:
            self._power_checked = now
            if self._waiting.power.stopped(self._waiting.mark.address, self._began):
                hopeless = _stopped(self._waiting, "has stopped by itself")
        if hopeless:
            raise _not_ready(self._waiting, self._name, hopeless)


def _stopped(waiting: ReadinessWait, otherwise: str) -> str:
    why = waiting.power.paused(waiting.mark.address)
    return f"its machine {otherwise}" if why is None else f"its machine is paused ({why})"


def _not_ready(waiting: ReadinessWait, stage: str, why: str) -> NotReadyError:
    """The error for a node that did not reach ``stage``, with everything that can be shown."""
    node, seen = waiting.node, waiting.diagnostics()
    lines = [f"waited for {stage}: {why}"]
    lines += [f"domain: {seen.domain}"] if seen.domain else []
    lines += [f"lease: {seen.lease}"] if seen.lease else []
    inside = waiting.guests.diagnosis(node)
    lines += ["the guest says:", *(f"  {line}" for line in inside)] if inside else []
    lines += ["last lines of its console:", *(f"  {line}" for line in seen.console)] if seen.console else []
    lines.append(f"Look with: pragmaspec console {node.name}. The next apply waits for it again.")
    return NotReadyError("A node did not become ready", printable("\n".join(lines)))
