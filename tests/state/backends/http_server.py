"""A real HTTP server that keeps states in Terraform's protocol, in three manners.

``gitlab``: as GitLab's ``lib/api/terraform/state.rb`` does it: credentials, all seven lock fields required, a top-level integer
``serial`` that is taken once, 409 for conflicts. ``plain``: LOCK and UNLOCK at the address, 423 for conflicts, the lock's ID is
checked at each write, strong ETags with If-Match. ``careless``: the least that the protocol asks: nothing is checked at a write.
"""

import json
import ssl
import threading
from base64 import b64encode
from contextlib import suppress
from functools import partial
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

USERNAME, PASSWORD = "anna", "canary-of-the-http-server"
LOCK_FIELDS = {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}


_md5 = partial(md5, usedforsecurity=False)


class Kept:
    """One state on the server: what stands, what was written (GitLab's versions), and who holds the lock."""

    def __init__(self) -> None:
        self.body = b""
        self.serials: set[int] = set()
        self.lock: bytes | None = None
        self.writes = 0

    @property
    def lock_id(self) -> str:
        try:
            return str(json.loads(self.lock or b"{}").get("ID", ""))
        except (ValueError, AttributeError):
            return ""


class StateServer:
    """Runs in a thread between ``with`` and its end; ``url(name)`` is where a state of that name lives."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.states: dict[str, Kept] = {}
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def secured(self, certificate: Path) -> None:
        """Speak TLS, with the certificate and key in that file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def prefix(self) -> str:
        return "/api/v4/projects/7/terraform/state/" if self.manner == "gitlab" else "/states/"

    def url(self, name: str, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}{self.prefix}{name}"

    @property
    def environment(self) -> dict[str, str]:
        if self.manner != "gitlab":
            return {}
        return {"PRAGMASPEC_HTTP_USERNAME": USERNAME, "PRAGMASPEC_HTTP_PASSWORD": PASSWORD}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: StateServer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        with suppress(ConnectionError), self.owner.lock:
            self.owner.requests.append((self.command, self.path))
            self._decide(body)

    def _decide(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if not parts.path.startswith(self.owner.prefix):
            self._say(404, b'{"message":"404 Project Not Found"}' if self.owner.manner == "gitlab" else b"<html>")
            return
        if body and self.headers.get("Content-MD5") != b64encode(_md5(body).digest()).decode():
            self._say(400, b"bad digest")
            return
        name = parts.path.removeprefix(self.owner.prefix)
        if self.owner.manner == "gitlab":
            self._gitlab(name, parse_qs(parts.query), body)
        else:
            self._plain(name, parse_qs(parts.query), body)

    def _plain(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        kept = self.owner.states.setdefault(name, Kept())
        careless = self.owner.manner == "careless"
        etag = "" if careless or not kept.body else f'"{_md5(kept.body).hexdigest()}"'
        if self.command == "GET":
            if etag and self.headers.get("If-None-Match") == etag:
                self._say(304, b"")
            else:
                self._say(200 if kept.body else 404, kept.body, etag)
        elif self.command == "LOCK":
            self._lock(kept, body, 423)
        elif self.command == "UNLOCK":
            self._unlock(kept, body, 423)
        elif self.command == "POST":
            self._plain_write(kept, query.get("ID", [""])[0], body, etag, careless=careless)
        elif self.command == "DELETE":
            kept.body = b""
            self._say(200, b"")
        else:
            self._say(405, b"")

    def _plain_write(self, kept: Kept, lock_id: str, body: bytes, etag: str, *, careless: bool) -> None:
        if not careless and kept.lock is not None and lock_id != kept.lock_id:
            self._say(423, kept.lock)
        elif etag and self.headers.get("If-Match", etag) != etag:
            self._say(412, b"")
        else:
            kept.body, kept.writes = body, kept.writes + 1
            self._say(200, b"", "" if careless else f'"{_md5(body).hexdigest()}"')

    def _gitlab(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        wanted = "Basic " + b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._say(401, b'{"message":"401 Unauthorized"}')
            return
        name, _, lock = name.partition("/")
        kept = self.owner.states.get(name)
        if lock:
            self._gitlab_lock(self.owner.states.setdefault(name, Kept()), body)
        elif self.command == "GET":
            self._say(404 if kept is None else 200 if kept.body else 204, kept.body if kept else b"")
        elif self.command == "POST":
            self._gitlab_write(self.owner.states.setdefault(name, Kept()), query, body)
        elif self.command == "DELETE":
            self.owner.states.pop(name, None)
            self._say(200, b"")
        else:
            self._say(405, b"")

    def _gitlab_lock(self, kept: Kept, body: bytes) -> None:
        if self.command == "POST":
            if not set(json.loads(body)) >= LOCK_FIELDS or len(json.loads(body)["ID"]) > 255:
                self._say(400, b'{"error":"ID is missing"}')
            else:
                self._lock(kept, body, 409)
        elif self.command == "DELETE":
            self._unlock(kept, body, 409)
        else:
            self._say(405, b"")

    def _gitlab_write(self, kept: Kept, query: dict[str, list[str]], body: bytes) -> None:
        document = json.loads(body) if body else None
        if kept.lock is not None and query.get("ID", [""])[0] != kept.lock_id:
            self._say(409, kept.lock)
        elif document is None:
            self._say(204, b"")
        elif not isinstance(document.get("serial"), int) or {"ID", "id", "name"} & set(document):
            self._say(422, b'{"message":"serial"}')
        elif document["serial"] in kept.serials:
            self._say(422, b'{"message":{"version":["has already been taken"]}}')
        else:
            kept.serials.add(document["serial"])
            kept.body, kept.writes = body, kept.writes + 1
            self._say(200, b"")

    def _lock(self, kept: Kept, body: bytes, conflict: int) -> None:
        if kept.lock is None:
            kept.lock = body
            self._say(200, b"")
        else:
            self._say(conflict, kept.lock)

    def _unlock(self, kept: Kept, body: bytes, conflict: int) -> None:
        lock_id = json.loads(body).get("ID", "") if body else ""
        if kept.lock is not None and lock_id and lock_id != kept.lock_id:
            self._say(conflict, kept.lock)
        else:
            kept.lock = None
            self._say(200, b"")

    def _say(self, status: int, body: bytes, etag: str = "") -> None:
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in {204, 304}:
            self.wfile.write(body)
