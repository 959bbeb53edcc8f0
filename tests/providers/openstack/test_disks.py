"""Disks at a real OpenStack: options that the cloud does not have, and disks that outlive a server deleted by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.registry import open_provider
from tests.labs.openstack.lab import OpenStackLab
from tests.providers.openstack.command_stack import CommandStack
from tests.providers.openstack.conftest import site_of
from tests.providers.openstack.project_listing import ProjectListing

pytestmark = pytest.mark.openstack


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"volume_type": "__DEFAULT"}, "has no volume type __DEFAULT. Did you mean __DEFAULT__?"),
        ({"volume_zone": "novo"}, "has no zone novo. Did you mean nova?"),
    ],
    ids=["type", "zone"],
)
def test_a_plan_refuses_what_the_cloud_does_not_have(
    openstack_lab: OpenStackLab, monkeypatch: pytest.MonkeyPatch, option: dict[str, str], words: str
) -> None:
    site = site_of(openstack_lab, monkeypatch)
    provider = open_provider(replace(site, options=json.dumps({**json.loads(site.options), **option})))
    with pytest.raises(SiteError) as refusal:
        provider.inventory()
    provider.close()
    assert words in str(refusal.value)


def test_quotas_and_sizes_are_those_of_the_project(openstack_lab: OpenStackLab, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = open_provider(site_of(openstack_lab, monkeypatch))
    inventory = provider.inventory()
    provider.close()
    limits = {quota.kind: quota.limit for quota in inventory.quotas}
    assert (limits["volumes"], limits["volume_storage"]) == (10, 1000 * GIB)
    assert (inventory.disks.missing, inventory.disks.unit_bytes, inventory.disks.max_bytes) == ("", GIB, None)


@pytest.fixture
def listing(openstack_lab: OpenStackLab) -> Iterator[ProjectListing]:
    listing = ProjectListing(openstack_lab)
    yield listing
    assert listing.lines() == []


def test_disks_outlive_a_server_that_was_deleted_by_hand(
    openstack_lab: OpenStackLab, listing: ProjectListing, tmp_path: Path
) -> None:
    stack = CommandStack(tmp_path / "stack", openstack_lab, computes=0)
    stack.apply()
    before = listing.volumes()
    listing.delete_server("hello-frontend")
    assert "hello-frontend is gone from the site" in " ".join(stack.run("plan", "cluster.yaml").split())
    stack.apply()
    assert listing.volumes() == before
    assert listing.lines() == [line for line in stack.expected() if "compute" not in line]
    listing.delete_server("hello-frontend")
    stack.clean()
