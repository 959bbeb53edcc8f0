"""The provider protocol, asked of every provider: one test for each promise in the docstrings of ``providers/base.py``."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from msgspec.structs import replace

from pragmaspec.errors import AccessError, ImageError, SiteConflictError, SiteError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Network


def statuses(subject):
    return {node.address.rpartition("/")[2]: node.status for node in subject.observed().nodes}


def taken(subject, kind):
    return {entry.value: (entry.lineage, entry.address) for entry in getattr(subject.provider.inventory(), kind)}


def claims(subject):
    """VLANs and addresses that this stack holds; at a real hypervisor others come and go."""
    return [
        value for kind in ("vlans", "addresses") for value, owner in taken(subject, kind).items() if owner[0] == subject.lineage
    ]


# identity, inventory, observe


def test_a_site_is_the_same_however_it_is_asked(subject):
    second = open_provider(subject.site)
    identity = subject.provider.identity()
    assert identity == second.identity() == subject.provider.inventory().identity == subject.observed().identity
    assert identity.id
    assert identity.title
    second.close()


def test_the_inventory_is_a_place_where_something_fits(subject):
    inventory = subject.provider.inventory()
    assert inventory.cpus > 0
    assert inventory.memory_mib > 0
    assert 0 < inventory.disk_free_bytes <= inventory.disk_bytes
    assert inventory.cpus_per_node >= 1


def test_a_stack_that_made_nothing_sees_nothing(subject):
    seen = subject.observed()
    assert (seen.site, seen.nodes, seen.allocations, seen.images) == (subject.site.name, (), (), ())


def test_another_connection_sees_what_was_made(subject):
    subject.prepare()
    subject.boot(subject.node())
    second = open_provider(subject.site)
    assert second.observe(subject.lineage) == subject.observed()
    second.close()


def test_asking_changes_nothing(subject):
    subject.prepare()
    subject.boot(subject.node())
    before = subject.observed()
    subject.provider.inventory()
    subject.provider.observe("11111111-1111-4111-8111-111111111111")
    subject.provider.diagnostics(subject.node(), subject.mark(subject.node()))
    subject.provider.console_log(subject.node(), subject.mark(subject.node()))
    assert subject.observed() == before


# allocate


def test_what_is_allocated_is_observed_and_taken(subject):
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    public = tuple(grant.address for grant in wanted.public)
    (seen,) = subject.observed().allocations
    assert (seen.address, seen.networks, seen.public) == (wanted.address, ("private",), public)
    assert seen.vlans == (("private", wanted.private.vlan),)
    ours = (subject.lineage, wanted.address)
    assert taken(subject, "vlans")[str(wanted.private.vlan)] == ours
    assert [taken(subject, "addresses")[address] for address in public] == [ours for _ in public]


def test_allocating_again_does_nothing(subject):
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    before = (subject.observed(), claims(subject))
    subject.allocate(wanted)
    assert (subject.observed(), claims(subject)) == before


def test_a_vlan_that_another_stack_holds_is_refused_by_name(subject):
    wanted = subject.allocation()
    subject.allocate(wanted)
    other = subject.other()
    with pytest.raises(SiteConflictError) as refusal:
        other.allocate(other.allocation("second"))
    assert str(wanted.private.vlan) in str(refusal.value)
    assert subject.lineage[:8] in str(refusal.value)
    assert other.observed().allocations == ()


def test_a_cluster_of_the_same_stack_does_not_get_a_vlan_twice(subject):
    subject.allocate(subject.allocation())
    with pytest.raises(SiteConflictError):
        subject.allocate(subject.allocation("second"))
    assert [each.address for each in subject.observed().allocations] == [subject.allocation().address]


def test_a_failed_allocate_leaves_none_of_its_claims(subject):
    subject.allocate(subject.allocation(public=True))
    other = subject.other()
    wanted = other.allocation("second", offset=1, public=True)
    with pytest.raises(SiteConflictError) as refusal:
        other.allocate(wanted)
    assert subject.public in str(refusal.value)
    assert str(wanted.private.vlan) not in taken(subject, "vlans")
    assert other.observed().allocations == ()


def test_of_two_that_race_for_one_vlan_exactly_one_wins(subject):
    for _ in range(subject.rounds):
        rivals = (subject.other(), subject.other())
        assert sorted(race(rivals)) == ["lost", "won"]
        winners = [rival for rival in rivals if rival.observed().allocations]
        assert len(winners) == 1
        winners[0].clean_all()


def test_of_two_that_race_for_one_address_exactly_one_wins(subject):
    for _ in range(subject.rounds):
        rivals = (subject.other(), replace_offset(subject.other(), 1))
        assert sorted(race(rivals, public=True)) == ["lost", "won"]
        losers = [rival for rival in rivals if not rival.observed().allocations]
        assert [str(rival.vlan) in taken(rival, "vlans") for rival in losers] == [False]
        for rival in rivals:
            rival.clean_all()


def race(rivals, *, public=False):
    start = Barrier(len(rivals))

    def claim(rival):
        wanted = rival.allocation("race", public=public)
        start.wait(timeout=30)
        try:
            rival.allocate(wanted)
        except SiteConflictError:
            return "lost"
        return "won"

    with ThreadPoolExecutor(len(rivals)) as pool:
        return list(pool.map(claim, rivals))


def test_an_allocation_grows_and_shrinks_in_place(subject):
    small = subject.allocation()
    extra = Network(name="storage", cidr="10.250.0.0/24", vlan=subject.vlan + 1)
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


def test_a_refused_growth_leaves_the_allocation_as_it_was(subject):
    other = subject.other()
    other.allocate(other.allocation("rival", offset=1))
    small = subject.allocation()
    subject.allocate(small)
    before = subject.observed()
    extra = Network(name="storage", cidr="10.250.0.0/24", vlan=subject.vlan + 1)
    with pytest.raises(SiteConflictError):
        subject.allocate(replace(small, networks=(*small.networks, extra)))
    assert subject.observed() == before
    other.clean_all()


# stage


def test_bytes_are_fetched_only_when_the_image_is_not_there(subject):
    other = subject.other()
    subject.stage()
    subject.stage()
    other.stage()
    assert (subject.fetched, other.fetched) == (1, 0)
    assert subject.observed().images == other.observed().images == (subject.image.digest,)
    assert subject.provider.inventory().images.count(subject.image.digest) == 1
    other.clean_all()


def test_two_stacks_that_stage_one_image_at_once_both_have_it(subject):
    others = [subject.other(), subject.other()]
    with ThreadPoolExecutor(len(others)) as pool:
        list(pool.map(lambda other: other.stage(), others))
    assert [other.observed().images for other in others] == [(subject.image.digest,)] * 2
    others[0].clean_all()
    assert others[1].observed().images == (subject.image.digest,)
    others[1].clean_all()


def test_an_image_stays_while_another_stack_uses_it(subject):
    other = subject.other()
    subject.stage()
    other.stage()
    subject.clean_all()
    assert subject.image.digest in subject.provider.inventory().images
    assert subject.observed().images == ()
    other.clean_all()
    assert subject.image.digest not in subject.provider.inventory().images


def test_an_image_whose_bytes_do_not_come_is_not_there(subject):
    def missing() -> ImageFiles:
        raise ImageError("the download broke")

    with pytest.raises(ImageError):
        subject.provider.stage(subject.stage_request(files=missing))
    assert subject.observed().images == ()
    assert subject.image.digest not in subject.provider.inventory().images
    subject.stage()
    assert subject.observed().images == (subject.image.digest,)


def test_a_transfer_says_how_far_it_is(subject):
    told: list[tuple[int, int]] = []
    subject.provider.stage(subject.stage_request(progress=lambda done, total: told.append((done, total))))
    assert told == sorted(told)
    assert told[-1] == (subject.image.transfer_bytes, subject.image.transfer_bytes)


# boot


def test_what_is_booted_is_observed(subject):
    subject.prepare()
    node = subject.node(cpus=2, memory_mib=96)
    subject.boot(node)
    (seen,) = subject.observed().nodes
    assert (seen.address, seen.generation, seen.status, seen.disk) == (node.address, 0, "running", True)
    assert (seen.cpus, seen.memory_mib) == (2, 96)


def test_what_is_made_carries_the_op_of_its_creation(subject):
    op = "0123456789abcdef" * 2
    subject.stage()
    wanted, node = subject.allocation(), subject.node()
    subject.provider.allocate(wanted, replace(subject.mark(wanted), op=op))
    subject.provider.boot(replace(subject.boot_request(node), mark=replace(subject.mark(node), op=op)))
    seen = subject.observed()
    assert [each.op for each in seen.marked] == [op, op]
    assert (subject.provider.identity_kind, subject.provider.window_s) == ("ident", 0.0)


def test_what_runs_holds_capacity_in_its_owners_name(subject):
    subject.prepare()
    node = subject.node(cpus=2, memory_mib=96)
    subject.boot(node)
    ours = [held for held in subject.provider.inventory().holdings if held.lineage == subject.lineage]
    assert {held.address for held in ours} == {node.address}
    assert all(held.owner for held in ours)
    assert subject.held() == (2, 96, node.disk_bytes)


def test_booting_again_does_nothing(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    before = (subject.observed(), subject.held())
    subject.boot(node)
    assert (subject.observed(), subject.held()) == before


def test_a_node_that_was_off_runs_again(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    subject.provider.shutdown(node, subject.mark(node), grace_s=0)
    subject.boot(node)
    assert statuses(subject) == {"hello-frontend": "running"}


def test_a_changed_definition_replaces_the_old_one(subject):
    subject.prepare()
    subject.boot(subject.node())
    subject.provider.shutdown(subject.node(), subject.mark(subject.node()), grace_s=0)
    subject.boot(subject.node(cpus=2, memory_mib=160))
    (seen,) = subject.observed().nodes
    assert (seen.status, seen.cpus, seen.memory_mib, seen.disk) == ("running", 2, 160, True)


def test_a_larger_disk_is_grown(faithful):
    faithful.prepare()
    node = faithful.node()
    faithful.boot(node)
    faithful.provider.shutdown(node, faithful.mark(node), grace_s=0)
    larger = replace(node, disk_bytes=node.disk_bytes + 2**20)
    faithful.boot(larger)
    assert faithful.held()[2] == larger.disk_bytes


def test_a_new_generation_takes_the_place_of_the_old(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    subject.provider.clean(node, subject.mark(node))
    subject.boot(node, generation=1)
    assert [(seen.generation, seen.status) for seen in subject.observed().nodes] == [(1, "running")]
    subject.provider.clean(node, subject.mark(node, 1))
    assert subject.observed().nodes == ()


def test_a_node_does_not_boot_from_an_image_that_is_not_there(faithful):
    faithful.allocate(faithful.allocation())
    with pytest.raises(SiteError):
        faithful.boot(faithful.node())
    assert faithful.observed().nodes == ()


def test_a_node_does_not_boot_on_a_network_that_is_not_there(faithful):
    faithful.stage()
    with pytest.raises(SiteError):
        faithful.boot(faithful.node())
    assert "running" not in statuses(faithful).values()


def test_nodes_boot_in_parallel(subject):
    subject.prepare()
    nodes = [subject.node(name) for name in ("hello-frontend", "hello-compute-0", "hello-compute-1")]
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(subject.boot, nodes))
    assert statuses(subject) == {node.name: "running" for node in nodes}


# shutdown, clean


def test_shutdown_leaves_the_node_off_with_its_disk(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    for _ in range(2):
        subject.provider.shutdown(node, subject.mark(node), grace_s=0)
        (seen,) = subject.observed().nodes
        assert (seen.status, seen.disk) == ("off", True)
    assert subject.held() == (0, 0, node.disk_bytes)


def test_a_node_starts_with_its_host_as_it_is_booted_changed_and_shut_down(subject):
    def seen() -> bool:
        return [node.autostart for node in subject.observed().nodes] == [True]

    subject.prepare()
    node, mark = subject.node(), subject.mark(subject.node())
    subject.boot(replace(node, autostart=True))
    assert seen()
    subject.provider.set_autostart(node, mark)
    assert not seen()
    subject.boot(replace(node, autostart=True))
    subject.provider.shutdown(replace(node, autostart=True), mark, grace_s=0)
    assert seen(), "a reboot brings it back"
    subject.provider.shutdown(replace(node, running=False), mark, grace_s=0)
    assert not seen()
    subject.provider.clean(node, mark)
    with pytest.raises(SiteError, match="not defined"):
        subject.provider.set_autostart(node, mark)


def test_what_is_absent_is_shut_down_and_cleaned_without_error(subject):
    node, allocation = subject.node(), subject.allocation()
    subject.provider.shutdown(node, subject.mark(node), grace_s=0)
    for resource in (node, allocation, subject.image):
        subject.provider.clean(resource, subject.mark(resource))


def test_a_running_node_is_cleaned_with_everything(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    for _ in range(2):
        subject.provider.clean(node, subject.mark(node))
        assert subject.observed().nodes == ()
    assert subject.held() == (0, 0, 0)


def test_a_cleaned_allocation_is_free_for_others(subject):
    wanted = subject.allocation(public=True)
    subject.allocate(wanted)
    subject.provider.clean(wanted, subject.mark(wanted))
    other = subject.other()
    other.allocate(other.allocation("second", public=True))
    assert subject.observed().allocations == ()
    other.clean_all()


@pytest.mark.parametrize("act", ["shutdown", "clean", "clean the allocation"])
def test_another_stack_is_never_touched(subject, act: str):
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


def test_two_stacks_with_the_same_names_live_side_by_side(subject):
    other = replace_offset(subject.other(), 1)
    for stack in (subject, other):
        stack.prepare()
        stack.boot(stack.node())
    subject.clean_all()
    assert statuses(other) == {"hello-frontend": "running"}
    other.clean_all()


def replace_offset(stack, offset):
    stack.vlan += offset
    return stack


# evidence, console


def test_evidence_of_what_is_absent_is_empty_words_and_no_error(subject):
    node = subject.node()
    evidence = subject.provider.diagnostics(node, subject.mark(node))
    assert evidence.console == ()
    assert subject.provider.console_log(node, subject.mark(node)) == b""


def test_evidence_of_what_runs_names_its_power_state(subject):
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    assert "running" in subject.provider.diagnostics(node, subject.mark(node)).domain


def test_a_console_needs_a_terminal(subject, monkeypatch):
    subject.prepare()
    subject.boot(subject.node())
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(AccessError):
            subject.provider.console(subject.node(), subject.mark(subject.node()))
