import pytest
from msgspec.structs import replace

from pragmaspec.engine.target_state import TargetState, expected_state
from pragmaspec.guest.contract.cluster import GuestSettings, first_boot_digest, keys_digest
from pragmaspec.state_model import Record, State
from tests.engine.fake_provider import NODES, WANTED, bring_up, plan_for
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, act, node

EMPTY = State(lineage=LINEAGE)
UP = EMPTY.with_records(Record(resource=action.resource) for action in bring_up(2))


def _target_state(state, *actions, wanted=WANTED):
    return TargetState(plan_for(state, *actions), state, wanted)


def test_the_target_state_contains_the_whole_cluster_before_its_first_boot():
    target = _target_state(EMPTY, *bring_up(2))
    cluster = target.cluster(node(0))
    assert [member.name for member in cluster.nodes] == ["hello-frontend", "hello-compute-0", "hello-compute-1"]
    assert target.cluster(node(1)) is cluster, "the members of a cluster share one object"
    assert (cluster.domain, cluster.spec_sha256, cluster.lineage) == ("example.org", WANTED.spec_sha256, LINEAGE)
    assert target.allocation(node(0)) == ALLOCATION
    assert target.image(node(0)) == IMAGE


def test_cleaned_nodes_are_not_members():
    gone = replace(act("clean", node(1)), before=node(1))
    down = replace(act("shutdown", node(1)), before=node(1))
    cluster = _target_state(UP, down, replace(gone, after=(down.key,))).cluster(node(0))
    assert [member.index for member in cluster.nodes if member.role == "compute"] == [0]


def test_a_rebuilt_node_stays_a_member():
    clean = replace(act("clean", node(0)), before=node(0))
    boot = replace(act("boot", node(0, keys="k2"), clean, generation=1), before=node(0))
    state = expected_state(plan_for(UP, clean, boot), UP)
    assert state.record(node(0).address) == Record(resource=node(0, keys="k2"), generation=1)


def test_the_expected_state_reflects_reboots_and_shutdowns():
    down = replace(act("shutdown", node(0)), before=node(0))
    boot = replace(act("boot", node(0, keys="k2"), down), before=node(0))
    assert expected_state(plan_for(UP, down, boot), UP).record(node(0).address).resource.keys == "k2"
    off = replace(act("shutdown", node(0, running=False)), before=node(0))
    assert not expected_state(plan_for(UP, off), UP).record(node(0).address).resource.running


def test_guest_settings_depend_on_the_node_role():
    cluster = replace(WANTED.clusters[0], frontend=replace(NODES, packages=("slurm",)), computes=replace(NODES, user_data="x"))
    target = _target_state(UP, wanted=replace(WANTED, clusters=(cluster,)))
    assert target.settings(node(-1)) == GuestSettings(packages=("slurm",))
    assert target.settings(node(0)) == GuestSettings(user_data="x")


def test_a_cluster_removed_from_the_spec_has_default_settings():
    target = _target_state(UP, wanted=replace(WANTED, clusters=()))
    assert target.settings(node(0)) == GuestSettings()
    assert target.cluster(node(0)).ssh_keys == ()


def test_a_missing_allocation_or_image_is_a_key_error():
    target = _target_state(EMPTY.with_record(Record(resource=node(0))))
    with pytest.raises(KeyError):
        target.cluster(node(0))
    with pytest.raises(KeyError):
        target.image(node(0))


def test_recorded_digests_rebuild_the_seed_while_the_spec_is_unchanged():
    cluster = replace(WANTED.clusters[0], frontend=replace(NODES, packages=("slurm",)))
    recorded_digest = first_boot_digest(GuestSettings(packages=("slurm",)))
    recorded = replace(node(-1), first_boot=recorded_digest, keys=keys_digest(cluster.ssh_keys))
    target = _target_state(UP, wanted=replace(WANTED, clusters=(cluster,)))
    assert target.can_build_seed(recorded)
    assert not target.can_build_seed(replace(recorded, first_boot="0" * 16))
    assert not target.can_build_seed(replace(recorded, keys="0" * 16))
    assert not _target_state(UP, wanted=replace(WANTED, clusters=())).can_build_seed(recorded)
    unreadable = replace(cluster, unknown=("keys",))
    assert not _target_state(UP, wanted=replace(WANTED, clusters=(unreadable,))).can_build_seed(recorded)
