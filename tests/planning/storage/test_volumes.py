"""Volumes in plans: conflicts, consent, drift, renames, and the order of actions."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.observed import DiskOffer, Inventory, ObservedDisk
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.safety import refusals
from pragmaspec.planning.targets import matches
from pragmaspec.planning.wanted import Move, WantedDisk
from pragmaspec.resources import Node, Volume
from pragmaspec.site import ExternalSite
from pragmaspec.state_model import Record
from tests.planning.builders import (
    EMPTY,
    GIB,
    ROOMY,
    action,
    action_names,
    applied,
    applied_state,
    cluster,
    nodes,
    observed,
    planned,
    wanted,
)

HOME = WantedDisk(name="home", size_bytes=20 * GIB, mount="/home", keep=True)
SCRATCH = WantedDisk(name="scratch", size_bytes=10 * GIB, mount="/scratch")
NONE: frozenset[str] = frozenset()
ADDRESS = "lab/volume/hello-frontend-home"


def with_disks(*disks: WantedDisk, name: str = "hello", **more: object):
    return cluster(name, frontend=nodes(1, disks=disks), **more)


def summaries(plan, allow: frozenset[str] = NONE) -> list[str]:
    return [problem.summary for problem in refusals(plan, allow)]


def test_two_nodes_cannot_want_one_volume() -> None:
    shared = replace(HOME, volume="data-0")
    spec = wanted(cluster(frontend=nodes(1, disks=(shared,)), computes=nodes(1, disks=(replace(HOME, volume="data"),))))
    with pytest.raises(PlanError) as refusal:
        planned(spec)
    assert "hello-frontend and hello-compute-0 both want the volume data-0" in str(refusal.value)


def test_disks_are_removed_only_with_consent() -> None:
    state = applied_state(with_disks(SCRATCH))
    plan = planned(wanted(cluster()), state)
    assert action(plan, "boot hello-frontend").discards == ("scratch",)
    assert summaries(plan) == ["The plan removes disks"]
    assert "hello-frontend would lose disk scratch, with all data" in refusals(plan, NONE)[0].detail
    assert summaries(plan, frozenset(("data-loss",))) == []


def test_many_nodes_that_lose_disks_are_counted() -> None:
    before = applied_state(cluster(computes=nodes(5, disks=(SCRATCH,))))
    plan = planned(wanted(cluster(computes=nodes(5))), before)
    assert "; and 2 more nodes, with all data" in refusals(plan, NONE)[0].detail


def test_protected_clusters_keep_their_disks() -> None:
    state = applied_state(with_disks(SCRATCH, protect=True))
    plan = planned(wanted(cluster(protect=True)), state)
    assert summaries(plan, frozenset(("data-loss",))) == ["The plan removes protected resources"]


def test_a_volume_is_removed_only_with_consent_though_it_is_named() -> None:
    state = applied(planned(wanted(cluster()), applied_state(with_disks(HOME))), applied_state(with_disks(HOME)))
    plan = planned(wanted(cluster()), state, request=PlanRequest(drop_volumes=(ADDRESS,)))
    assert action_names(plan) == ["clean hello-frontend-home"]
    assert summaries(plan) == ["The plan removes volumes"]
    assert summaries(plan, frozenset(("data-loss",))) == []


def test_removing_a_cluster_by_name_is_no_consent_to_lose_its_volumes() -> None:
    state = applied_state(with_disks(HOME))
    request = PlanRequest(drop=("hello",), only_clusters=("hello",), drop_volumes=(ADDRESS,))
    plan = planned(wanted(with_disks(HOME)), state, request=request)
    assert summaries(plan) == ["The plan removes volumes"]
    clean = action(plan, "clean hello-frontend-home")
    assert "clean lab/hello/node/hello-frontend" in clean.after


def test_a_lost_volume_is_created_anew_only_with_consent() -> None:
    state = applied_state(with_disks(HOME))
    seen = replace(observed(state), volumes=())
    plan = planned(wanted(with_disks(HOME)), state, observations={"lab": seen})
    assert summaries(plan) == ["The plan creates lost volumes anew"]
    assert action_names(plan) == ["allocate hello-frontend-home", "shutdown hello-frontend", "boot hello-frontend"]
    assert summaries(plan, frozenset(("data-loss",))) == []


def test_a_lost_volume_without_a_user_stays_recorded() -> None:
    state = applied(planned(wanted(cluster()), applied_state(with_disks(HOME))), applied_state(with_disks(HOME)))
    plan = planned(wanted(cluster()), state, observations={"lab": replace(observed(state), volumes=())})
    assert plan.empty
    assert [drift.kind for drift in plan.drift] == ["gone"]


def test_a_volume_that_was_grown_by_hand_is_drift() -> None:
    state = applied_state(with_disks(HOME))
    seen = observed(state)
    larger = replace(seen, volumes=tuple(replace(volume, size_bytes=30 * GIB) for volume in seen.volumes))
    with pytest.raises(PlanError) as refusal:
        planned(wanted(with_disks(HOME)), state, observations={"lab": larger})
    assert "Write `size: 30 GiB` or more" in str(refusal.value)
    plan = planned(wanted(with_disks(replace(HOME, size_bytes=30 * GIB))), state, observations={"lab": larger})
    assert "has 30 GiB, recorded 20 GiB" in [drift.detail for drift in plan.drift]


def test_a_detached_volume_is_attached_again() -> None:
    state = applied_state(with_disks(HOME))
    seen = observed(state)

    def with_volumes(*names: str):
        return {"lab": replace(seen, nodes=tuple(replace(node, volumes=names) for node in seen.nodes))}

    spec = wanted(with_disks(HOME))
    assert planned(spec, state, observations=with_volumes("hello-frontend-home")).empty
    plan = planned(spec, state, observations=with_volumes())
    assert action_names(plan) == ["shutdown hello-frontend", "boot hello-frontend"]
    assert plan.drift[0].detail == "has lost its volume hello-frontend-home"


def test_drift_of_a_node_includes_its_lost_volume() -> None:
    state = applied_state(with_disks(HOME))
    seen = replace(observed(state), volumes=())
    added = replace(seen, nodes=tuple(replace(node, additions=("channel x",)) for node in seen.nodes))
    found = {drift.address: drift for drift in refreshed_state(state, {"lab": added}).drift}
    frontend = found["lab/hello/node/hello-frontend"]
    assert frontend.kind == "changed"
    assert frontend.detail == "channel x was added by hand; has lost its volume hello-frontend-home"
    off = replace(seen, nodes=tuple(replace(node, status="off") for node in seen.nodes))
    found = {drift.address: drift for drift in refreshed_state(state, {"lab": off}).drift}
    assert found["lab/hello/node/hello-frontend"].kind == "off"


def test_an_unfinished_node_is_not_compared() -> None:
    state = applied_state(with_disks(HOME))
    record = state.record("lab/hello/node/hello-frontend")
    assert record is not None
    pending = state.with_record(replace(record, status="pending"))
    refreshed = refreshed_state(pending, {"lab": replace(observed(pending), volumes=())})
    assert refreshed.state.record(record.address) == replace(record, status="pending")


def test_disks_of_a_machine_that_is_off_are_not_compared() -> None:
    state = applied_state(with_disks(SCRATCH, running=False))
    assert refreshed_state(state, {"lab": observed(state)}).drift == ()
    on = applied_state(with_disks(SCRATCH))
    seen = observed(on)
    more = replace(seen, nodes=tuple(replace(node, disks=(ObservedDisk(name="x", size_bytes=GIB),)) for node in seen.nodes[:1]))
    assert "which is not recorded" in refreshed_state(on, {"lab": more}).drift[0].detail


def test_a_volume_of_a_cleaned_cluster_follows_its_rename() -> None:
    before = applied_state(with_disks(HOME))
    clean = planned(wanted(with_disks(HOME)), before, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
    left = applied(clean, before)
    assert [record.address for record in left.records] == [ADDRESS]
    spec = wanted(with_disks(HOME, name="world"), moves=(Move(before="hello", after="world"),))
    plan = planned(spec, left)
    assert "allocate world-frontend-home" not in action_names(plan)
    volume = applied(plan, left).record("lab/volume/world-frontend-home")
    assert volume is not None
    assert volume.original_address == ADDRESS


def test_a_named_volume_keeps_its_name_in_a_rename() -> None:
    named = replace(HOME, volume="people")
    before = applied_state(with_disks(named))
    spec = wanted(with_disks(named, name="world"), moves=(Move(before="hello", after="world"),))
    after = applied(planned(spec, before), before)
    assert after.record("lab/volume/people").resource.cluster == "world"
    assert planned(spec, after).empty


def test_a_volume_is_selected_by_its_name_its_address_and_its_cluster() -> None:
    volume = Volume(site="lab", name="home", size_bytes=GIB, cluster="hello")
    assert all(matches(pattern, volume) for pattern in ("home", "lab/volume/home", "hello", "lab", "ho*"))
    assert not matches("hello-frontend", volume)


def test_a_volume_without_a_user_needs_no_capacity_twice() -> None:
    state = applied_state(with_disks(HOME))
    full = replace(ROOMY, disk_bytes=GIB)
    with pytest.raises(PlanError) as refusal:
        planned(wanted(with_disks(HOME, SCRATCH)), state, inventories={"lab": full})
    assert "Not enough disk" in str(refusal.value)
    assert isinstance(full, Inventory)


def test_an_interrupted_allocation_is_repeated() -> None:
    state = applied_state(with_disks(HOME))
    record = state.record(ADDRESS)
    assert isinstance(record, Record)
    plan = planned(wanted(with_disks(HOME)), state.with_record(replace(record, status="pending")))
    assert action_names(plan) == ["allocate hello-frontend-home"]
    assert action(plan, "allocate hello-frontend-home").reason == "unfinished"


def test_the_size_of_a_disk_can_grow_while_the_node_runs() -> None:
    state = applied_state(with_disks(SCRATCH, HOME))
    larger = with_disks(replace(SCRATCH, size_bytes=20 * GIB), replace(HOME, size_bytes=30 * GIB))
    plan = planned(wanted(larger), state)
    assert action_names(plan) == ["allocate hello-frontend-home", "update hello-frontend"]
    assert action(plan, "update hello-frontend").after == (f"allocate {ADDRESS}",)
    after = applied(plan, state).record("lab/hello/node/hello-frontend").resource
    assert isinstance(after, Node)
    assert [disk.size_bytes for disk in after.disks] == [30 * GIB, 20 * GIB]
    assert planned(wanted(larger), EMPTY).actions


def test_a_site_without_further_disks_is_refused_by_the_plan() -> None:
    paper = ExternalSite(name="lab", plugin="paper")
    with pytest.raises(PlanError) as refusal:
        planned(wanted(with_disks(SCRATCH), sites=(paper,)))
    assert "Its provider paper cannot give nodes further disks" in str(refusal.value)
    assert planned(wanted(with_disks(SCRATCH), sites=(replace(paper, further_disks=True),))).actions


def offering(**offer: object) -> dict[str, Inventory]:
    return {"lab": replace(ROOMY, disks=DiskOffer(**offer))}


def test_a_site_that_offers_no_disks_is_refused_by_the_plan_with_the_reason() -> None:
    with pytest.raises(PlanError) as refusal:
        planned(wanted(with_disks(SCRATCH)), inventories=offering(missing="Its catalogue has no block storage."))
    assert "Site lab has no further disks. Its catalogue has no block storage. Remove `disks`" in str(refusal.value)


def test_sizes_of_disks_are_multiples_of_the_unit_of_their_site() -> None:
    odd = replace(SCRATCH, size_bytes=GIB + 2**20)
    with pytest.raises(PlanError) as refusal:
        planned(wanted(with_disks(HOME, odd)), inventories=offering(unit_bytes=GIB))
    (problem,) = refusal.value.problems
    assert problem.summary == "The site does not offer this size"
    assert problem.detail.endswith("Write `size: 2 GiB`.")
    assert planned(wanted(with_disks(HOME, SCRATCH)), inventories=offering(unit_bytes=GIB)).actions


def test_a_new_disk_is_at_most_as_large_as_its_site_allows() -> None:
    spec, small = wanted(with_disks(HOME, SCRATCH)), offering(max_bytes=15 * GIB)
    with pytest.raises(PlanError) as refusal:
        planned(spec, inventories=small)
    assert "Disk home has 20 GiB, and a disk at site lab has at most 15 GiB" in str(refusal.value)
    assert not planned(spec, applied_state(with_disks(HOME, SCRATCH)), inventories=small).actions
