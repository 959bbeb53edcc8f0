"""The contract of providers over OpenStack's ec2-api, with real guests.

Each of its calls takes about a second, so only the tests run here whose subject moto does not have: tokens, claims, real guests,
and the order of removals. All others run over moto. ``CANNOT`` lists the tests that fail here, each with the reason, which must
be true: they are run too.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pragmaspec.planning.images.site_images import site_image_digest
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.images import site_image
from pragmaspec.providers.ec2.settings import Ec2Settings
from pragmaspec.resources import Blob, StagedImage
from pragmaspec.testing import contract
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject
from tests.labs.openstack.lab import OpenStackLab
from tests.providers.ec2 import claims
from tests.providers.ec2.conftest import ec2_site

pytestmark = [
    pytest.mark.openstack,
    has(
        "boot_check", "duplicate_removal", "faithful", "flavors", "image_listing", "late_macs", "late_public", "public",
        "site_images", "token", "translated", "user_data", "volume_storage",
    ),
]  # fmt: skip

HERE = (
    "test_the_subject_declares_exactly_its_features",
    "test_an_allocation_is_observed_and_in_the_inventory",
    "test_a_token_is_valid_for_one_request",
    "test_a_new_generation_replaces_the_old_one",
    "test_a_translated_address_needs_no_interface",
)
CANNOT = {
    "test_a_token_creates_one_machine": "the address of a node has one machine, so a second token is refused as a conflict",
    "test_an_allocation_grows_and_shrinks_in_place": "a VPC has one range of addresses",
    "test_stage_reads_files_only_if_the_image_is_missing": "there is no EBS direct API",
    "test_a_service_creates_one_volume_per_token": "volumes cannot grow, so the provider makes none",
    "test_a_service_attaches_a_volume_to_one_machine": "volumes cannot grow, so the provider makes none",
}
OWN = tuple(name for name in vars(claims) if name.startswith("test_"))
for name in (*HERE, *OWN, *CANNOT):
    globals()[name] = getattr(contract, name, None) or getattr(claims, name)

SIZES = (
    {"name": "tiny", "cpus": 1, "memory_mib": 128, "disk_bytes": 2**30},
    # It has one CPU in fact; the options are believed.
    {"name": "small", "cpus": 2, "memory_mib": 512, "disk_bytes": 2 * 2**30},
)


@pytest.fixture
def service_itself(openstack_lab: OpenStackLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2Client]:
    """A connection that bypasses the provider."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", openstack_lab.ec2_access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", openstack_lab.ec2_secret_key)
    client = Ec2Client(Ec2Settings(endpoint=openstack_lab.ec2_url, region=openstack_lab.region))
    yield client
    client.close()


@pytest.fixture
def new_subject(openstack_lab: OpenStackLab, service_itself: Ec2Client, tmp_path: Path) -> Iterator[Subject]:
    address = service_itself.call("allocate_address", Domain="vpc")
    site = ec2_site("lab", endpoint=openstack_lab.ec2_url, region=openstack_lab.region, sizes=SIZES)
    subject = Subject.at(site, tmp_path, public=address["PublicIp"], rounds=1)
    images = [each for each in service_itself.listed("describe_images", "Images") if each["Name"] == "tiny"]
    found = site_image(min(images, key=lambda each: each["CreationDate"]))
    digest = site_image_digest(subject.provider.identity().id, found)
    image = StagedImage(
        site="lab",
        digest=digest,
        name="tiny",
        format="raw",
        virtual_size_bytes=2**20,
        disk=Blob(sha256=digest, size_bytes=0),
        site_image=found.id,
        site_name="tiny",
        checksum=found.checksum,
    )
    yield replace(subject, image=image)
    service_itself.call("release_address", AllocationId=address["AllocationId"])
