"""A server that sends arbitrary bytes, valid HTTP or not: one response per connection."""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = bytes | Callable[[str], bytes]
"""A response, or a function that returns it for the first line of a request."""


class RawServer:
    """Sends ``answer`` to every request and closes the connection. ``asked`` records the first lines."""

    def __init__(self, answer: Answer, address: str = "127.0.0.1") -> None:
        self.answer = answer
        self.asked: list[str] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    self._one(connection)
                except OSError:
                    continue

    def _one(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                return
            request += piece
        line = request.split(b"\r\n")[0].decode("latin-1")
        self.asked.append(line)
        connection.sendall(self.answer if isinstance(self.answer, bytes) else self.answer(line))
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(0.2)  # the client may keep its end open
        while connection.recv(65536):
            pass
