"""moto as an S3 service with a bucket for states."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests import moto_process

BUCKET = "states"
ENVIRONMENT = {**moto_process.ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "canary-of-the-s3-server"}


@contextmanager
def s3_server(*, ignores: tuple[str, ...] = (), versioning: bool = True) -> Iterator[int]:
    """Start a server with an empty bucket and yield its port. ``ignores``: names of headers, such as preconditions."""
    with moto_process.moto_process(ENVIRONMENT, ignores) as port:
        _make_bucket(port, versioning=versioning)
        yield port


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
