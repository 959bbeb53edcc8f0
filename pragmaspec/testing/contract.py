"""The contract of the provider protocol: tests of the statements in :mod:`pragmaspec.providers.base`, for any provider.

``from pragmaspec.testing.contract import *`` in a test module runs them over the fixture ``new_subject`` of its directory, see
:mod:`pragmaspec.testing.plugin`. A test that needs more than the protocol is marked with the features that it needs, see
:mod:`pragmaspec.testing.selection`.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Literal

import pytest
from msgspec.structs import replace

from pragmaspec.errors import AccessError, ImageError, SiteConflictError, SiteError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.allocation.allocator import TRANSLATED_PREFIX
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Nic
from pragmaspec.testing.abilities import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.devices import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.identities import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.late import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.selection import declared_features, features_of, needs
from pragmaspec.testing.sizes import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.storage import *  # noqa: F403 - a part of the contract
from pragmaspec.testing.subject import Subject


def statuses(subject: Subject) -> dict[str, str]:
    """Return the power states by node."""
    return {node.address.rpartition("/")[2]: node.status for node in subject.observed().nodes}


def taken(subject: Subject, kind: Literal["vlans", "addresses"]) -> dict[str, tuple[str | None, str | None]]:
    """Return lineage and address of the holder of each VLAN or address in use."""
    return {entry.value: (entry.lineage, entry.address) for entry in getattr(subject.provider.inventory(), kind)}


def claims(subject: Subject) -> list[str]:
    """Return VLANs and addresses of this stack; those of others change at a real hypervisor."""
    both = {**taken(subject, "vlans"), **taken(subject, "addresses")}
    return [value for value, owner in both.items() if owner[0] == subject.lineage]


# features, identity, inventory, observe


def test_the_subject_declares_exactly_its_features(subject: Subject, request: pytest.FixtureRequest) -> None:
    declared, present = declared_features(request.node), features_of(subject)
    if declared is None:
        arguments = ", ".join(f'"{name}"' for name in sorted(present))
        pytest.skip(f"the subject has no declaration; it is: has({arguments})")
    hidden, absent = sorted(present - declared), sorted(declared - present)
    assert not hidden, f"The subject has {', '.join(hidden)}, but does not declare it, so that its tests do not run."
    assert not absent, f"The subject declares {', '.join(absent)}, but does not have it."


def test_every_query_reports_the_same_identity(subject: Subject) -> None:
    second = open_provider(subject.site)
    identity = subject.provider.identity()
    assert identity == second.identity() == subject.provider.inventory().identity == subject.observed().identity
    assert identity.id
    assert identity.title
    second.close()


def test_inventory_has_capacity(subject: Subject) -> None:
    inventory = subject.provider.inventory()
    if not inventory.reports_capacity:
        assert (inventory.cpus, inventory.memory_mib, inventory.disk_bytes, inventory.disk_free_bytes) == (0, 0, 0, 0)
        return
    assert inventory.cpus > 0
    assert inventory.memory_mib > 0
    assert 0 < inventory.disk_free_bytes <= inventory.disk_bytes
    assert inventory.cpus_per_node >= 1


def test_an_empty_stack_observes_nothing(subject: Subject) -> None:
    seen = subject.observed()
    assert (seen.site, seen.nodes, seen.allocations, seen.images) == (subject.site.name, (), (), ())


def test_another_connection_observes_the_same_objects(subject: Subject) -> None:
    subject.prepare()
    subject.boot(subject.node())
    second = open_provider(subject.site)
    assert second.observe(subject.lineage) == subject.observed()
    second.close()


def test_queries_change_nothing(subject: Subject) -> None:
    subject.prepare()
    subject.boot(subject.node())
    before = subject.observed()
    subject.provider.inventory()
    subject.provider.observe("11111111-1111-4111-8111-111111111111")
    subject.provider.diagnostics(subject.node(), subject.mark(subject.node()))
    subject.provider.console_log(subject.node(), subject.mark(subject.node()))
    assert subject.observed() == before


# allocate


def test_an_allocation_is_observed_and_in_the_inventory(subject: Subject) -> None:
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    public = tuple(grant.address for grant in wanted.public)
    (seen,) = subject.observed().allocations
    assert (seen.address, seen.networks, seen.public) == (wanted.address, ("private",), public)
    own = (subject.lineage, wanted.address)
    if wanted.private.vlan is None:
        assert (seen.vlans, taken(subject, "vlans")) == ((), {})
    else:
        assert seen.vlans == (("private", wanted.private.vlan),)
        assert taken(subject, "vlans")[str(wanted.private.vlan)] == own
    assert [taken(subject, "addresses")[address] for address in public] == [own for _ in public]


def test_allocate_is_idempotent(subject: Subject) -> None:
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    before = (subject.observed(), claims(subject))
    subject.allocate(wanted)
    assert (subject.observed(), claims(subject)) == before


@needs("vlans")
def test_allocate_names_the_stack_that_holds_a_vlan(subject: Subject) -> None:
    wanted = subject.allocation()
    subject.allocate(wanted)
    other = subject.other()
    with pytest.raises(SiteConflictError) as refusal:
        other.allocate(other.allocation("second"))
    assert str(wanted.private.vlan) in str(refusal.value)
    assert subject.lineage[:8] in str(refusal.value)
    assert other.observed().allocations == ()


@needs("vlans")
def test_two_clusters_of_one_stack_cannot_share_a_vlan(subject: Subject) -> None:
    subject.allocate(subject.allocation())
    with pytest.raises(SiteConflictError):
        subject.allocate(subject.allocation("second"))
    assert [each.address for each in subject.observed().allocations] == [subject.allocation().address]


@needs("public")
def test_a_failed_allocate_leaves_no_claims(subject: Subject) -> None:
    subject.allocate(subject.allocation(public=True))
    other = subject.other()
    wanted = other.allocation("second", offset=1, public=True)
    with pytest.raises(SiteConflictError) as refusal:
        other.allocate(wanted)
    assert str(subject.public) in str(refusal.value)
    assert str(wanted.private.vlan) not in taken(subject, "vlans")
    assert other.observed().allocations == ()


@needs("vlans")
def test_exactly_one_of_two_concurrent_claims_gets_a_vlan(subject: Subject) -> None:
    for _ in range(subject.rounds):
        rivals = (subject.other(), subject.other())
        assert sorted(race(rivals)) == ["lost", "won"]
        winners = [rival for rival in rivals if rival.observed().allocations]
        assert len(winners) == 1
        winners[0].clean_all()


@needs("public")
def test_exactly_one_of_two_concurrent_claims_gets_an_address(subject: Subject) -> None:
    for _ in range(subject.rounds):
        rivals = (subject.other(), replace_offset(subject.other(), 1))
        assert sorted(race(rivals, public=True)) == ["lost", "won"]
        losers = [rival for rival in rivals if not rival.observed().allocations]
        assert [str(rival.vlan) in taken(rival, "vlans") for rival in losers] == [False]
        for rival in rivals:
            rival.clean_all()


def race(rivals: Sequence[Subject], *, public: bool = False) -> list[str]:
    """Let ``rivals`` claim the same at once, and return ``won`` or ``lost`` for each."""
    start = Barrier(len(rivals))

    def claim(rival: Subject) -> str:
        wanted = rival.allocation("race", public=public)
        start.wait(timeout=30)
        try:
            rival.allocate(wanted)
        except SiteConflictError:
            return "lost"
        return "won"

    with ThreadPoolExecutor(len(rivals)) as pool:
        return list(pool.map(claim, rivals))


def test_an_allocation_grows_and_shrinks_in_place(subject: Subject) -> None:
    small = subject.allocation()
    extra = subject.network("storage", "10.250.0.0/24", 1)
    large = replace(subject.allocation(public=True), networks=(*small.networks, extra))
    subject.allocate(small)
    subject.allocate(large)
    assert set(subject.observed().allocations[0].networks) == {"private", "storage"}
    assert subject.observed().allocations[0].public == tuple(grant.address for grant in large.public)
    subject.allocate(small)
    (seen,) = subject.observed().allocations
    assert (seen.address, seen.networks, seen.public) == (small.address, ("private",), ())
    assert str(extra.vlan) not in taken(subject, "vlans")
    assert subject.public not in taken(subject, "addresses")


@needs("vlans")
def test_a_refused_growth_keeps_the_allocation(subject: Subject) -> None:
    other = subject.other()
    other.allocate(other.allocation("rival", offset=1))
    small = subject.allocation()
    subject.allocate(small)
    before = subject.observed()
    extra = subject.network("storage", "10.250.0.0/24", 1)
    with pytest.raises(SiteConflictError):
        subject.allocate(replace(small, networks=(*small.networks, extra)))
    assert subject.observed() == before
    other.clean_all()


@needs("translated")
def test_a_translated_address_needs_no_interface(subject: Subject) -> None:
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    subject.stage()
    node, before = subject.node(), {quota.kind: quota.used for quota in subject.provider.inventory().quotas}
    private = node.nics[0]
    address = subject.public or ""
    translated = Nic(network="public", mac=private.mac, address=address, prefix=TRANSLATED_PREFIX, translated=True)
    request = subject.boot_request(replace(node, nics=(private, translated)))
    outputs = dict(subject.provider.boot(replace(request, allocation=wanted)))
    assert "mac:public" not in outputs
    assert "address:public" not in outputs
    (seen,) = subject.observed().nodes
    assert [each.network for each in seen.interfaces if each.network == "public"] == []
    used = {quota.kind: quota.used for quota in subject.provider.inventory().quotas}
    assert used.get("ports", 1) - before.get("ports", 0) == 1


# stage


def test_stage_reads_files_only_if_the_image_is_missing(subject: Subject) -> None:
    other = subject.other()
    subject.stage()
    subject.stage()
    other.stage()
    assert (subject.fetched, other.fetched) == (1, 0)
    assert subject.observed().images == other.observed().images == (subject.image.digest,)
    assert subject.provider.inventory().images.count(subject.image.digest) == 1
    other.clean_all()


def test_concurrent_stagings_of_one_image_all_succeed(subject: Subject) -> None:
    others = [subject.other(), subject.other()]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda other: other.stage(), others))
    assert [other.observed().images for other in others] == [(subject.image.digest,)] * 2
    others[0].clean_all()
    assert others[1].observed().images == (subject.image.digest,)
    others[1].clean_all()


def test_an_image_stays_while_another_stack_uses_it(subject: Subject) -> None:
    other = subject.other()
    subject.stage()
    other.stage()
    subject.clean_all()
    assert subject.image.digest in subject.provider.inventory().images
    assert subject.observed().images == ()
    other.clean_all()
    assert subject.image.digest not in subject.provider.inventory().images


def test_a_failed_staging_leaves_no_image(subject: Subject) -> None:
    def missing() -> ImageFiles:
        raise ImageError("the download broke")

    with pytest.raises(ImageError):
        subject.provider.stage(subject.stage_request(files=missing))
    assert subject.observed().images == ()
    assert subject.image.digest not in subject.provider.inventory().images
    subject.stage()
    assert subject.observed().images == (subject.image.digest,)


def test_stage_reports_progress(subject: Subject) -> None:
    progress: list[tuple[int, int]] = []
    subject.provider.stage(subject.stage_request(progress=lambda done, total: progress.append((done, total))))
    assert progress == sorted(progress)
    assert progress[-1] == (subject.image.transfer_bytes, subject.image.transfer_bytes)


# boot


def test_a_booted_node_is_observed(subject: Subject) -> None:
    subject.prepare()
    node = subject.node(cpus=2, memory_mib=96)
    subject.boot(node)
    (seen,) = subject.observed().nodes
    assert (seen.address, seen.generation, seen.status, seen.disk) == (node.address, 0, "running", True)
    assert (seen.cpus, seen.memory_mib) == (node.cpus, node.memory_mib)


def test_objects_carry_the_op_of_their_creation(subject: Subject) -> None:
    op = "0123456789abcdef" * 2
    subject.stage()
    wanted, node = subject.allocation(), subject.node()
    subject.provider.allocate(wanted, replace(subject.mark(wanted), op=op))
    subject.provider.boot(replace(subject.boot_request(node), mark=replace(subject.mark(node), op=op)))
    seen = subject.observed()
    assert [each.op for each in seen.marked] == [op, op]


def test_a_running_node_uses_capacity_in_its_owners_name(subject: Subject) -> None:
    subject.prepare()
    node = subject.node(cpus=2, memory_mib=96)
    subject.boot(node)
    ours = [held for held in subject.provider.inventory().holdings if held.lineage == subject.lineage]
    assert {held.address for held in ours} == {node.address}
    assert all(held.owner for held in ours)
    assert subject.held() == (node.cpus, node.memory_mib, node.disk_bytes)


def test_boot_is_idempotent(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    before = (subject.observed(), subject.held())
    subject.boot(node)
    assert (subject.observed(), subject.held()) == before


def test_boot_starts_a_node_that_was_off(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    subject.provider.shutdown(node, subject.mark(node), grace_s=0)
    subject.boot(node)
    assert statuses(subject) == {"hello-frontend": "running"}


def test_boot_replaces_a_changed_definition(subject: Subject) -> None:
    subject.prepare()
    subject.boot(subject.node())
    subject.provider.shutdown(subject.node(), subject.mark(subject.node()), grace_s=0)
    larger = subject.node(cpus=2, memory_mib=160)
    subject.boot(larger)
    (seen,) = subject.observed().nodes
    assert (seen.status, seen.cpus, seen.memory_mib, seen.disk) == ("running", larger.cpus, larger.memory_mib, True)


@needs("faithful")
def test_boot_grows_a_disk(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    subject.provider.shutdown(node, subject.mark(node), grace_s=0)
    larger = subject.with_flavor(replace(node, disk_bytes=node.disk_bytes + 2**20))
    subject.boot(larger)
    assert subject.held()[2] == larger.disk_bytes


def test_a_new_generation_replaces_the_old_one(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    subject.provider.clean(node, subject.mark(node))
    subject.boot(node, generation=1)
    assert [(seen.generation, seen.status) for seen in subject.observed().nodes] == [(1, "running")]
    subject.provider.clean(node, subject.mark(node, 1))
    assert subject.observed().nodes == ()


@needs("faithful")
def test_boot_requires_the_image(subject: Subject) -> None:
    subject.allocate(subject.allocation())
    with pytest.raises(SiteError):
        subject.boot(subject.node())
    assert subject.observed().nodes == ()


@needs("faithful")
def test_boot_requires_the_networks(subject: Subject) -> None:
    subject.stage()
    with pytest.raises(SiteError):
        subject.boot(subject.node())
    assert "running" not in statuses(subject).values()


def test_nodes_boot_in_parallel(subject: Subject) -> None:
    subject.prepare()
    nodes = [subject.node(name) for name in ("hello-frontend", "hello-compute-0", "hello-compute-1")]
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(subject.boot, nodes))
    assert statuses(subject) == {node.name: "running" for node in nodes}


# shutdown, clean


def test_shutdown_keeps_the_disk(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    for _ in range(2):
        subject.provider.shutdown(node, subject.mark(node), grace_s=0)
        (seen,) = subject.observed().nodes
        assert (seen.status, seen.disk) == ("off", True)
    assert subject.held() == (0, 0, node.disk_bytes)


@needs("autostart")
def test_autostart_follows_boot_change_and_shutdown(subject: Subject) -> None:
    def seen() -> bool:
        return [node.autostart for node in subject.observed().nodes] == [True]

    autostart = subject.require("autostart")
    subject.prepare()
    node, mark = subject.node(), subject.mark(subject.node())
    subject.boot(replace(node, autostart=True))
    assert seen()
    autostart.set_autostart(node, mark)
    assert not seen()
    subject.boot(replace(node, autostart=True))
    subject.provider.shutdown(replace(node, autostart=True), mark, grace_s=0)
    assert seen(), "the node is only rebooted"
    subject.provider.shutdown(replace(node, running=False), mark, grace_s=0)
    assert not seen()
    subject.provider.clean(node, mark)
    with pytest.raises(SiteError, match="not defined"):
        autostart.set_autostart(node, mark)


def test_shutdown_and_clean_ignore_absent_objects(subject: Subject) -> None:
    node, allocation = subject.node(), subject.allocation()
    subject.provider.shutdown(node, subject.mark(node), grace_s=0)
    for resource in (node, allocation, subject.image):
        subject.provider.clean(resource, subject.mark(resource))


def test_clean_removes_a_running_node_completely(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    for _ in range(2):
        subject.provider.clean(node, subject.mark(node))
        assert subject.observed().nodes == ()
    assert subject.held() == (0, 0, 0)


def test_clean_frees_an_allocation_for_others(subject: Subject) -> None:
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    subject.provider.clean(wanted, subject.mark(wanted))
    other = subject.other()
    other.allocate(other.allocation("second", public=True))
    assert subject.observed().allocations == ()
    other.clean_all()


@pytest.mark.parametrize("act", ["shutdown", "clean", "clean the allocation"])
def test_shutdown_and_clean_never_touch_another_stack(subject: Subject, act: str) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    before = (subject.observed(), subject.held())
    other = subject.other()
    acts: dict[str, Callable[[], None]] = {
        "shutdown": lambda: subject.provider.shutdown(node, other.mark(node), grace_s=0),
        "clean": lambda: subject.provider.clean(node, other.mark(node)),
        "clean the allocation": lambda: subject.provider.clean(subject.allocation(), other.mark(subject.allocation())),
    }
    acts[act]()
    assert (subject.observed(), subject.held()) == before


def test_two_stacks_can_use_the_same_names(subject: Subject) -> None:
    other = replace_offset(subject.other(), 1)
    for stack in (subject, other):
        stack.prepare()
        stack.boot(stack.node())
    subject.clean_all()
    assert statuses(other) == {"hello-frontend": "running"}
    other.clean_all()


def replace_offset(stack: Subject, offset: int) -> Subject:
    """Return ``stack``, which now uses later VLANs."""
    stack.vlan += offset
    return stack


# diagnostics, console


def test_diagnostics_of_an_absent_node_are_empty(subject: Subject) -> None:
    node = subject.node()
    diagnostics = subject.provider.diagnostics(node, subject.mark(node))
    assert diagnostics.console == ()
    assert subject.provider.console_log(node, subject.mark(node)) == b""


def test_diagnostics_of_a_running_node_contain_its_power_state(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    assert "running" in subject.provider.diagnostics(node, subject.mark(node)).domain


def test_console_requires_a_terminal(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    subject.prepare()
    subject.boot(subject.node())
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(AccessError):
            subject.provider.console(subject.node(), subject.mark(subject.node()))
