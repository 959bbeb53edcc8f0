"""A web server on the loopback interface that serves one file, and does what real servers do wrong when told to."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass
class Asked:
    path: str
    headers: dict[str, str]


@dataclass
class FileServer:
    """``content`` at every path. The switches may be changed between requests; ``asked`` holds the requests so far."""

    content: bytes = b""
    etag: str = '"one"'
    content_type: str = "application/octet-stream"
    break_after: list[int] = field(default_factory=list)
    """For each coming answer the number of bytes after which the connection is cut."""
    status: list[int] = field(default_factory=list)
    """For each coming answer a status to give instead of the file."""
    redirect: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    wrong_range: bool = False
    announce: int | None = None
    encoding: str = ""
    chunked: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "disk.qcow2") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"


class _Server(ThreadingHTTPServer):
    def __init__(self, served: FileServer) -> None:
        self.served = served
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        served = self.server.served
        served.asked.append(Asked(self.path, dict(self.headers.items())))
        if self.path in served.redirect:
            self._head(302, {"Location": served.redirect[self.path], "Content-Length": "0"})
        elif served.status:
            self._head(served.status.pop(0), {"Content-Length": "0"})
        else:
            self._file(served)

    def _file(self, served: FileServer) -> None:
        start = self._start(served)
        headers = {"Content-Type": served.content_type}
        if served.etag:
            headers["ETag"] = served.etag
        if served.encoding:
            headers["Content-Encoding"] = served.encoding
        if start is not None:
            if start > len(served.content):
                return self._head(416, {"Content-Length": "0"})
            first = 0 if served.wrong_range else start
            headers["Content-Range"] = f"bytes {first}-{len(served.content) - 1}/{len(served.content)}"
        body = served.content[start or 0 :]
        if served.chunked:
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(len(body) if served.announce is None else served.announce)
        self._head(200 if start is None else 206, headers)
        cut = served.break_after.pop(0) if served.break_after else None
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None or served.announce is not None or served.chunked:
            self.close_connection = True
        return None

    def _start(self, served: FileServer) -> int | None:
        asked = self.headers.get("Range", "")
        if asked and served.ranges and self.headers.get("If-Range") in {None, served.etag}:
            return int(asked.removeprefix("bytes=").rstrip("-"))
        return None

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass
