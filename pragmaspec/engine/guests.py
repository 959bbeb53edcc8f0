"""Access to running guests: over ssh, or simulated by the provider."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec

from pragmaspec.access.ssh import CommandResult, SshClient
from pragmaspec.clock import Clock
from pragmaspec.errors import AccessError, HostKeyError
from pragmaspec.guest.contract.archive import INSTALL_SCRIPT, live_tar
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.setup.retry import RETRY_SCRIPT, SETUP_FAILED
from pragmaspec.providers.base import GuestSimulation
from pragmaspec.resources import Mark, Node
from pragmaspec.typing import override


class Guests(Protocol):
    """The guests of one site. Thread-safe; every method has a time limit."""

    over_ssh: ClassVar[bool]
    """True if the guests are real ones, which are reached over ssh."""

    def reachable(self, node: Node) -> bool:
        """True if there is a route to the guest of ``node``."""
        ...

    def learn(self, node: Node) -> None:
        """Use the address that ``node`` has got by its boot."""
        ...

    def finished(self, node: Node, mark: Mark) -> bool:
        """True if the first boot is complete. Answers at once; False if that would take a connection."""
        ...

    def answers(self, node: Node, mark: Mark) -> bool:
        """True if the guest's address responds."""
        ...

    def login(self, node: Node, mark: Mark) -> str:
        """Try to log in. Returns the error, or nothing."""
        ...

    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Callable[[], None]) -> str:
        """Wait until cloud-init has finished, and return its error, or nothing. Raises AccessError after ``limit_s``.

        ``tick`` is called about every second, and raises to cancel the wait.
        """
        ...

    def diagnosis(self, node: Node) -> tuple[str, ...]:
        """Return a few lines about the boot from inside the guest; none if it cannot be reached."""
        ...

    def update(self, node: Node, mark: Mark, files: Sequence[GuestFile]) -> None:
        """Replace ``files`` in the running guest, all or none. Raises AccessError."""
        ...


_STAGES = ("off", "running", "address", "ssh", "cloud-init")


class SimulatedGuests(Guests):
    """Simulated guests. They store no files; their site may note that they have received some."""

    over_ssh: ClassVar[bool] = False

    def __init__(self, simulation: GuestSimulation, clock: Clock) -> None:
        self._simulation = simulation
        self._clock = clock

    @override
    def reachable(self, node: Node) -> bool:
        return True

    @override
    def learn(self, node: Node) -> None:
        pass

    @override
    def finished(self, node: Node, mark: Mark) -> bool:
        return self._reached(node, mark, "cloud-init")

    @override
    def answers(self, node: Node, mark: Mark) -> bool:
        return self._reached(node, mark, "address")

    @override
    def login(self, node: Node, mark: Mark) -> str:
        return "" if self._reached(node, mark, "ssh") else "ssh does not answer"

    @override
    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Callable[[], None]) -> str:
        end = self._clock.monotonic() + limit_s
        pause_s = 0.005
        while not self._reached(node, mark, "cloud-init"):
            if self._clock.monotonic() > end:
                raise AccessError("cloud-init did not finish")
            tick()
            self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        return ""

    @override
    def diagnosis(self, node: Node) -> tuple[str, ...]:
        return ()

    @override
    def update(self, node: Node, mark: Mark, files: Sequence[GuestFile]) -> None:
        if not self._reached(node, mark, "ssh"):
            raise AccessError("A node could not be updated", f"{node.name}: ssh does not answer")
        self._simulation.guest_updated(node, mark)

    def _reached(self, node: Node, mark: Mark, stage: str) -> bool:
        return _STAGES.index(self._simulation.guest_stage(node, mark)) >= _STAGES.index(stage)


_RESULT = "/run/cloud-init/result.json"

_WAIT_SCRIPT = f"""\
if ! command -v cloud-init >/dev/null 2>&1; then echo absent; exit 0; fi
until [ -e {_RESULT} ] || [ -e /run/cloud-init/disabled ]; do sleep 1; done
cat {_RESULT} 2>/dev/null || echo disabled
{RETRY_SCRIPT}"""
"""Waits for the file that cloud-init writes last, then repeats failed setup scripts.

``cloud-init status --wait`` polls with a new Python process each time, which slows down the boot itself on an emulated processor.
"""

_DIAGNOSIS_SCRIPT = "cloud-init status --long 2>&1 | head -n 20; tail -n 15 /var/log/cloud-init-output.log 2>/dev/null"

_LOGIN_S = 30.0
_UPDATE_S = 600.0
"""Limit of an update, which may install a package."""
_PAUSES_S = (1.0, 3.0)
_DIAGNOSIS_S = 20.0


