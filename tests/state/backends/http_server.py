"""An HTTP server for states with Terraform's protocol, in three variants.

``gitlab``, like GitLab's ``lib/api/terraform/state.rb``: credentials, all seven lock fields required, a top-level integer
``serial`` that is accepted once, 409 for conflicts. ``plain``: LOCK and UNLOCK at the address, 423 for conflicts, the lock's ID
is checked by each write, strong ETags with If-Match. ``careless``: the minimum of the protocol, writes are not checked.
"""

import json
import ssl
import threading
from base64 import b64encode
from contextlib import suppress
from functools import partial
from hashlib import md5
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

USERNAME, PASSWORD = "anna", "canary-of-the-http-server"
LOCK_FIELDS = {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}


_md5 = partial(md5, usedforsecurity=False)


class ServerState:
    """One state on the server: its body, the serials written (GitLab's versions), and its lock."""

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


class StateServer(LoopbackServer):
    """Runs in a thread in the ``with`` block; ``url(name)`` is the URL of a state."""

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.states: dict[str, ServerState] = {}
        self.lock = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        super().__init__(_Handler)

    def secured(self, certificate: Path) -> None:
        """Use TLS, with the certificate and key in that file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def prefix(self) -> str:
        return "/api/v4/projects/7/terraform/state/" if self.variant == "gitlab" else "/states/"

    def url(self, name: str, port: int | None = None) -> str:
        return f"http://127.0.0.1:{port or self.port}{self.prefix}{name}"

    @property
    def environment(self) -> dict[str, str]:
        if self.variant != "gitlab":
            return {}
        return {"PRAGMASPEC_HTTP_USERNAME": USERNAME, "PRAGMASPEC_HTTP_PASSWORD": PASSWORD}


class _Handler(LoopbackHandler):
    owner: StateServer

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed while it sent the request
            self.close_connection = True
            return
        with suppress(ConnectionError), self.owner.lock:
            self.owner.requests.append((self.command, self.path))
            self._decide(body)

    def _decide(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if not parts.path.startswith(self.owner.prefix):
            self._respond(404, b'{"message":"404 Project Not Found"}' if self.owner.variant == "gitlab" else b"<html>")
            return
        if body and self.headers.get("Content-MD5") != b64encode(_md5(body).digest()).decode():
            self._respond(400, b"bad digest")
            return
        name = parts.path.removeprefix(self.owner.prefix)
        if self.owner.variant == "gitlab":
            self._gitlab(name, parse_qs(parts.query), body)
        else:
            self._plain(name, parse_qs(parts.query), body)

    def _plain(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        state = self.owner.states.setdefault(name, ServerState())
        careless = self.owner.variant == "careless"
        etag = "" if careless or not state.body else f'"{_md5(state.body).hexdigest()}"'
        if self.command == "GET":
            if etag and self.headers.get("If-None-Match") == etag:
                self._respond(304, b"")
            else:
                self._respond(200 if state.body else 404, state.body, etag)
        elif self.command == "LOCK":
            self._lock(state, body, 423)
        elif self.command == "UNLOCK":
            self._unlock(state, body, 423)
        elif self.command == "POST":
            self._plain_write(state, query.get("ID", [""])[0], body, etag, careless=careless)
        elif self.command == "DELETE":
            state.body = b""
            self._respond(200, b"")
        else:
            self._respond(405, b"")

    def _plain_write(self, state: ServerState, lock_id: str, body: bytes, etag: str, *, careless: bool) -> None:
        if not careless and state.lock is not None and lock_id != state.lock_id:
            self._respond(423, state.lock)
        elif etag and self.headers.get("If-Match", etag) != etag:
            self._respond(412, b"")
        else:
            state.body, state.writes = body, state.writes + 1
            self._respond(200, b"", "" if careless else f'"{_md5(body).hexdigest()}"')

    def _gitlab(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        wanted = "Basic " + b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self._respond(401, b'{"message":"401 Unauthorized"}')
            return
        name, _, lock = name.partition("/")
        state = self.owner.states.get(name)
        if lock:
            self._gitlab_lock(self.owner.states.setdefault(name, ServerState()), body)
        elif self.command == "GET":
            self._respond(404 if state is None else 200 if state.body else 204, state.body if state else b"")
        elif self.command == "POST":
            self._gitlab_write(self.owner.states.setdefault(name, ServerState()), query, body)
        elif self.command == "DELETE":
            self.owner.states.pop(name, None)
            self._respond(200, b"")
        else:
            self._respond(405, b"")

    def _gitlab_lock(self, state: ServerState, body: bytes) -> None:
        if self.command == "POST":
            if not set(json.loads(body)) >= LOCK_FIELDS or len(json.loads(body)["ID"]) > 255:
                self._respond(400, b'{"error":"ID is missing"}')
            else:
                self._lock(state, body, 409)
        elif self.command == "DELETE":
            self._unlock(state, body, 409)
        else:
            self._respond(405, b"")

    def _gitlab_write(self, state: ServerState, query: dict[str, list[str]], body: bytes) -> None:
        document = json.loads(body) if body else None
        if state.lock is not None and query.get("ID", [""])[0] != state.lock_id:
            self._respond(409, state.lock)
        elif document is None:
            self._respond(204, b"")
        elif not isinstance(document.get("serial"), int) or {"ID", "id", "name"} & set(document):
            self._respond(422, b'{"message":"serial"}')
        elif document["serial"] in state.serials:
            self._respond(422, b'{"message":{"version":["has already been taken"]}}')
        else:
            state.serials.add(document["serial"])
            state.body, state.writes = body, state.writes + 1
            self._respond(200, b"")

    def _lock(self, state: ServerState, body: bytes, conflict: int) -> None:
        if state.lock is None:
            state.lock = body
            self._respond(200, b"")
        else:
            self._respond(conflict, state.lock)

    def _unlock(self, state: ServerState, body: bytes, conflict: int) -> None:
        lock_id = json.loads(body).get("ID", "") if body else ""
        if state.lock is not None and lock_id and lock_id != state.lock_id:
            self._respond(conflict, state.lock)
        else:
            state.lock = None
            self._respond(200, b"")

    def _respond(self, status: int, body: bytes, etag: str = "") -> None:
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in {204, 304}:
            self.wfile.write(body)
