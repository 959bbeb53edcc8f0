"""The contract of providers over moto.

``CANNOT`` lists the tests that fail here, each with the reason, which must be true: they are run too.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.testing.contract import *  # noqa: F403 - the tests of the contract
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject
from tests.providers.ec2 import claims
from tests.providers.ec2.conftest import ec2_site

pytestmark = has(
    "boot_check", "duplicate_removal", "faithful", "flavors", "image_listing", "late_macs", "late_public", "public",
    "site_images", "token", "translated", "user_data", "volume_storage",
)  # fmt: skip


TYPES = ("c7a.medium", "t3.medium")
"""Of 1 and 2 CPUs, whose guests see the serial numbers of volumes."""

CANNOT = {
    "test_an_address_has_one_machine": "moto gives one address to several interfaces",
    "test_a_service_creates_one_machine_per_token": "moto ignores client tokens",
    "test_a_service_creates_one_volume_per_token": "moto ignores client tokens",
    "test_a_service_attaches_a_volume_to_one_machine": "moto moves an attached volume",
}
for name in ("test_a_used_network_is_not_removed", *CANNOT):
    globals()[name] = getattr(claims, name)


@pytest.fixture
def service_itself(moto: Ec2Client) -> Ec2Client:
    return moto


@pytest.fixture
def new_subject(moto: Ec2Client, moto_endpoint: str, tmp_path: Path) -> Iterator[Subject]:
    address = moto.call("allocate_address", Domain="vpc")
    yield Subject.at(ec2_site("lab", endpoint=moto_endpoint, types=TYPES), tmp_path, public=address["PublicIp"])
    moto.call("release_address", AllocationId=address["AllocationId"])