class _Result(msgspec.Struct):
    v1: "_ResultV1"


class _ResultV1(msgspec.Struct):
    errors: tuple[str, ...] = ()


class SshGuests(Guests):
    """Guests that are reached over ssh, computes through their frontend."""

    over_ssh: ClassVar[bool] = True

    def __init__(self, remote: SshClient) -> None:
        self._remote = remote
        self._accepting: set[str] = set()
        """Addresses of nodes that have accepted a login."""
        self._attempts: dict[str, threading.Lock] = {}

    @override
    def reachable(self, node: Node) -> bool:
        return self._remote.reachable(node.address)

    @override
    def learn(self, node: Node) -> None:
        self._remote.learn(node)

    @override
    def finished(self, node: Node, mark: Mark) -> bool:
        return False

    @override
    def answers(self, node: Node, mark: Mark) -> bool:
        # A compute is probed only through a frontend that accepts logins.
        jump = self._remote.jump(node.address)
        return (jump is None or self._accepts_login(jump)) and self._remote.answers(node.address)

    @override
    def login(self, node: Node, mark: Mark) -> str:
        try:
            result = self._remote.run(node.address, ["true"], timeout_s=_LOGIN_S)
        except AccessError as error:
            return error.first_line
        if result.status == 0:
            self._accepting.add(node.address)
            return ""
        return f"the command `true` ended with status {result.status}: {result.stderr.strip()}"

    @override
    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Callable[[], None]) -> str:
        # One connection waits, but it may break: guests may restart their network.
        end = time.monotonic() + limit_s
        while True:
            try:
                result = self._remote.run(
                    node.address, ["sh", "-c", _WAIT_SCRIPT], timeout_s=max(1.0, end - time.monotonic()), tick=tick
                )
            except AccessError:
                if time.monotonic() >= end:
                    raise
                tick()
                time.sleep(1.0)
                continue
            error = _cloud_init_error(result.stdout)
            if result.status == SETUP_FAILED and not error:
                return f"users or disks could not be set up: {result.stderr.strip()}"
            return error

    @override
    def diagnosis(self, node: Node) -> tuple[str, ...]:
        if node.address not in self._accepting:
            return ()
        try:
            result = self._remote.run(node.address, ["sh", "-c", _DIAGNOSIS_SCRIPT], timeout_s=_DIAGNOSIS_S)
        except AccessError:
            return ()
        return tuple(result.stdout.decode(errors="replace").splitlines())

    @override
    def update(self, node: Node, mark: Mark, files: Sequence[GuestFile]) -> None:
        result = self._run_with_retries(node, ["sh", "-c", INSTALL_SCRIPT], live_tar(files))
        if result.status != 0:
            raise AccessError(
                "A node could not be updated",
                f"{node.name}: the install command ended with status {result.status}: {result.stderr.strip()}",
            )

    def _run_with_retries(self, node: Node, argv: Sequence[str], stdin: bytes) -> CommandResult:
        """Run the idempotent command ``argv`` on a running guest, which may be too busy to accept the first connection."""
        for pause_s in _PAUSES_S:
            try:
                return self._remote.run(node.address, argv, stdin=stdin, timeout_s=_UPDATE_S)
            except HostKeyError:
                raise
            except AccessError:
                time.sleep(pause_s)
        return self._remote.run(node.address, argv, stdin=stdin, timeout_s=_UPDATE_S)

    def _accepts_login(self, frontend: str) -> bool:
        """True if ``frontend`` accepts logins. Only one thread tries at a time, to spare a booting guest."""
        if frontend in self._accepting:
            return True
        attempt = self._attempts.setdefault(frontend, threading.Lock())
        if not attempt.acquire(blocking=False):
            return False
        try:
            if not self._remote.answers(frontend):
                return False
            try:
                result = self._remote.run(frontend, ["true"], timeout_s=_LOGIN_S)
            except AccessError:
                return False
            if result.status == 0:
                self._accepting.add(frontend)
            return result.status == 0
        finally:
            attempt.release()


def _cloud_init_error(result: bytes) -> str:
    """The errors in cloud-init's ``result.json``; empty if there are none."""
    if result.strip() == b"absent":
        return "the image has no cloud-init; write `readiness: ssh` for clusters that boot from it"
    if result.strip() == b"disabled":
        return ""
    try:
        errors = msgspec.json.decode(result, type=_Result).v1.errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"its result file cannot be read: {result[:200]!r}"
    return "; ".join(errors)
