"""The part of the contract on machines that are created twice, for each :data:`~pragmaspec.site.IdentityKind`."""

from typing import get_args
from uuid import uuid4

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.plugins import find_plugin
from pragmaspec.providers.base import Abilities, BootRequest, DuplicateRemoval
from pragmaspec.resources import Mark
from pragmaspec.site import IdentityKind
from pragmaspec.testing.selection import needs
from pragmaspec.testing.subject import Subject

FIRST, SECOND = "a" * 32, "b" * 32
"""Ops of two creations."""


def request_of(subject: Subject, op: str, *, site_id: str = "", cpus: int = 1) -> BootRequest:
    """Return a request to boot the frontend."""
    asked = subject.boot_request(subject.node(cpus=cpus))
    return replace(asked, mark=replace(asked.mark, op=op), site_id=site_id)


def mark_of(subject: Subject, op: str) -> Mark:
    """Return the mark of the frontend."""
    return replace(subject.mark(subject.node()), op=op)


def boot_as(subject: Subject, op: str, *, site_id: str = "") -> str:
    """Boot the frontend, and return the id of its machine."""
    return dict(subject.provider.boot(request_of(subject, op, site_id=site_id))).get("id", "")


def ops(subject: Subject) -> list[str]:
    """Return the ops of all machines of the stack."""
    return sorted(seen.op for seen in subject.observed().nodes)


def duplicate_removal(subject: Subject) -> DuplicateRemoval:
    """Return the ability that such a site must have."""
    removal = subject.provider.abilities.duplicate_removal
    assert removal is not None
    return removal


def test_the_description_names_the_abilities(subject: Subject) -> None:
    description = find_plugin(subject.site.provider_name).description
    names = {name for name in Abilities.__dataclass_fields__ if getattr(subject.provider.abilities, name) is not None}
    assert names <= set(description.abilities)
    assert set(description.abilities) <= Abilities.__dataclass_fields__.keys()
    assert description.completes_late or subject.provider.window_s == 0


def test_a_site_that_may_create_twice_can_remove_duplicates(subject: Subject) -> None:
    provider = subject.provider
    assert provider.identity_kind in get_args(IdentityKind)
    assert provider.window_s >= 0
    once = provider.identity_kind == "ident" and provider.window_s == 0
    assert once or provider.abilities.duplicate_removal is not None


@needs("ident")
def test_a_boot_with_chosen_identity_creates_one_machine(subject: Subject) -> None:
    subject.prepare()
    for op in (FIRST, SECOND):
        boot_as(subject, op)
    assert len(ops(subject)) == 1


@needs("token")
def test_a_token_creates_one_machine(subject: Subject) -> None:
    subject.prepare()
    first = boot_as(subject, FIRST)
    assert first
    assert boot_as(subject, FIRST) == first
    assert ops(subject) == [FIRST]
    assert boot_as(subject, SECOND) != first
    assert ops(subject) == [FIRST, SECOND]


@needs("token")
def test_a_token_is_valid_for_one_request(subject: Subject) -> None:
    subject.prepare()
    site_id = boot_as(subject, FIRST)
    with pytest.raises(SiteError):
        subject.provider.boot(request_of(subject, FIRST, cpus=2))
    subject.provider.boot(request_of(subject, FIRST, cpus=2, site_id=site_id))
    assert [seen.cpus for seen in subject.observed().nodes] == [2]


@needs("tag")
def test_every_request_without_an_id_creates_a_machine(subject: Subject) -> None:
    subject.prepare()
    first, second = boot_as(subject, FIRST), boot_as(subject, FIRST)
    assert first != second
    assert ops(subject) == [FIRST, FIRST]


@needs("token or tag")
def test_a_machine_is_found_by_its_id(subject: Subject) -> None:
    subject.prepare()
    site_id = boot_as(subject, FIRST)
    assert boot_as(subject, FIRST, site_id=site_id) == site_id
    assert [(seen.op, seen.id) for seen in subject.observed().nodes] == [(FIRST, site_id)]


@needs("token or tag")
def test_an_absent_machine_with_an_id_is_created(subject: Subject) -> None:
    subject.prepare()
    absent = boot_as(subject, FIRST)
    subject.provider.clean(subject.node(), mark_of(subject, FIRST))
    assert boot_as(subject, SECOND, site_id=absent)
    assert ops(subject) == [SECOND]


@needs("token or tag")
def test_shutdown_and_clean_apply_to_machines_of_the_op(subject: Subject) -> None:
    subject.prepare()
    for op in (FIRST, SECOND):
        boot_as(subject, op)
    node, mark = subject.node(), mark_of(subject, FIRST)
    subject.provider.shutdown(node, mark, grace_s=0)
    assert {seen.op: seen.status for seen in subject.observed().nodes} == {FIRST: "off", SECOND: "running"}
    subject.provider.clean(node, mark)
    assert ops(subject) == [SECOND]


@needs("ident", "duplicate_removal")
def test_a_late_clean_keeps_a_later_machine(subject: Subject) -> None:
    subject.prepare()
    for op in (FIRST, SECOND):
        boot_as(subject, op)
    subject.provider.clean(subject.node(), mark_of(subject, FIRST))
    assert ops(subject) == [SECOND]
    subject.provider.clean(subject.node(), mark_of(subject, SECOND))
    assert ops(subject) == []


@needs("token or tag")
def test_a_duplicate_is_removed_by_id_and_op(subject: Subject) -> None:
    subject.prepare()
    removal = duplicate_removal(subject)
    kept, extra = boot_as(subject, FIRST), boot_as(subject, SECOND)
    for other in (mark_of(subject, FIRST), replace(mark_of(subject, SECOND), lineage=str(uuid4()))):
        removal.remove_duplicate(extra, other)
        assert ops(subject) == [FIRST, SECOND]
    for _ in range(2):
        removal.remove_duplicate(extra, mark_of(subject, SECOND))
        assert [seen.id for seen in subject.observed().nodes] == [kept]


@needs("duplicate_removal")
def test_late_claims_and_images_are_removed_as_duplicates(subject: Subject) -> None:
    removal = subject.require("duplicate_removal")
    subject.prepare()
    (granted,) = subject.observed().allocations
    removal.remove_duplicate(granted.id, subject.mark(subject.allocation()))
    removal.remove_duplicate(subject.image.digest, subject.mark(subject.image))
    seen = subject.observed()
    assert (seen.allocations, seen.images) == ((), ())
