"""Connections to one libvirt daemon: opened when first needed, within a limit, watched, and opened again after they broke."""

import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import libvirt

from pragmaspec.errors import SiteUnreachableError
from pragmaspec.providers.libvirt.errors import ErrorKind, as_site_error, kind_of

OPEN_LIMIT_S = 8.0
KEEPALIVE_S = 3
KEEPALIVE_COUNT = 2
"""A daemon that is silent for KEEPALIVE_S * (KEEPALIVE_COUNT + 1) = 9 s is given up, and every call under way fails."""


CALLS_AT_ONCE = 4
"""Threads that share a connection. A daemon takes five requests of one client at a time (``max_client_requests`` in
libvirtd.conf), keep-alives included: with a fifth slow call none is answered, and it hangs up on a client it takes for dead."""


class Connection:
    """A thread-safe handle on the daemon at ``uri``: a few connections, each shared by a few threads.

    ``title`` is what people are told did not answer; without it, the URI.
    """

    def __init__(self, uri: str, title: str = "") -> None:
        self.uri = uri
        self._title = title or uri
        self._lock = threading.Lock()
        self._lines: list[_Line] = []
        self._seat = threading.local()

    @property
    def is_pretended(self) -> bool:
        """Whether this is libvirt's in-process test driver: definitions in memory, no disks, consoles or guests.

        The one place that knows it; what is left out there: contents and growth of volumes, and probing.
        """
        return _is_pretended(self.uri)

    def handle(self) -> libvirt.virConnect:
        """The open connection of this thread; always the same one, as long as it lives.

        Raises SiteUnreachableError when the daemon does not answer within OPEN_LIMIT_S.
        """
        line: _Line | None = getattr(self._seat, "line", None)
        if line is None:
            line = self._seat.line = self._line_with_room()
        return line.handle()

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            for line in self._lines:
                line.close()

    def _line_with_room(self) -> "_Line":
        with self._lock:
            for line in self._lines:
                if line.seat():
                    return line
            line = _Line(self.uri, self._title)
            line.seat()
            self._lines.append(line)
            return line


class _Line:
    """One connection, and the threads that share it."""

    def __init__(self, uri: str, title: str) -> None:
        self._uri = uri
        self._title = title
        self._lock = threading.Lock()
        self._handle: libvirt.virConnect | None = None
        self._threads: list[threading.Thread] = []

    def seat(self) -> bool:
        """Whether the calling thread has got a place here. Threads that have ended hold none."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= CALLS_AT_ONCE:
            return False
        self._threads.append(threading.current_thread())
        return True

    def handle(self) -> libvirt.virConnect:
        """The open connection, opened anew if it broke."""
        with self._lock:
            if self._handle is not None and not self._alive(self._handle):
                _close(self._handle)
                self._handle = None
            if self._handle is None:
                self._handle = _opened(self._uri, self._title)
            return self._handle

    def close(self) -> None:
        """Let go of it."""
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


def _is_pretended(uri: str) -> bool:
    return uri.partition(":")[0] == "test"


def _opened(uri: str, title: str) -> libvirt.virConnect:
    """Open on another thread, because libvirt itself waits for a silent daemon without limit."""
    event_loop()
    _require_pretence(uri, title)
    outcome: list[libvirt.virConnect | libvirt.libvirtError] = []
    given_up = threading.Event()

    def work() -> None:
        try:
            handle = libvirt.open(_without_prompts(uri))
            if not _is_pretended(uri):
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
            "The site does not answer",
            f"{title[0].upper()}{title[1:]} accepted no connection within {OPEN_LIMIT_S:g} s. Check that the host is "
            f"up and that its libvirt daemon is not stuck: virsh -c {uri} version",
        )
    result = outcome[0]
    if isinstance(result, libvirt.libvirtError):
        # Whatever libvirt calls it, nothing was asked yet: a URI without meaning comes as an XML error, or as an internal one.
        kind: ErrorKind = "forbidden" if kind_of(result) == "forbidden" else "unreachable"
        raise as_site_error(result, f"connect to {title}", kind=kind) from result
    return result


def _require_pretence(uri: str, title: str) -> None:
    """The test driver reads what it pretends from a file; its XML parser would write on stderr that there is none."""
    path = uri.partition("://")[2].partition("?")[0]
    if uri.startswith("test:///") and path != "/default" and not Path(path).is_file():
        raise SiteUnreachableError(
            "The site does not answer",
            f"Could not connect to {title}: there is no file {path}. Write test:///default for libvirt's own "
            "pretended host, or the path of a file that describes one.",
        )


def _without_prompts(uri: str) -> str:
    """``uri`` so that ssh fails instead of asking for a password: nobody may be there to answer (libvirt's ``no_tty``)."""
    scheme = uri.partition(":")[0]
    if not scheme.endswith(("+ssh", "+libssh", "+libssh2")) or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def _close(handle: libvirt.virConnect) -> None:
    with suppress(libvirt.libvirtError):
        handle.close()
