"""What the engine asks of running guests: over ssh, or of a site that only pretends to have guests."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec

from pragmaspec.access.ssh import CommandResult, SshClient
from pragmaspec.clock import Clock
from pragmaspec.errors import AccessError, HostKeyError
from pragmaspec.guest.contract.archive import INSTALL_SCRIPT, live_tar
from pragmaspec.guest.contract.files import GuestFile
from pragmaspec.providers.base import GuestSimulation
from pragmaspec.resources import Mark, Node

Tick = Callable[[], None]
"""Called every second or so while something is waited for; raises to end the waiting."""


class Guests(Protocol):
    """The guests of one site. Methods are called from several threads at once, and wait only as long as they are told."""

    seeded: ClassVar[bool]
    """Whether the guests read a seed."""

    def reachable(self, node: Node) -> bool:
        """Whether there is any way to the guest of ``node``."""
        ...

    def answers(self, node: Node, mark: Mark) -> bool:
        """Whether its address answers."""
        ...

    def login(self, node: Node, mark: Mark) -> str:
        """Empty when one can log in, else why not."""
        ...

    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Tick) -> str:
        """Wait for cloud-init to finish, ``limit_s`` at most (AccessError). Empty when it did without error, else its error."""
        ...

    def diagnosis(self, node: Node) -> tuple[str, ...]:
        """What the guest itself has to say when it does not become ready, a few lines; nothing when it cannot be asked."""
        ...

    def update(self, node: Node, files: Sequence[GuestFile]) -> None:
        """Replace ``files`` of the running guest, all or none. Raises AccessError."""
        ...


_STAGES = ("off", "running", "address", "ssh", "cloud-init")


class SimulatedGuests:
    """Guests that are pretended. They read no seed and keep no files."""

    seeded: ClassVar[bool] = False

    def __init__(self, simulation: GuestSimulation, clock: Clock) -> None:
        self._simulation = simulation
        self._clock = clock

    def reachable(self, node: Node) -> bool:
        """Always."""
        del node
        return True

    def answers(self, node: Node, mark: Mark) -> bool:
        """Whether the pretended address answers."""
        return self._reached(node, mark, "address")

    def login(self, node: Node, mark: Mark) -> str:
        """Empty when one could log in."""
        return "" if self._reached(node, mark, "ssh") else "ssh does not answer"

    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Tick) -> str:
        """Wait until the pretended cloud-init has finished."""
        end = self._clock.monotonic() + limit_s
        pause_s = 0.005
        while not self._reached(node, mark, "cloud-init"):
            if self._clock.monotonic() > end:
                raise AccessError("cloud-init did not finish")
            tick()
            self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        return ""

    def diagnosis(self, node: Node) -> tuple[str, ...]:
        """Nothing: the pretended console says it all."""
        del node
        return ()

    def update(self, node: Node, files: Sequence[GuestFile]) -> None:
        """Nothing to do."""

    def _reached(self, node: Node, mark: Mark, stage: str) -> bool:
        return _STAGES.index(self._simulation.guest_stage(node, mark)) >= _STAGES.index(stage)


_RESULT = "/run/cloud-init/result.json"

_WAIT_SCRIPT = f"""\
if ! command -v cloud-init >/dev/null 2>&1; then echo absent; exit 0; fi
until [ -e {_RESULT} ] || [ -e /run/cloud-init/disabled ]; do sleep 1; done
cat {_RESULT} 2>/dev/null || echo disabled
"""
"""Waits for the file that cloud-init writes last, without starting Python again and again as ``cloud-init status --wait`` does:
where processors are emulated that would slow down the very boot that is waited for."""

_DIAGNOSIS_SCRIPT = "cloud-init status --long 2>&1 | head -n 20; tail -n 15 /var/log/cloud-init-output.log 2>/dev/null"

_LOGIN_S = 30.0
_UPDATE_S = 60.0
_PAUSES_S = (1.0, 3.0)
_DIAGNOSIS_S = 20.0


class _Result(msgspec.Struct):
    v1: "_ResultV1"


class _ResultV1(msgspec.Struct):
    errors: tuple[str, ...] = ()


class SshGuests:
    """Guests that are reached over ssh, computes through their frontend."""

    seeded: ClassVar[bool] = True

    def __init__(self, remote: SshClient) -> None:
        self._remote = remote
        self._open: set[str] = set()
        self._trying: dict[str, threading.Lock] = {}

    def reachable(self, node: Node) -> bool:
        """Whether the node or its frontend has a public address."""
        return self._remote.reachable(node.address)

    def answers(self, node: Node, mark: Mark) -> bool:
        """Whether an ssh server says hello. A compute is only asked when its frontend lets us in, by one of those who wait."""
        del mark
        jump = self._remote.jump(node.address)
        return (jump is None or self._opened(jump)) and self._remote.answers(node.address)

    def login(self, node: Node, mark: Mark) -> str:
        """Empty when ``true`` could be run."""
        del mark
        try:
            done = self._remote.run(node.address, ["true"], timeout_s=_LOGIN_S)
        except AccessError as error:
            return error.first_line
        if done.status == 0:
            self._open.add(node.address)
        return "" if done.status == 0 else f"the command `true` ended with {done.status}: {done.stderr.strip()}"

    def first_boot(self, node: Node, mark: Mark, limit_s: float, tick: Tick) -> str:
        """Wait for cloud-init's result in one connection; a new one when it breaks, for guests may restart their network."""
        del mark
        end = time.monotonic() + limit_s
        while True:
            try:
                done = self._remote.run(
                    node.address, ["sh", "-c", _WAIT_SCRIPT], timeout_s=max(1.0, end - time.monotonic()), tick=tick
                )
            except AccessError:
                if time.monotonic() >= end:
                    raise
                tick()
                time.sleep(1.0)
                continue
            return _cloud_init_error(done.stdout)

    def diagnosis(self, node: Node) -> tuple[str, ...]:
        """cloud-init's own words, if the guest can be asked."""
        if node.address not in self._open:
            return ()
        try:
            done = self._remote.run(node.address, ["sh", "-c", _DIAGNOSIS_SCRIPT], timeout_s=_DIAGNOSIS_S)
        except AccessError:
            return ()
        return tuple(done.stdout.decode(errors="replace").splitlines())

    def update(self, node: Node, files: Sequence[GuestFile]) -> None:
        """Send ``files`` as one archive and put them in place by renames."""
        done = self._insisted(node, ["sh", "-c", INSTALL_SCRIPT], live_tar(files))
        if done.status != 0:
            raise AccessError(
                "The files of a node could not be replaced",
                f"{node.name}: the command that installs them ended with {done.status}: {done.stderr.strip()}",
            )

    def _insisted(self, node: Node, argv: Sequence[str], stdin: bytes) -> CommandResult:
        """Run ``argv``, which may be run twice, on a guest that was there before and may be too busy to say so at once."""
        for pause_s in _PAUSES_S:
            try:
                return self._remote.run(node.address, argv, stdin=stdin, timeout_s=_UPDATE_S)
            except HostKeyError:
                raise
            except AccessError:
                time.sleep(pause_s)
        return self._remote.run(node.address, argv, stdin=stdin, timeout_s=_UPDATE_S)

    def _opened(self, frontend: str) -> bool:
        """Whether ``frontend`` lets us in. Of those who ask at the same time one tries, so that a booting guest has no crowd."""
        if frontend in self._open:
            return True
        trying = self._trying.setdefault(frontend, threading.Lock())
        if not trying.acquire(blocking=False):
            return False
        try:
            if not self._remote.answers(frontend):
                return False
            try:
                done = self._remote.run(frontend, ["true"], timeout_s=_LOGIN_S)
            except AccessError:
                return False
            if done.status == 0:
                self._open.add(frontend)
            return done.status == 0
        finally:
            trying.release()


def _cloud_init_error(result: bytes) -> str:
    """What cloud-init's ``result.json`` complains of; empty for nothing."""
    if result.strip() == b"absent":
        return "the image has no cloud-init; write `readiness: ssh` for clusters that boot from it"
    if result.strip() == b"disabled":
        return ""
    try:
        errors = msgspec.json.decode(result, type=_Result).v1.errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"its result file cannot be read: {result[:200]!r}"
    return "; ".join(errors)
