"""The part of the contract on abilities."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject


def unseeded(subject: Subject) -> BootRequest:
    """Return the request of a check before a boot."""
    return replace(subject.boot_request(subject.node()), seed=b"")


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
