"""moto's server in a process of its own. Requests are carried out one after the other.

Run as ``python -m tests.providers.ec2.moto_server``; prints its port and serves until it is killed.
"""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anna",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-ec2-server",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


def serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def ordered(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # a suspended client blocks no other
        environ["wsgi.input"] = io.BytesIO(body)
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
def moto_server() -> Iterator[int]:
    """Start a server, and yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.providers.ec2.moto_server"],
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT},
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
    serve()
