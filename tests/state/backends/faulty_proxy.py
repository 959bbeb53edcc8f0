"""An HTTP proxy between a backend and its server that injects faults into chosen requests."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection

from tests.loopback_server import LoopbackHandler, LoopbackServer

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "expect"}


@dataclass
class Fault:
    """A fault of the next ``times`` requests that ``chosen`` selects by method and path.

    ``kind``: ``lost`` (not forwarded, connection closed), ``lost-response`` (forwarded, connection closed), ``late``
    (connection closed; forwarded by :meth:`FaultyProxy.deliver`), ``duplicate`` (forwarded twice, the second response is
    returned), ``truncate`` (half of the response), ``say`` (``status`` and ``body`` are returned, nothing is forwarded),
    ``say-after`` (forwarded, then the same).
    """

    kind: str
    chosen: Callable[[str, str], bool]
    times: int = 1
    status: int = 0
    body: bytes = b""
    met: int = field(default=0)


class FaultyProxy(LoopbackServer):
    """Forwards to ``127.0.0.1:upstream`` in the ``with`` block."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self._late: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        super().__init__(_Handler)

    def on(self, kind: str, chosen: Callable[[str, str], bool], times: int = 1, status: int = 0, body: bytes = b"") -> Fault:
        fault = Fault(kind, chosen, times, status, body)
        self.faults.append(fault)
        return fault

    def deliver(self) -> None:
        """Deliver the requests that were delayed."""
        late, self._late = self._late, []
        for request in late:
            request()

    def pick(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.seen.append((method, path))
            for fault in self.faults:
                if fault.met < fault.times and fault.chosen(method, path):
                    fault.met += 1
                    return fault
        return None

    def hold_back(self, request: Callable[[], None]) -> None:
        self._late.append(request)


class _Handler(LoopbackHandler):
    owner: FaultyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fault = self.owner.pick(self.command, self.path)
        with suppress(ConnectionError):
            self._answer(fault, body)

    def _answer(self, fault: Fault | None, body: bytes) -> None:
        kind = fault.kind if fault else ""
        if kind == "late":
            method, path, headers = self.command, self.path, dict(self.headers)
            self.owner.hold_back(lambda: _forward(self.owner.upstream, method, path, headers, body) and None)
        if kind in {"lost", "late"}:
            self.close_connection = True
            return
        if fault is not None and kind == "say":
            self._say(fault.status, {}, fault.body)
            return
        if kind == "duplicate":
            self._forward(body)
        status, headers, found = self._forward(body)
        if kind == "lost-response":
            self.close_connection = True
        elif fault is not None and kind == "say-after":
            self._say(fault.status, {}, fault.body)
        else:
            self._say(status, headers, found, cut=kind == "truncate")

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return _forward(self.owner.upstream, self.command, self.path, dict(self.headers), body)

    def _say(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        bare = status in {204, 304} or self.command == "HEAD"
        if not bare or "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not bare:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True


def _forward(port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = {name: value for name, value in headers.items() if name.lower() not in _HOP}
        connection.request(method, path, body=body or None, headers=sent)
        response = connection.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP - {"date"}}
        return response.status, kept, response.read()
    finally:
        connection.close()
