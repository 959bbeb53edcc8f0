"""A TCP proxy before PostgreSQL that cuts the connection at a chosen message: before it arrives, or before its response does."""

import socket
import threading
from contextlib import suppress


class CuttingProxy:
    """Forwards to ``127.0.0.1:upstream`` in the ``with`` block. ``cut_at`` counts chunks that clients send, from 0."""

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.cut_at: int | None = None
        self.answer_lost = False
        self.sent = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            self._sockets += [client, server]
            for target in (self._forth, self._back):
                thread = threading.Thread(target=target, args=(client, server))
                self._threads.append(thread)
                thread.start()

    def _forth(self, client, server):
        with suppress(OSError):
            while data := client.recv(1 << 20):
                index, self.sent = self.sent, self.sent + 1
                if index == self.cut_at and not self.answer_lost:
                    break
                if index == self.cut_at:
                    _end(client)  # no response passes, but the server receives the request
                server.sendall(data)
                if index == self.cut_at:
                    server.shutdown(socket.SHUT_WR)
                    return
        _end(client)
        _end(server)

    def _back(self, client, server):
        with suppress(OSError):
            while data := server.recv(1 << 20):
                with suppress(OSError):
                    client.sendall(data)
        _end(client)
        _end(server)


def _end(one):
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
