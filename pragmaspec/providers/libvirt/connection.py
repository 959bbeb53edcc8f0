"""One connection to one libvirt daemon: opened when first needed, within a limit, watched, and opened again after it broke."""

import threading
from contextlib import suppress
from functools import cache

import libvirt

from pragmaspec.errors import Problem, SiteUnreachableError
from pragmaspec.providers.libvirt.failures import as_site_error

OPEN_LIMIT_S = 8.0
KEEPALIVE_S = 3
KEEPALIVE_COUNT = 2
"""A daemon that is silent for KEEPALIVE_S * (KEEPALIVE_COUNT + 1) = 9 s is given up, and every call under way fails."""


class Connection:
    """A shared, thread-safe handle on the daemon at ``uri``."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._handle: libvirt.virConnect | None = None

    @property
    def is_pretended(self) -> bool:
        """Whether this is libvirt's in-process test driver: definitions in memory, no disks, consoles or guests.

        The one place that knows it; what is left out there: contents and growth of volumes, and probing.
        """
        return self.uri.partition(":")[0] == "test"

    def handle(self) -> libvirt.virConnect:
        """The open connection. Raises SiteUnreachableError when the daemon does not answer within OPEN_LIMIT_S."""
        with self._lock:
            if self._handle is not None and not self._alive(self._handle):
                _close(self._handle)
                self._handle = None
            if self._handle is None:
                self._handle = _opened(self.uri, watch=not self.is_pretended)
            return self._handle

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._handle is not None:
                _close(self._handle)
                self._handle = None

    @staticmethod
    def _alive(handle: libvirt.virConnect) -> bool:
        try:
            return bool(handle.isAlive())
        except libvirt.libvirtError:
            return False


@cache
def event_loop() -> threading.Thread:
    """The thread that turns libvirt's event loop, one a process: keepalive and consoles need it. Also silences libvirt.

    libvirt prints every error on stderr unless told otherwise; ours go through the error table.
    """
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_turn_for_ever, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _turn_for_ever() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _opened(uri: str, *, watch: bool) -> libvirt.virConnect:
    """Open on another thread, because libvirt itself waits for a silent daemon without limit."""
    event_loop()
    outcome: list[libvirt.virConnect | libvirt.libvirtError] = []
    given_up = threading.Event()

    def work() -> None:
        try:
            handle = libvirt.open(_without_prompts(uri))
            if watch:
                handle.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
        except libvirt.libvirtError as error:
            outcome.append(error)
            return
        outcome.append(handle)
        if given_up.is_set():
            _close(handle)

    thread = threading.Thread(target=work, name="libvirt-open", daemon=True)
    thread.start()
    thread.join(OPEN_LIMIT_S)
    if not outcome:
        given_up.set()
        raise SiteUnreachableError(
            Problem(
                summary="The site does not answer",
                detail=f"{uri} accepted no connection within {OPEN_LIMIT_S:g} s. Check that the host is up and that its libvirt "
                f"daemon is not stuck: virsh -c {uri} version",
            )
        )
    result = outcome[0]
    if isinstance(result, libvirt.libvirtError):
        raise as_site_error(result, f"connect to {uri}") from result
    return result


def _without_prompts(uri: str) -> str:
    """``uri`` so that ssh fails instead of asking for a password: nobody may be there to answer (libvirt's ``no_tty``)."""
    scheme = uri.partition(":")[0]
    if not scheme.endswith(("+ssh", "+libssh", "+libssh2")) or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def _close(handle: libvirt.virConnect) -> None:
    with suppress(libvirt.libvirtError):
        handle.close()
