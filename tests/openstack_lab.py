"""A real OpenStack with the EC2 API for tests marked ``openstack``: built once per machine, started for the tests, then stopped.

``PRAGMASPEC_OPENSTACK_LAB=<directory>`` names a lab that is up, which is used and left running.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.openstack import lab

TIMEOUT_S = 2400
"""The first test of a session waits for the lab, which is built if the machine has none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("openstack") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def openstack_lab() -> Iterator[lab.OpenStackLab]:
    """The lab. All workers of a session, and several sessions of one user, share it."""
    running = os.environ.get("PRAGMASPEC_OPENSTACK_LAB")
    if running:
        yield lab.access(Path(running))
        return
    with lab.started(lab.default_directory()) as started:
        yield started
