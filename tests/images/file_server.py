"""A web server on the loopback interface that serves one file, with the faults of real servers on request."""

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class FileServer:
    """Serves ``content`` at every path for which ``gate``, a protocol's server side, returns None instead of its own reply.

    All attributes may be changed between requests. ``asked`` records the requests.
    """

    content: bytes = b""
    gate: Callable[[Asked], Reply | None] | None = None
    tls: ssl.SSLContext | None = None
    modified: str = ""
    """Last-Modified of the file."""
    drip_s: float = 0
    """Pause before each byte."""
    endless: bool = False
    """Send data without end and without announcing a length."""
    stall_at: int = 0
    """Number of bytes after which the server waits for ``go_on``."""
    go_on: threading.Event = field(default_factory=threading.Event)
    condition: str = "If-Range"
    """The condition header that this server honours."""
    etag: str = '"one"'
    content_type: str = "application/octet-stream"
    break_after: list[int] = field(default_factory=list)
    """Per response: number of bytes after which the connection is closed."""
    status: list[int] = field(default_factory=list)
    """Per response: a status to send instead of the file."""
    redirect: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    wrong_range: bool = False
    announce: int | None = None
    encoding: str = ""
    chunked: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def url(self, path: str = "disk.qcow2") -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/{path}"


class _Server(ThreadingHTTPServer):
    def __init__(self, served: FileServer) -> None:
        self.served = served
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _serve(self, body: bytes = b"") -> None:
        served = self.server.served
        asked = Asked(self.path, dict(self.headers.items()), self.command, body)
        served.asked.append(asked)
        reply = served.gate(asked) if served.gate else None
        if reply is not None:
            self._head(reply.status, {"Content-Length": str(len(reply.body)), **reply.headers})
            self.wfile.write(reply.body)
        elif self.path in served.redirect:
            self._head(302, {"Location": served.redirect[self.path], "Content-Length": "0"})
        elif served.status:
            self._head(served.status.pop(0), {"Content-Length": "0"})
        else:
            self._file(served)

    def _file(self, served: FileServer) -> None:
        if served.etag and self.headers.get("If-None-Match") == served.etag:
            return self._head(304, {"ETag": served.etag})
        if self.headers.get("If-Match") not in {None, served.etag}:
            return self._head(412, {"Content-Length": "0"})
        start = self._start(served)
        headers = {"Content-Type": served.content_type}
        if served.modified:
            headers["Last-Modified"] = served.modified
        if served.etag:
            headers["ETag"] = served.etag
        if served.encoding:
            headers["Content-Encoding"] = served.encoding
        if start is not None:
            if start >= len(served.content):
                return self._head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(served.content)}"})
            first = 0 if served.wrong_range else start
            headers["Content-Range"] = f"bytes {first}-{len(served.content) - 1}/{len(served.content)}"
        body = served.content[start or 0 :]
        if served.chunked or served.endless:
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(len(body) if served.announce is None else served.announce)
        self._head(200 if start is None else 206, headers)
        cut = served.break_after.pop(0) if served.break_after else None
        self._send(served, body if cut is None else body[:cut])
        if cut is not None or served.announce is not None or served.chunked or served.endless:
            self.close_connection = True
        return None

    def _send(self, served: FileServer, body: bytes) -> None:
        if served.drip_s:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(served.drip_s)
        elif served.stall_at:
            self.wfile.write(body[: served.stall_at])
            served.go_on.wait(60)
            self.wfile.write(body[served.stall_at :])
        else:
            self.wfile.write(body)
        while served.endless:
            self.wfile.write(bytes(2**16))

    def _start(self, served: FileServer) -> int | None:
        asked = self.headers.get("Range", "")
        held = self.headers.get(served.condition) if served.condition else None
        if asked and served.ranges and held in {None, served.etag}:
            return int(asked.removeprefix("bytes=").rstrip("-"))
        return None

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass
