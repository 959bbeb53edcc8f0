"""moto's server, with one account for all tests of a session."""

import json
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pragmaspec.plugins import find_plugin
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.settings import Ec2Settings
from pragmaspec.site import ExternalSite
from tests.providers.ec2.moto_server import ENVIRONMENT, moto_server

TYPES = ("t2.micro", "t2.medium")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Expect the failures that the table ``CANNOT`` of a module lists, each with its reason: what a service cannot show."""
    reason = getattr(pyfuncitem.module, "CANNOT", {}).get(pyfuncitem.originalname)
    if not reason:
        return (yield)
    try:
        yield
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure is one
        return True
    pytest.fail(f"This passes here, although it is listed as impossible: {reason}.")


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    with moto_server() as port:
        yield port


@pytest.fixture
def moto_endpoint(moto_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return f"http://127.0.0.1:{moto_port}"


@pytest.fixture
def moto(moto_endpoint: str) -> Iterator[Ec2Client]:
    """A connection that bypasses the provider."""
    connection = Ec2Client(Ec2Settings(endpoint=moto_endpoint))
    yield connection
    connection.close()


def ec2_site(name: str, **options: object) -> ExternalSite:
    """A site as a spec with these options has it."""
    described = find_plugin("ec2").description
    return ExternalSite(
        name=name,
        vlans=(),
        plugin="ec2",
        options=json.dumps(options),
        late_effects=True,
        late=described.late_values,
        declared_delivery=described.delivery,
        declared_networking=described.networking,
    )
