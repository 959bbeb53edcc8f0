"""Verbs, order and impact of the actions for a change."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.actions import actions
from pragmaspec.planning.diff import Change
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.impact import FIELD_IMPACT
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.report.plan.text import plan_text
from pragmaspec.resources import Node, Readiness
from pragmaspec.state_model import Record, State
from tests.planning.builders import (
    EMPTY,
    GIB,
    LAB,
    action,
    action_names,
    applied,
    applied_state,
    cluster,
    image,
    nodes,
    observed_with,
    planned,
    wanted,
)

HELLO = applied_state(cluster())
COMPUTE_1 = "lab/hello/node/hello-compute-1"


def changed(state: State, address: str, **fields: object) -> State:
    record = state.record(address)
    assert record is not None
    return state.with_record(replace(record, **fields))


def of(plan: Plan, name: str) -> list[Action]:
    return [each for each in plan.actions if each.address.endswith(f"/{name}")]


def what(plan: Plan, name: str) -> list[tuple[str, str]]:
    return [(each.verb, each.impact) for each in of(plan, name)]


def test_new_cluster_is_staged_allocated_and_booted_in_order() -> None:
    plan = planned(wanted(cluster()))
    assert action_names(plan) == [
        "stage debian-12",
        "allocate hello",
        "boot hello-frontend",
        "boot hello-compute-0",
        "boot hello-compute-1",
    ]
    stage, allocate, *boots = plan.actions
    assert all(boot.after == (stage.key, allocate.key) for boot in boots)
    assert all(each.impact == "none" for each in plan.actions)


def test_computes_can_wait_for_the_frontend() -> None:
    patient = wanted(cluster(computes=replace(nodes(2), wait_for=("frontend",))), cluster("other"))
    plan = planned(patient)
    frontend = action(plan, "boot hello-frontend")
    for name in ("hello-compute-0", "hello-compute-1"):
        assert action(plan, f"boot {name}").after == (*frontend.after, frontend.key)
    assert len(action(plan, "boot other-compute-0").after) == 2
    more = wanted(cluster(computes=replace(nodes(3), wait_for=("frontend",))))
    assert len(action(planned(more, HELLO), "boot hello-compute-2").after) == 0, "the frontend runs"
    assert action_names(planned(wanted(cluster(computes=replace(nodes(2), wait_for=("frontend",)))), HELLO)) == []


def test_scaling_out_boots_new_nodes_and_updates_the_others() -> None:
    plan = planned(wanted(cluster(computes=4)), HELLO)
    assert action_names(plan) == [
        "update hello-frontend",
        "update hello-compute-0",
        "update hello-compute-1",
        "boot hello-compute-2",
        "boot hello-compute-3",
    ]
    after = applied(plan, HELLO)
    for node in HELLO.nodes():
        kept = after.record(node.address)
        assert kept is not None
        assert isinstance(kept.resource, Node)
        assert replace(kept.resource, peers=node.peers) == node


def test_scaling_in_removes_the_highest_index_first() -> None:
    plan = planned(wanted(cluster(computes=1)), applied_state(cluster(computes=4)))
    gone = [each.resource.name for each in plan.actions if each.verb == "clean"]
    assert gone == ["hello-compute-3", "hello-compute-2", "hello-compute-1"]
    assert all(each.impact == "data-loss" for each in plan.actions if each.verb == "clean")
    assert all(each.impact == "live" for each in plan.actions if each.verb == "update")


def test_removed_cluster_is_shut_down_and_cleaned_in_order() -> None:
    plan = planned(wanted(), HELLO)
    down = action(plan, "shutdown hello-frontend")
    assert set(down.after) == {f"shutdown lab/hello/node/hello-compute-{index}" for index in (0, 1)}
    cleans = {each.key for each in plan.actions if each.verb == "clean" and isinstance(each.resource, Node)}
    assert len(cleans) == 3
    assert set(action(plan, "clean hello").after) == cleans
    assert set(action(plan, "clean debian-12").after) == cleans
    assert [each.reason for each in plan.actions if each.verb == "clean"] == ["no longer wanted"] * 4 + ["no longer used"]


def test_removed_stopped_cluster_is_only_cleaned() -> None:
    off = applied_state(cluster())
    off = applied(planned(wanted(cluster(running=False)), off), off)
    assert action_names(planned(wanted(), off))[0] == "clean hello-compute-1"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"memory_mib": 2048}, "memory changed"),
        ({"disk_bytes": 40 * GIB}, "disk changed"),
        ({"memory_mib": 2048, "disk_bytes": 40 * GIB}, "memory and disk changed"),
    ],
)
def test_hardware_changes_reboot(asked: dict[str, int], reason: str) -> None:
    plan = planned(wanted(cluster(computes=0, frontend=nodes(1, **asked))), applied_state(cluster(computes=0)))
    down, boot = plan.actions
    assert (down.verb, boot.verb) == ("shutdown", "boot")
    assert boot.after == (down.key,)
    assert {down.reason, boot.reason} == {reason}
    assert {down.impact, boot.impact} == {"reboot"}
    assert boot.generation == 0
    assert boot.where == nodes(1).where


def test_cpu_changes_update_the_cluster_members() -> None:
    plan = planned(wanted(cluster(computes=nodes(2, cpus=2))), HELLO)
    assert what(plan, "hello-frontend") == [("update", "live")]
    assert what(plan, "hello-compute-0") == [("shutdown", "reboot"), ("boot", "reboot"), ("update", "live")]
    assert action(plan, "update hello-compute-0").after == ("boot lab/hello/node/hello-compute-0",)
    assert action(plan, "update hello-compute-0").reason == "cpus and cluster members changed"


def test_new_image_rebuilds_with_a_new_generation() -> None:
    plan = planned(wanted(cluster(), images=(image(version="2"),)), HELLO)
    assert what(plan, "hello-compute-0") == [("shutdown", "rebuild"), ("clean", "rebuild"), ("boot", "rebuild")]
    down, clean, boot = of(plan, "hello-compute-0")
    assert (clean.after[0], boot.after[0]) == (down.key, clean.key)
    assert (clean.generation, boot.generation) == (0, 1)
    assert all(any(key.startswith("stage ") for key in each.after) for each in (down, clean, boot))
    old = next(each for each in plan.actions if each.verb == "clean" and each.reason == "no longer used")
    assert len(old.after) == 3
    again = applied(plan, HELLO)
    assert all(record.generation == 1 for record in again.records if isinstance(record.resource, Node))


def test_shrinking_a_disk_rebuilds() -> None:
    before = applied_state(cluster(computes=0, frontend=nodes(1, disk_bytes=20 * GIB)))
    plan = planned(wanted(cluster(computes=0, frontend=nodes(1, disk_bytes=10 * GIB))), before)
    assert what(plan, "hello-frontend") == [(verb, "rebuild") for verb in ("shutdown", "clean", "boot")]


@pytest.mark.parametrize("asked", [{"packages": ("openmpi-bin",)}, {"user_data": "#cloud-config\n{}\n"}])
def test_first_boot_settings_rebuild(asked: dict[str, object]) -> None:
    plan = planned(wanted(cluster(computes=0, frontend=nodes(1, **asked))), applied_state(cluster(computes=0)))
    assert what(plan, "hello-frontend") == [(verb, "rebuild") for verb in ("shutdown", "clean", "boot")]
    assert plan.actions[0].reason == "packages or user-data changed"


def test_new_keys_update_live() -> None:
    plan = planned(wanted(cluster(ssh_keys=("ssh-ed25519 BBBB grace",))), HELLO)
    assert [(each.verb, each.impact, each.reason) for each in plan.actions] == [("update", "live", "ssh keys changed")] * 3


def test_compute_is_updated_after_its_frontend_reboots() -> None:
    plan = planned(wanted(cluster(frontend=nodes(1, memory_mib=4096), ssh_keys=("ssh-ed25519 BBBB grace",))), HELLO)
    assert "boot lab/hello/node/hello-frontend" in action(plan, "update hello-compute-0").after


def test_protection_and_readiness_are_only_recorded() -> None:
    plan = planned(wanted(cluster(protect=True, readiness=Readiness(when="ssh"))), HELLO)
    assert action_names(plan) == ["record hello", "record hello-frontend", "record hello-compute-0", "record hello-compute-1"]
    after = applied(plan, HELLO)
    assert all(node.protect and node.readiness.when == "ssh" for node in after.nodes())


def test_renamed_image_is_only_recorded() -> None:
    plan = planned(
        wanted(cluster(frontend=nodes(1, of="deb"), computes=nodes(2, of="deb")), images=(image("deb", digest_of="debian-12"),)),
        HELLO,
    )
    assert action_names(plan) == ["record deb"]


def test_switching_off_shuts_computes_down_first() -> None:
    plan = planned(wanted(cluster(running=False)), HELLO)
    assert action_names(plan) == ["shutdown hello-compute-1", "shutdown hello-compute-0", "shutdown hello-frontend"]
    assert len(action(plan, "shutdown hello-frontend").after) == 2
    assert {each.impact for each in plan.actions} == {"none"}


def test_switching_on_applies_changes_made_meanwhile() -> None:
    off = applied(planned(wanted(cluster(running=False)), HELLO), HELLO)
    updated = wanted(cluster(running=False, ssh_keys=("ssh-ed25519 BBBB grace",)))
    assert planned(updated, off).empty
    plan = planned(wanted(cluster(ssh_keys=("ssh-ed25519 BBBB grace",))), off)
    assert what(plan, "hello-compute-0") == [("boot", "none"), ("update", "live")]
    assert action(plan, "boot hello-compute-0").reason == "should be running"


def test_stopped_nodes_are_only_recorded() -> None:
    off = applied(
        planned(wanted(cluster(running=False, computes=0)), applied_state(cluster(computes=0))),
        applied_state(cluster(computes=0)),
    )
    plan = planned(wanted(cluster(running=False, computes=0, protect=True, frontend=nodes(1, memory_mib=2048))), off)
    assert action_names(plan) == ["record hello", "record hello-frontend"]
    assert action(plan, "record hello-frontend").resource.memory_mib == 1024


def test_new_cluster_that_is_off_has_no_nodes() -> None:
    assert action_names(planned(wanted(cluster(running=False)))) == ["stage debian-12", "allocate hello"]


def test_switching_on_with_a_new_image_rebuilds() -> None:
    before = applied_state(cluster(computes=0))
    off = applied(planned(wanted(cluster(running=False, computes=0)), before), before)
    plan = planned(wanted(cluster(computes=0), images=(image(version="2"),)), off)
    assert what(plan, "hello-frontend") == [("clean", "rebuild"), ("boot", "rebuild")]


@pytest.mark.parametrize(
    ("status", "problem", "reason"),
    [
        ("pending", "", "unfinished"),
        ("pending", "the host went away", "unfinished: the host went away"),
        ("degraded", "", "not ready"),
        ("degraded", "ssh did not answer", "not ready: ssh did not answer"),
    ],
)
def test_unfinished_and_degraded_nodes_are_booted(status: str, problem: str, reason: str) -> None:
    state = changed(HELLO, COMPUTE_1, status=status, problem=problem)
    plan = planned(wanted(cluster()), state)
    assert [(each.verb, each.reason, each.impact) for each in plan.actions] == [("boot", reason, "none")]


def test_unfinished_node_that_should_be_off_is_shut_down() -> None:
    state = changed(HELLO, COMPUTE_1, status="pending")
    assert "shutdown hello-compute-1" in action_names(planned(wanted(cluster(running=False)), state))


def test_unfinished_node_with_changes_is_rebooted_or_updated() -> None:
    state = changed(HELLO, COMPUTE_1, status="pending")
    larger = planned(wanted(cluster(computes=nodes(2, memory_mib=2048))), state)
    assert [verb for verb, _ in what(larger, "hello-compute-1")] == ["shutdown", "boot"]
    updated = planned(wanted(cluster(ssh_keys=("ssh-ed25519 BBBB grace",))), state)
    assert [verb for verb, _ in what(updated, "hello-compute-1")] == ["boot", "update"]
    rebuilt = planned(wanted(cluster(), images=(image(version="2"),)), state)
    assert [verb for verb, _ in what(rebuilt, "hello-compute-1")] == ["shutdown", "clean", "boot"]


def test_unfinished_allocation_and_image_are_repeated() -> None:
    state = State(
        lineage=HELLO.lineage,
        sites=HELLO.sites,
        records=tuple(replace(record, status="pending") for record in HELLO.records if not isinstance(record.resource, Node)),
    )
    plan = planned(wanted(cluster()), state)
    assert [(each.verb, each.reason) for each in plan.actions[:2]] == [
        ("stage", "unfinished"),
        ("allocate", "unfinished"),
    ]


def test_removing_a_protected_node_is_marked() -> None:
    protected = applied_state(cluster(protect=True, computes=0))
    gone = plan_text(planned(wanted(), protected), width=110, colour=False)
    assert "DATA LOSS, PROTECTED" in gone
    assert "PROTECTED: hello-frontend is protected (allow with --allow protected)." in gone
    rebuilt = planned(wanted(cluster(protect=True, computes=0), images=(image(version="2"),)), protected)
    assert "REBUILD, PROTECTED" in plan_text(rebuilt, width=110, colour=False)


def test_changing_the_site_boots_and_cleans() -> None:
    sites = (LAB, replace(LAB, name="tokyo"))
    before = applied_state(cluster(computes=0), sites=sites)
    plan = planned(wanted(cluster(computes=0, site="tokyo"), sites=sites), before)
    assert [each.key for each in plan.actions] == [
        f"stage tokyo/image/{image().digest[:16]}",
        "allocate tokyo/hello/allocation",
        "shutdown lab/hello/node/hello-frontend",
        "clean lab/hello/node/hello-frontend",
        "boot tokyo/hello/node/hello-frontend",
        "clean lab/hello/allocation",
        f"clean lab/image/{image().digest[:16]}",
    ]
    after = applied(plan, before)
    assert {record.resource.site for record in after.records} == {"tokyo"}


def test_missing_node_with_new_keys_is_booted_and_updated() -> None:
    plan = planned(
        wanted(cluster(ssh_keys=("ssh-ed25519 BBBB grace",))),
        HELLO,
        observations={"lab": observed_with(HELLO, "hello-compute-1")},
    )
    assert [(each.verb, each.reason) for each in of(plan, "hello-compute-1")] == [
        ("boot", "is gone from the site"),
        ("update", "is gone from the site"),
    ]


def test_missing_node_that_should_be_off_is_forgotten() -> None:
    off = applied(planned(wanted(cluster(running=False)), HELLO), HELLO)
    plan = planned(wanted(cluster(running=False)), off, observations={"lab": observed_with(off, "hello-compute-1")})
    assert [(each.verb, each.reason, each.impact) for each in plan.actions] == [("clean", "is gone from the site", "none")]


def test_removing_a_missing_node_loses_nothing() -> None:
    plan = planned(wanted(cluster(computes=1)), HELLO, observations={"lab": observed_with(HELLO, "hello-compute-1")})
    assert what(plan, "hello-compute-1") == [("clean", "none")]


def test_every_changeable_field_has_an_impact() -> None:
    identity = {"site", "cluster", "name", "role", "group", "index"}
    assert set(Node.__struct_fields__) - identity == set(FIELD_IMPACT)


def test_impossible_changes_raise_a_type_error() -> None:
    node = HELLO.nodes()[0]
    allocation = HELLO.record("lab/hello/allocation")
    assert allocation is not None
    nothing = RefreshedState(EMPTY, frozenset(), ())
    assert actions([Change(before=None, after=None)], nothing) == ()
    with pytest.raises(TypeError, match="lab/hello/allocation"):
        actions([Change(before=allocation, after=node)], nothing)
    assert Change(before=Record(resource=node), after=None).address == node.address
    assert Change(before=None, after=None).address == ""


def test_autostart_changes_live_and_follows_the_power() -> None:
    asked = cluster(computes=0, autostart=True)
    plan = planned(wanted(asked), applied_state(cluster(computes=0)))
    assert [(each.verb, each.impact, each.reason) for each in plan.actions] == [("update", "live", "autostart changed")]
    state = applied(plan, applied_state(cluster(computes=0)))
    assert planned(wanted(asked), state).empty
    down = planned(wanted(cluster(computes=0, autostart=True, running=False)), state)
    assert [(each.verb, each.reason) for each in down.actions] == [("shutdown", "should be off")]
    is_off = applied(down, state)
    assert not any(node.autostart for node in is_off.nodes())
    up = planned(wanted(asked), is_off)
    assert action_names(up) == ["boot hello-frontend"]
    assert up.actions[0].resource.autostart
