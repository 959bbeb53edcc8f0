"""An HTTP proxy in front of all services of a cloud, which counts requests and injects faults into chosen ones.

The answers of the services name their addresses (the catalogue, documents of versions): the proxy replaces these by its own, so
that everything passes through it.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

KINDS = (
    "lost",
    "lost-answer",
    "late-request",
    "double",
    "truncated",
    "not-json",
    "401",
    "409",
    "413",
    "429",
    "500",
    "500-after",
    "502",
    "503",
    "503-bare",
    "slow-request",
    "slow-answer",
)
"""``lost``: the connection is closed, and nothing is forwarded. ``lost-answer``: forwarded, then closed. ``late-request``:
closed, and forwarded some seconds later. ``double``: forwarded twice at once; the later answer is returned. ``truncated``,
``not-json``: forwarded, and the answer is damaged. A status: returned without forwarding, of 413, 429 and 503 with
``Retry-After``. ``500-after``: forwarded, then 500. ``slow-…``: a pause before forwarding, or before the answer."""
UNDONE = "undone"
"""Accepted with 202, and not forwarded: an action that a service accepts and fails to carry out."""

_LATE_S = 3.0
_SLOW_S = 2.0
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "accept-encoding", "host"})
_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_RETRY_AFTER = frozenset({"413", "429", "503"})
_UPSTREAM_LIMIT_S = 120
_BODILESS = frozenset({204, 304})


class Call(NamedTuple):
    """The ``nth`` request (from 0) since :meth:`CloudProxy.inject` with this method and path; ids are replaced by ``ID``."""

    method: str
    path: str
    nth: int

    @property
    def kind(self) -> tuple[str, str]:
        """The call without its number."""
        return self.method, self.path


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


Chooser = Callable[[Call], str | None]
"""Returns the kind of fault for a call, or None."""


class CloudProxy(LoopbackServer):
    """Forwards ``/SERVICE/…`` to the address of the service in the ``with`` block. ``services``: addresses without path."""

    def __init__(self, services: Mapping[str, str]) -> None:
        self.services = services
        self.calls: list[Call] = []
        self.faults: list[tuple[Call, str]] = []
        self.tokens: set[str] = set()
        """Every token that was seen."""
        self._choose: Chooser = lambda _: None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        super().__init__(_Handler)
        self.url = f"http://127.0.0.1:{self.port}"

    def inject(self, choose: Chooser) -> None:
        """Ask ``choose`` about every further request, and count from the beginning."""
        with self._lock:
            self._choose = choose
            self._counts.clear()
            self.calls, self.faults = [], []

    def settle(self) -> None:
        """Wait until late requests have been forwarded."""
        late, self._late = self._late, []
        for thread in late:
            thread.join()

    def pick(self, method: str, target: str) -> str | None:
        """Record a request, and return its fault."""
        path = _ID.sub("ID", target.partition("?")[0])
        with self._lock:
            call = Call(method, path, self._counts[method, path])
            self._counts[method, path] += 1
            kind = self._choose(call)
            self.calls.append(call)
            if kind is not None:
                self.faults.append((call, kind))
        return kind

    def later(self, forward: Callable[[], object]) -> None:
        """Forward a request whose client waits no longer."""

        def run() -> None:
            threading.Event().wait(_LATE_S)
            forward()

        thread = threading.Thread(target=run)
        thread.start()
        self._late.append(thread)

    def with_own_addresses(self, body: bytes) -> bytes:
        """Return ``body`` with the proxy's addresses instead of those of the services."""
        for name, address in self.services.items():
            body = body.replace(address.encode(), f"{self.url}/{name}".encode())
        return body

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.settle()


class _Handler(LoopbackHandler):
    owner: CloudProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        kind = self.owner.pick(self.command, self.path)
        with suppress(ConnectionError):
            self._answer(kind or "", body)

    def _answer(self, kind: str, body: bytes) -> None:
        if kind in ("lost", "late-request"):
            if kind == "late-request":
                self.owner.later(self._forwarding(body))
            self.close_connection = True
        elif kind.removesuffix("-bare").isdigit():
            retry = {"Retry-After": "1"} if kind in _RETRY_AFTER else {}
            self._say(_Reply(int(kind.removesuffix("-bare")), retry, b"injected"))
        elif kind == UNDONE:
            self._say(_Reply(202, {}, b""))
        else:
            self._answer_after(kind, body)

    def _answer_after(self, kind: str, body: bytes) -> None:
        forward = self._forwarding(body)
        if kind == "slow-request":
            threading.Event().wait(_SLOW_S)
        if kind == "double":
            with ThreadPoolExecutor(2) as pool:
                replies = [each.result() for each in (pool.submit(forward), pool.submit(forward))]
            reply = replies[1]
        else:
            reply = forward()
        if kind == "lost-answer":
            self.close_connection = True
            return
        if kind == "slow-answer":
            threading.Event().wait(_SLOW_S)
        if kind == "500-after":
            reply = _Reply(500, {}, b"injected")
        if kind == "not-json":
            reply = _Reply(reply.status, reply.headers, b"<html>a page of somebody else</html>")
        self._say(reply, cut=kind == "truncated")

    def _forwarding(self, body: bytes) -> Callable[[], _Reply]:
        owner, method, target = self.owner, self.command, self.path
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        owner.tokens.update(value for name, value in headers.items() if name.lower() == "x-auth-token")

        def forward() -> _Reply:
            reply = _forward(owner.services, method, target, headers, body)
            owner.tokens.update(value for name, value in reply.headers.items() if name.lower() == "x-subject-token")
            return reply._replace(body=owner.with_own_addresses(reply.body))

        return forward

    def _say(self, reply: _Reply, *, cut: bool = False) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        bare = reply.status in _BODILESS or self.command == "HEAD"
        if not bare:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if not bare:
            self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
        if cut:
            self.close_connection = True


def _forward(services: Mapping[str, str], method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Reply:
    service, _, path = target.removeprefix("/").partition("/")
    address = urlsplit(services[service])
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_UPSTREAM_LIMIT_S)
    try:
        connection.request(method, f"/{path}", body=body or None, headers=dict(headers))
        response = connection.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
        return _Reply(response.status, kept, response.read())
    finally:
        connection.close()
