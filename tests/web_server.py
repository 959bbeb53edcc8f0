"""A web server with one file, at an address that another machine reaches; it can pause halfway."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """The file and the URL of a server. ``asked``: its clients; ``hold``: an event it waits for after half of the file."""

    content: bytes = b""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    hold: threading.Event | None = None
    half_sent: threading.Event = field(default_factory=threading.Event)
    broken_off: threading.Event = field(default_factory=threading.Event)


@contextmanager
def web_server(address: str, port: int = 0) -> Iterator[Web]:
    """Serve until the end of the ``with`` block; ``port`` 0: any free one."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append(self.client_address[0])
            half = len(web.content) // 2
            self.send_response(200)
            self.send_header("Content-Length", str(len(web.content)))
            self.end_headers()
            try:
                self.wfile.write(web.content[:half])
                web.half_sent.set()
                if web.hold is not None:
                    self._wait(web.hold)
                self.wfile.write(web.content[half:])
            except OSError:
                web.broken_off.set()

        def _wait(self, hold: threading.Event) -> None:
            """Wait for ``hold``. A client sends nothing more, so the end of its stream means that it is gone."""
            self.connection.settimeout(0.1)
            while not hold.is_set():
                try:
                    if self.connection.recv(1) == b"":
                        raise BrokenPipeError
                except TimeoutError:
                    continue
            self.connection.settimeout(None)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, port), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    web.url = f"http://{address}:{server.server_port}/disk.raw"
    try:
        yield web
    finally:
        if web.hold is not None:
            web.hold.set()
        server.shutdown()
        serving.join()
        server.server_close()
