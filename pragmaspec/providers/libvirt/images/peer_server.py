"""What a host runs to hand files of its pool to a neighbour: sent there as text, so with Python's standard library alone.

Standard input: one line of JSON, ``identity`` (PEM of a private key and its certificate) and ``parts``, each with the ``path``
that it is asked for by, its ``size`` in bytes, and ``files``: where it is, by preference; one alone is whole, of several the last
is still coming, and grows. It prints the address and port where it listens, and ends when standard input does, or when nothing
has been taken for a while. Nothing of what it is told is written to a disk, printed, or shown in a list of processes.
"""

import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

CHUNK_BYTES = 2**20
SILENT_S = 30.0
"""A neighbour that takes nothing for so long is gone, and so is whatever was to come and does not."""
POLL_S = 0.05
IDLE_S = 120.0
"""When nobody has taken anything for so long, who asked for this is gone: its machine died, or the way to it."""
NO_ADDRESS = 72


class ServedFile:
    """A file of known size, of which perhaps not all is there yet."""

    def __init__(self, size: int, files: "list[str]") -> None:
        self.size = size
        self._files = files
        # What is whole may be removed meanwhile. What is coming gets its name at the end, and may begin anew before.
        self._kept = os.open(files[0], os.O_RDONLY) if len(files) == 1 else None

    def pieces(self) -> "Iterator[bytes]":
        """Its bytes in order, as they arrive; fewer when no more arrive."""
        at, until = 0, time.monotonic() + SILENT_S
        while at < self.size and time.monotonic() < until:
            piece = self._piece(at)
            if not piece:
                time.sleep(POLL_S)
                continue
            yield piece
            at, until = at + len(piece), time.monotonic() + SILENT_S

    def _piece(self, at: int) -> bytes:
        """What is there by now from ``at`` on, at most a chunk."""
        count = min(CHUNK_BYTES, self.size - at)
        if self._kept is not None:
            return os.pread(self._kept, count, at)
        for name in self._files:
            with suppress(FileNotFoundError), open(name, "rb", buffering=0) as file:  # noqa: PTH123 - a path less to import
                return os.pread(file.fileno(), count, at)
        return b""


class PeerServer(ThreadingTCPServer):
    """Answers GET of ``parts`` (by path) over TLS, several at once."""

    daemon_threads = True

    def __init__(self, address: str, tls: ssl.SSLContext, parts: "dict[str, ServedFile]") -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), PeerRequest)
        self.parts = parts
        self.moved = time.monotonic()
        self._tls = tls

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as inherited
        """Runs in a thread of its own, so that whoever connects and says nothing keeps nobody waiting."""
        request.settimeout(SILENT_S)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever broke off, or tried without knowing the certificate, is no concern of ours."""


class PeerRequest(BaseHTTPRequestHandler):
    """One part, from its beginning to its end."""

    server: PeerServer

    def do_GET(self) -> None:
        """A path that nobody was told of is not there."""
        part = self.server.parts.get(self.path)
        if part is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(part.size))
        self.end_headers()
        for piece in part.pieces():
            self.wfile.write(piece)
            self.server.moved = time.monotonic()

    def log_message(self, *_: object) -> None:
        """Paths are secrets."""


def main() -> None:
    """Serve until standard input ends."""
    told = json.loads(sys.stdin.readline())
    # The local end of the connection that brought us here: an address of this host that others know to reach it by.
    reached = os.environ.get("SSH_CONNECTION", "").split()
    if len(reached) < 3:  # noqa: PLR2004 - whence, port, where
        sys.exit(NO_ADDRESS)
    parts = {part["path"]: ServedFile(part["size"], part["files"]) for part in told["parts"]}
    server = PeerServer(reached[2], _tls(told["identity"]), parts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=_watch, args=(server,), daemon=True).start()
    sys.stdout.write(f"{reached[2]} {server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


def _watch(server: PeerServer) -> None:
    while time.monotonic() < server.moved + IDLE_S:
        time.sleep(1)
    os._exit(0)


def _tls(identity: str) -> ssl.SSLContext:
    """The ssl module reads keys from files only; this one is in memory, and nobody else's."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    memory = os.memfd_create("identity")
    os.write(memory, identity.encode())
    tls.load_cert_chain(f"/proc/self/fd/{memory}")
    os.close(memory)
    return tls


if __name__ == "__main__":
    main()
