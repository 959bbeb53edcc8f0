"""moto's server in a process of its own, with a guarantee that moto lacks: requests are carried out one after the other.

Run as ``python -m tests.moto_process [--ignores HEADER]…``; prints its port and serves until it is killed. ``--ignores`` makes it
a service that ignores a header, such as a precondition.
"""

import argparse
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anna",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def serve(ignored: list[str]) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()
    names = [f"HTTP_{name.upper().replace('-', '_')}" for name in ignored]

    def ordered(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # a suspended client blocks no other
        environ["wsgi.input"] = io.BytesIO(body)
        for name in names:
            environ.pop(name, None)
        with one_at_a_time:
            return list(application(environ, start_response))

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *_):
            pass

    server = make_server("127.0.0.1", 0, ordered, threaded=True, request_handler=Quiet)
    print(server.server_port, flush=True)  # noqa: T201 - how it is told where we are
    server.serve_forever()


@contextmanager
def moto_process(environment: Mapping[str, str], ignores: tuple[str, ...] = ()) -> Iterator[int]:
    """Start a server, and yield its port."""
    arguments = [part for name in ignores for part in ("--ignores", name)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.moto_process", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ignores", action="append", default=[])
    serve(parser.parse_args().ignores)
