"""The contract of providers over moto."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.testing.contract import *  # noqa: F403 - the tests of the contract
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject
from tests.providers.ec2.conftest import TYPES, ec2_site

pytestmark = has(
    "boot_check", "duplicate_removal", "faithful", "flavors", "image_listing", "late_macs", "late_public", "public",
    "site_images", "token", "translated", "user_data",
)  # fmt: skip


@pytest.fixture
def new_subject(moto: Ec2Client, moto_endpoint: str, tmp_path: Path) -> Iterator[Subject]:
    address = moto.call("allocate_address", Domain="vpc")
    yield Subject.at(ec2_site("lab", endpoint=moto_endpoint, types=TYPES), tmp_path, public=address["PublicIp"])
    moto.call("release_address", AllocationId=address["AllocationId"])
