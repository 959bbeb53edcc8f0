"""The part of the contract on abilities."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject


def unseeded(subject: Subject) -> BootRequest:
    """Return the request of a check before a boot."""
    return replace(subject.boot_request(subject.node()), seed=b"", user_data=b"")


# boot_check


@needs("boot_check", "faithful")
def test_a_boot_is_checked_for_its_image_and_networks(subject: Subject) -> None:
    check = subject.require("boot_check")
    with pytest.raises(SiteError):
        check.check_boot(unseeded(subject))
    subject.stage()
    with pytest.raises(SiteError):
        check.check_boot(unseeded(subject))
    subject.allocate(subject.allocation())
    before = subject.observed()
    check.check_boot(unseeded(subject))
    assert subject.observed() == before


# image_listing, storage_refresh


@needs("image_listing")
def test_images_are_listed_with_their_users(subject: Subject) -> None:
    listing = subject.require("image_listing")
    other = subject.other()
    for stack in (subject, other):
        stack.stage()
    (found,) = [image for image in listing.stored() if image.digest == subject.image.digest]
    assert sorted(found.users) == sorted(stack.lineage[:8] for stack in (subject, other))
    other.clean_all()
    (found,) = [image for image in listing.stored() if image.digest == subject.image.digest]
    assert found.users == (subject.lineage[:8],)


@needs("storage_refresh")
def test_a_refresh_of_the_storage_changes_nothing(subject: Subject) -> None:
    refresh = subject.require("storage_refresh")
    subject.prepare()
    subject.boot(subject.node())
    before = (subject.observed(), subject.held())
    refresh.refresh_storage()
    assert (subject.observed(), subject.held()) == before


# site_images


@needs("site_images")
def test_an_unknown_image_of_the_site_is_refused(subject: Subject) -> None:
    images = subject.require("site_images")
    before = subject.observed()
    with pytest.raises(SiteError):
        images.resolve_image("no-such-image")
    assert images.find_image("no-such-image") is None
    assert subject.observed() == before


# network_use


@needs("network_use")
def test_only_machines_of_the_stack_use_its_network(subject: Subject) -> None:
    use = subject.require("network_use")
    subject.prepare()
    allocation = subject.allocation()
    assert use.attached_machines(allocation, None, subject.mark(allocation)) == ()
    subject.boot(subject.node())
    found = use.attached_machines(allocation, None, subject.mark(allocation))
    assert [machine.lineage for machine in found] == [subject.lineage]
    assert use.attached_machines(allocation, allocation, subject.mark(allocation)) == ()


# delivery


@needs("user_data")
def test_user_data_may_be_as_large_as_declared(subject: Subject) -> None:
    subject.prepare()
    subject.provider.boot(with_user_data(subject, subject.site.delivery.limit or 0))
    assert [node.status for node in subject.observed().nodes] == ["running"]


@needs("user_data")
def test_larger_user_data_is_refused_and_leaves_nothing(subject: Subject) -> None:
    subject.prepare()
    before = subject.held()
    with pytest.raises(SiteError) as refusal:
        subject.provider.boot(with_user_data(subject, (subject.site.delivery.limit or 0) + 1))
    assert "#cloud-config" not in str(refusal.value), "user-data is secret"
    assert (subject.observed().nodes, subject.held()) == ((), before)


def with_user_data(subject: Subject, size_bytes: int) -> BootRequest:
    """Return the request for a node with user-data of this size."""
    request = subject.boot_request(subject.node())
    return replace(request, user_data=request.user_data.ljust(size_bytes, b"\n"))
