"""The HTTPS server of an offer, run on the hypervisor host. Sent there as text, so it uses only Python's standard library.

Standard input: one line of JSON, ``identity`` (PEM of a private key and its certificate) and ``parts``, each with its URL
``path``, its ``size`` in bytes, and its possible ``files`` in order of preference: a single one is complete, of several the last
is partial and growing. Prints its address and port, and ends when standard input does, or when no bytes have been sent for a
while. Its input is never written to a disk, printed, or shown in a list of processes.
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
STALL_LIMIT_S = 30.0
"""A peer that reads nothing for so long is gone; a partial file that does not grow for so long is abandoned."""
POLL_S = 0.05
IDLE_LIMIT_S = 120.0
"""When no bytes have been sent for so long, the client of this server is gone: its machine died, or its connection."""
NO_ADDRESS = 72


class ServedFile:
    """A file of known size that may still be growing."""

    def __init__(self, size: int, files: "list[str]") -> None:
        self.size = size
        self._files = files
        # Open a complete file at once, as it may be removed meanwhile. A partial one gets its name at the end, and may restart.
        self._handle = os.open(files[0], os.O_RDONLY) if len(files) == 1 else None

    def chunks(self) -> "Iterator[bytes]":
        """Yield the bytes in order, as they arrive; fewer than ``size`` when the file stops growing."""
        at, until = 0, time.monotonic() + STALL_LIMIT_S
        while at < self.size and time.monotonic() < until:
            chunk = self._chunk(at)
            if not chunk:
                time.sleep(POLL_S)
                continue
            yield chunk
            at, until = at + len(chunk), time.monotonic() + STALL_LIMIT_S

    def _chunk(self, at: int) -> bytes:
        """The available bytes from ``at``, at most CHUNK_BYTES."""
        count = min(CHUNK_BYTES, self.size - at)
        if self._handle is not None:
            return os.pread(self._handle, count, at)
        for name in self._files:
            with suppress(FileNotFoundError), open(name, "rb", buffering=0) as file:  # noqa: PTH123 - avoids importing pathlib
                return os.pread(file.fileno(), count, at)
        return b""


class PeerServer(ThreadingTCPServer):
    """Serves ``parts`` (by URL path) over TLS, several requests at once."""

    daemon_threads = True

    def __init__(self, address: str, tls: ssl.SSLContext, parts: "dict[str, ServedFile]") -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), PeerRequest)
        self.parts = parts
        self.last_sent = time.monotonic()
        self._tls = tls

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - as inherited
        """Runs in a separate thread per connection, so that a silent client does not block others."""
        request.settimeout(STALL_LIMIT_S)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignores clients that disconnect, or that do not know the certificate."""


class PeerRequest(BaseHTTPRequestHandler):
    """A request for one part, always as a whole."""

    server: PeerServer

    def do_GET(self) -> None:
        """Sends the part; 404 for any other path."""
        part = self.server.parts.get(self.path)
        if part is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(part.size))
        self.end_headers()
        for chunk in part.chunks():
            self.wfile.write(chunk)
            self.server.last_sent = time.monotonic()

    def log_message(self, *_: object) -> None:
        """Logs nothing, because paths are secret."""


def main() -> None:
    """Serve until standard input ends."""
    config = json.loads(sys.stdin.readline())
    # The local end of the ssh connection: an address of this host that is reachable from outside.
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) < 3:  # noqa: PLR2004 - client address, client port, server address
        sys.exit(NO_ADDRESS)
    parts = {part["path"]: ServedFile(part["size"], part["files"]) for part in config["parts"]}
    server = PeerServer(connection[2], _tls(config["identity"]), parts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=_exit_when_idle, args=(server,), daemon=True).start()
    sys.stdout.write(f"{connection[2]} {server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


def _exit_when_idle(server: PeerServer) -> None:
    while time.monotonic() < server.last_sent + IDLE_LIMIT_S:
        time.sleep(1)
    os._exit(0)


def _tls(identity: str) -> ssl.SSLContext:
    """Load the key from an anonymous file in memory, because the ssl module reads keys only from files."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    memory = os.memfd_create("identity")
    os.write(memory, identity.encode())
    tls.load_cert_chain(f"/proc/self/fd/{memory}")
    os.close(memory)
    return tls


if __name__ == "__main__":
    main()
