import pytest
from msgspec.structs import replace

from pragmaspec.engine.target_state import TargetState, expected_state
from pragmaspec.guest.contract.cluster import GuestSettings, first_boot_digest, keys_digest
from pragmaspec.state_model import Record, State
from tests.engine.fake_provider import NODES, WANTED, bring_up, plan_for
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, act, node

EMPTY = State(lineage=LINEAGE)
UP = EMPTY.with_records(Record(resource=action.resource) for action in bring_up(2))


def _outlook(state, *actions, wanted=WANTED):
    return TargetState(plan_for(state, *actions), state, wanted)


def test_a_cluster_to_come_is_known_whole_before_its_first_boot():
    outlook = _outlook(EMPTY, *bring_up(2))
    cluster = outlook.cluster(node(0))
    assert [member.name for member in cluster.nodes] == ["hello-frontend", "hello-compute-0", "hello-compute-1"]
    assert outlook.cluster(node(1)) is cluster, "what is shared is made once"
    assert (cluster.domain, cluster.spec_sha256, cluster.lineage) == ("example.org", WANTED.spec_sha256, LINEAGE)
    assert outlook.allocation(node(0)) == ALLOCATION
    assert outlook.image(node(0)) == IMAGE


def test_nodes_that_go_are_no_members_any_more():
    gone = replace(act("clean", node(1)), before=node(1))
    down = replace(act("shutdown", node(1)), before=node(1))
    cluster = _outlook(UP, down, replace(gone, after=(down.key,))).cluster(node(0))
    assert [member.index for member in cluster.nodes if member.role == "compute"] == [0]


def test_a_rebuilt_node_stays_a_member():
    clean = replace(act("clean", node(0)), before=node(0))
    boot = replace(act("boot", node(0, keys="k2"), clean, generation=1), before=node(0))
    state = expected_state(plan_for(UP, clean, boot), UP)
    assert state.record(node(0).address) == Record(resource=node(0, keys="k2"), generation=1)


def test_a_reboot_ends_with_the_new_node_and_off_ends_off():
    down = replace(act("shutdown", node(0)), before=node(0))
    boot = replace(act("boot", node(0, keys="k2"), down), before=node(0))
    assert expected_state(plan_for(UP, down, boot), UP).record(node(0).address).resource.keys == "k2"
    off = replace(act("shutdown", node(0, running=False)), before=node(0))
    assert not expected_state(plan_for(UP, off), UP).record(node(0).address).resource.running


def test_first_boot_settings_are_those_of_the_role():
    cluster = replace(WANTED.clusters[0], frontend=replace(NODES, packages=("slurm",)), computes=replace(NODES, user_data="x"))
    outlook = _outlook(UP, wanted=replace(WANTED, clusters=(cluster,)))
    assert outlook.settings(node(-1)) == GuestSettings(packages=("slurm",))
    assert outlook.settings(node(0)) == GuestSettings(user_data="x")


def test_a_cluster_that_left_the_spec_has_defaults():
    outlook = _outlook(UP, wanted=replace(WANTED, clusters=()))
    assert outlook.settings(node(0)) == GuestSettings()
    assert outlook.cluster(node(0)).ssh_keys == ()


def test_without_allocation_or_image_there_is_no_answer():
    outlook = _outlook(EMPTY.with_record(Record(resource=node(0))))
    with pytest.raises(KeyError):
        outlook.cluster(node(0))
    with pytest.raises(KeyError):
        outlook.image(node(0))


def test_what_a_node_was_told_can_build_seed_while_the_spec_says_the_same():
    cluster = replace(WANTED.clusters[0], frontend=replace(NODES, packages=("slurm",)))
    told = first_boot_digest(GuestSettings(packages=("slurm",)))
    described = replace(node(-1), first_boot=told, keys=keys_digest(cluster.ssh_keys))
    outlook = _outlook(UP, wanted=replace(WANTED, clusters=(cluster,)))
    assert outlook.can_build_seed(described)
    assert not outlook.can_build_seed(replace(described, first_boot="0" * 16))
    assert not outlook.can_build_seed(replace(described, keys="0" * 16))
    assert not _outlook(UP, wanted=replace(WANTED, clusters=())).can_build_seed(described)
    unread = replace(cluster, unknown=("keys",))
    assert not _outlook(UP, wanted=replace(WANTED, clusters=(unread,))).can_build_seed(described)
