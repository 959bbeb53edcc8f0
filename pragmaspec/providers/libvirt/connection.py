"""Connections to one libvirt daemon: opened on first use, within a limit, monitored, and reopened after a failure."""

import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import libvirt

from pragmaspec.errors import SiteUnreachableError
from pragmaspec.providers.libvirt.errors import ErrorKind, as_site_error, kind_of
from pragmaspec.text import capitalized

OPEN_LIMIT_S = 8.0
KEEPALIVE_S = 3
KEEPALIVE_COUNT = 2
"""A daemon that does not respond for KEEPALIVE_S * (KEEPALIVE_COUNT + 1) = 9 s is given up, and every pending call fails."""

CALLS_AT_ONCE = 4
"""Threads that share a connection. A daemon serves five requests per client at a time (``max_client_requests`` in
libvirtd.conf), keep-alives included: with a fifth slow call it answers none of them, and disconnects the client as dead."""


class Connection:
    """Thread-safe access to the daemon at ``uri``: a few connections, each shared by a few threads.

    ``title`` names the daemon in errors; the URI by default.
    """

    def __init__(self, uri: str, title: str = "") -> None:
        self.uri = uri
        self._title = title or uri
        self._lock = threading.Lock()
        self._connections: list[_SharedConnection] = []
        self._of_thread = threading.local()

    @property
    def is_test_driver(self) -> bool:
        """True for libvirt's in-process test driver: definitions in memory, no disks, consoles or guests.

        Code that depends on it skips: contents and growth of volumes, and probing.
        """
        return _is_test_driver(self.uri)

    def handle(self) -> libvirt.virConnect:
        """The open connection of this thread; always the same one while it lasts.

        Raises SiteUnreachableError when the daemon does not answer within OPEN_LIMIT_S.
        """
        connection: _SharedConnection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._join_connection()
        return connection.handle()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._connections:
                connection.close()

    def _join_connection(self) -> "_SharedConnection":
        with self._lock:
            for connection in self._connections:
                if connection.join():
                    return connection
            connection = _SharedConnection(self.uri, self._title)
            connection.join()
            self._connections.append(connection)
            return connection


class _SharedConnection:
    """One connection, and the threads that share it."""

    def __init__(self, uri: str, title: str) -> None:
        self._uri = uri
        self._title = title
        self._lock = threading.Lock()
        self._handle: libvirt.virConnect | None = None
        self._threads: list[threading.Thread] = []

    def join(self) -> bool:
        """Add the calling thread, and return True, if there are fewer than CALLS_AT_ONCE live threads."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= CALLS_AT_ONCE:
            return False
        self._threads.append(threading.current_thread())
        return True

    def handle(self) -> libvirt.virConnect:
        """The open connection, reopened if it broke."""
        with self._lock:
            if self._handle is not None and not _is_alive(self._handle):
                _close(self._handle)
                self._handle = None
            if self._handle is None:
                self._handle = _open(self._uri, self._title)
            return self._handle

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._handle is not None:
                _close(self._handle)
                self._handle = None


@cache
def event_loop() -> threading.Thread:
    """The thread that runs libvirt's event loop, one per process: keepalive and consoles need it. Also silences libvirt.

    libvirt prints every error on stderr unless an error handler is registered; errors are reported by exceptions here.
    """
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _is_test_driver(uri: str) -> bool:
    return uri.partition(":")[0] == "test"


def _is_alive(handle: libvirt.virConnect) -> bool:
    try:
        return bool(handle.isAlive())
    except libvirt.libvirtError:
        return False


def _open(uri: str, title: str) -> libvirt.virConnect:
    """Open a connection in another thread, because libvirt waits without limit for a daemon that does not respond."""
    event_loop()
    _require_test_host(uri, title)
    outcome: list[libvirt.virConnect | libvirt.libvirtError] = []
    given_up = threading.Event()

    def work() -> None:
        try:
            handle = libvirt.open(_without_prompts(uri))
            if not _is_test_driver(uri):
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
            f"{capitalized(title)} accepted no connection within {OPEN_LIMIT_S:g} s. Check that the host is up and that its "
            f"libvirt daemon is not stuck: virsh -c {uri} version",
        )
    result = outcome[0]
    if isinstance(result, libvirt.libvirtError):
        # Whatever its code, no request was made yet: a URI without meaning is reported as an XML error, or as an internal one.
        kind: ErrorKind = "forbidden" if kind_of(result) == "forbidden" else "unreachable"
        raise as_site_error(result, f"connect to {title}", kind=kind) from result
    return result


def _require_test_host(uri: str, title: str) -> None:
    """Raise SiteUnreachableError for a test driver without its file: libvirt's XML parser would complain on stderr."""
    path = uri.partition("://")[2].partition("?")[0]
    if uri.startswith("test:///") and path != "/default" and not Path(path).is_file():
        raise SiteUnreachableError(
            "The site does not answer",
            f"Could not connect to {title}: there is no file {path}. Write test:///default for libvirt's own "
            "test host, or the path of a file that describes one.",
        )


def _without_prompts(uri: str) -> str:
    """Return ``uri`` with libvirt's ``no_tty``, so that ssh fails instead of prompting for a password."""
    scheme = uri.partition(":")[0]
    if not scheme.endswith(("+ssh", "+libssh", "+libssh2")) or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def _close(handle: libvirt.virConnect) -> None:
    with suppress(libvirt.libvirtError):
        handle.close()
