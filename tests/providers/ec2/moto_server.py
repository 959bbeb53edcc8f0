"""moto as an EC2 service."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests import moto_process

ENVIRONMENT = {
    **moto_process.ENVIRONMENT,
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-ec2-server",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


@contextmanager
def moto_server() -> Iterator[int]:
    """Start a server, and yield its port."""
    with moto_process.moto_process(ENVIRONMENT) as port:
        yield port
