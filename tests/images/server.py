"""A web server on the loopback interface that serves one file, and does what real servers do wrong when told to."""

import threading
from collections.abc import Callable
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
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(lambda: self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, path: str = "disk.qcow2") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{path}"


def _handler(served: Callable[[], FileServer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server = served()
            server.asked.append(Asked(self.path, dict(self.headers.items())))
            if self.path in server.redirect:
                self._head(302, {"Location": server.redirect[self.path], "Content-Length": "0"})
            elif server.status:
                self._head(server.status.pop(0), {"Content-Length": "0"})
            else:
                self._file(server)

        def _file(self, server: FileServer) -> None:
            start, status, headers = 0, 200, {"Content-Type": server.content_type}
            if server.etag:
                headers["ETag"] = server.etag
            asked = self.headers.get("Range", "")
            if asked and server.ranges and self.headers.get("If-Range") in {None, server.etag}:
                start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
                if start > len(server.content):
                    return self._head(416, {"Content-Length": "0"})
                first = 0 if server.wrong_range else start
                headers["Content-Range"] = f"bytes {first}-{len(server.content) - 1}/{len(server.content)}"
            body = server.content[start:]
            headers["Content-Length"] = str(len(body) if server.announce is None else server.announce)
            if server.encoding:
                headers["Content-Encoding"] = server.encoding
            if server.chunked:
                del headers["Content-Length"]
                headers["Connection"] = "close"
            self._head(status, headers)
            cut = server.break_after.pop(0) if server.break_after else None
            self.wfile.write(body if cut is None else body[:cut])
            if cut is not None or server.announce is not None or server.chunked:
                self.close_connection = True
            return None

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

    return Handler
