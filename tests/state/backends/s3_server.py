"""moto's S3 server with a guarantee that moto lacks: requests are carried out one after the other.

Run as ``python -m tests.state.backends.s3_server [--ignores HEADER]…``; prints its port and serves until it is killed.
``--ignores`` makes it a store that ignores a precondition.
"""

import argparse
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
BUCKET = "states"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "anna",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-s3-server",
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
def s3_server(*, ignores: tuple[str, ...] = (), versioning: bool = True) -> Iterator[int]:
    """Start a server with an empty bucket and yield its port."""
    arguments = [part for name in ignores for part in ("--ignores", name)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.state.backends.s3_server", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        _make_bucket(port, versioning=versioning)
        yield port
    finally:
        process.kill()
        process.communicate()


def _make_bucket(port: int, *, versioning: bool) -> None:
    client = raw_client(port)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    if versioning:
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    client.close()


def raw_client(port: int):
    """Return a client that bypasses the backend."""
    from botocore.session import Session

    return Session().create_client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ignores", action="append", default=[])
    serve(parser.parse_args().ignores)
