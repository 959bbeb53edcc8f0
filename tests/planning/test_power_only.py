import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.expand import placeholder_image
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import State
from tests.planning.builders import (
    EMPTY,
    action_names,
    applied,
    applied_state,
    cluster,
    image,
    nodes,
    observed,
    observed_with,
    planned,
    wanted,
)

HELLO = applied_state(cluster())
OFF = PlanRequest(running=(("hello", False),), only_clusters=("hello",))
ON = PlanRequest(running=(("hello", True),), only_clusters=("hello",))
DOWN = applied(planned(wanted(cluster()), HELLO, request=OFF), HELLO)
CHANGED = cluster(
    frontend=nodes(1, memory_mib=2048, packages=("vim",)), computes=3, vlan=30, protect=True, ssh_keys=("ssh-ed25519 BBBB grace",)
)


def waiting(plan: Plan) -> dict[str, tuple[str, str]]:
    return {each.address.rpartition("/")[2]: (each.reason, each.impact) for each in plan.pending}


def test_power_commands_change_only_the_power() -> None:
    spec = wanted(CHANGED, images=(image(version="2"),))
    plan = planned(spec, HELLO, request=OFF)
    assert {act.partition(" ")[0] for act in action_names(plan)} == {"shutdown"}
    off = applied(plan, HELLO)
    assert [replace(node, running=True) for node in off.nodes()] == list(HELLO.nodes())
    on = applied(planned(spec, off, request=ON), off)
    assert on.records == HELLO.records


def test_deferred_changes_have_a_reason_and_an_impact() -> None:
    found = waiting(planned(wanted(CHANGED), HELLO, request=OFF))
    assert found == {
        "allocation": ("networks or public address changed", "none"),
        "hello-frontend": ("memory, protection, packages or user-data and ssh keys changed", "rebuild"),
        "hello-compute-0": ("protection and ssh keys changed", "live"),
        "hello-compute-1": ("protection and ssh keys changed", "live"),
    }


def test_deferred_changes_use_no_pool() -> None:
    spec = wanted(cluster(vlan=9999))
    assert len(planned(spec, HELLO, request=OFF).actions) == 3
    assert len(planned(spec, DOWN, request=ON).actions) == 3


def test_whole_plan_defers_changes_of_a_switched_cluster() -> None:
    plan = planned(wanted(cluster(computes=1), cluster("world")), HELLO, request=PlanRequest(running=(("hello", False),)))
    assert "shutdown hello-compute-1" in action_names(plan)
    assert "clean hello-compute-1" not in action_names(plan)
    assert "boot world-frontend" in action_names(plan)


def test_nodes_that_were_never_created_are_forgotten_with_their_image() -> None:
    begun = HELLO.with_records(
        [replace(record, status="pending") for record in HELLO.records if isinstance(record.resource, Node)]
    )
    spec = wanted(cluster(running=False), images=(image(version="2"),))
    empty = replace(observed(HELLO), nodes=())
    found = planned(spec, begun, observations={"lab": empty})
    assert [action.reason for action in found.actions if isinstance(action.resource, Node)] == [
        "unfinished and not at the site"
    ] * 3
    after = applied(found, begun)
    assert planned(spec, after, observations={"lab": observed(after)}).empty
    assert {act for act in action_names(planned(spec, begun, observations={"lab": observed(HELLO)})) if "hello-" in act} == {
        "shutdown hello-frontend",
        "shutdown hello-compute-0",
        "shutdown hello-compute-1",
    }


def test_stopped_node_without_a_disk_is_cleaned() -> None:
    spec = wanted(cluster(running=False))
    plan = planned(spec, DOWN, observations={"lab": observed_with(DOWN, "hello-compute-0", disk=False)})
    assert "clean hello-compute-0" in action_names(plan)
    assert "image" not in str(plan.pending)


def test_missing_stopped_node_is_forgotten_by_apply_only() -> None:
    spec, seen = wanted(cluster(running=False)), {"lab": observed_with(DOWN, "hello-compute-0")}
    assert action_names(planned(spec, DOWN, observations=seen)) == ["clean hello-compute-0"]
    assert planned(spec, DOWN, observations=seen, request=OFF).empty


def test_boot_recreates_a_missing_cluster() -> None:
    seen = {"lab": replace(observed(HELLO), nodes=())}
    plan = planned(wanted(cluster()), HELLO, observations=seen, request=replace(ON, accept_missing=True))
    assert {act.partition(" ")[0] for act in action_names(plan)} == {"boot"}


def test_boot_recreates_a_missing_network() -> None:
    seen = {"lab": replace(observed(DOWN), allocations=())}
    assert "allocate hello" in action_names(planned(wanted(cluster()), DOWN, observations=seen, request=ON))
    assert planned(wanted(cluster()), DOWN, observations=seen, request=OFF).empty


def test_power_command_does_not_record_a_resize() -> None:
    seen = {"lab": observed_with(HELLO, "hello-compute-0", memory_mib=4096)}
    assert planned(wanted(cluster()), HELLO, observations=seen, request=ON).empty


def test_power_command_acts_at_the_recorded_site() -> None:
    there = wanted(cluster(site="far"), sites=(LibvirtSite(name="lab"), LibvirtSite(name="far")))
    down = planned(there, HELLO, request=OFF)
    assert {action.resource.site for action in down.actions} == {"lab"}
    off = applied(down, HELLO)
    plan = planned(there, off, request=ON)
    assert {action.resource.site for action in plan.actions} == {"lab"}
    assert set(waiting(plan).values()) == {("no longer wanted", "data-loss")}


def test_booting_an_unknown_image_is_refused() -> None:
    state = State(
        lineage=DOWN.lineage, sites=DOWN.sites, records=tuple(each for each in DOWN.records if "/image/" not in each.address)
    )
    spec = wanted(cluster(), images=(image(version="2"),))
    with pytest.raises(PlanError, match="neither recorded at site lab nor in the spec") as caught:
        planned(spec, state, request=ON)
    assert len(caught.value.problems) == 3
    assert planned(spec, state, request=OFF).empty


def test_unfinished_node_is_booted_as_recorded() -> None:
    begun = DOWN.with_records(replace(each, status="pending") for each in DOWN.records if isinstance(each.resource, Node))
    plan = planned(wanted(cluster(frontend=nodes(1, packages=("vim",)))), begun, request=ON)
    assert {act.partition(" ")[0] for act in action_names(plan)} == {"boot"}


def test_boot_creates_a_new_cluster() -> None:
    assert action_names(planned(wanted(cluster()), request=ON)) == action_names(planned(wanted(cluster())))
    assert planned(wanted(cluster()), EMPTY, request=OFF).empty


def test_missing_unwanted_node_stays_recorded() -> None:
    plan = planned(wanted(cluster(computes=1)), HELLO, observations={"lab": observed_with(HELLO, "hello-compute-1")}, request=ON)
    assert plan.empty
    assert waiting(plan)["hello-compute-1"] == ("no longer wanted", "data-loss")


def test_autostart_follows_the_power() -> None:
    state = applied_state(cluster(autostart=True))
    spec = wanted(cluster(autostart=True))
    off = applied(planned(spec, state, request=OFF), state)
    assert not any(node.autostart for node in off.nodes())
    plan = planned(spec, off, request=ON)
    assert all(node.autostart for node in applied(plan, off).nodes())
    assert plan.pending == ()
    later = planned(wanted(cluster()), state, request=ON)
    assert later.empty
    assert waiting(later)["hello-frontend"] == ("autostart changed", "live")


def unread(*fields: str, **more: object) -> Wanted:
    """Return a spec whose images and referenced files were not read."""
    name = str(more.pop("of", "debian-12"))
    frontend = nodes(1, of=name, **more)
    asked = cluster(frontend=frontend, computes=nodes(2, of=name), unknown=fields)
    return replace(wanted(asked, images=(placeholder_image(name),)), need=())


def test_unread_fields_are_not_reported_as_changed() -> None:
    assert planned(unread("image", "keys", "first_boot", "firmware"), HELLO, request=OFF).pending == ()
    found = waiting(planned(unread("image", disk_bytes=9 * 2**30), HELLO, request=OFF))
    assert found == {"hello-frontend": ("disk changed", "reboot")}


def test_unread_image_of_another_name_is_a_change() -> None:
    found = waiting(planned(unread("image", of="rocky"), HELLO, request=OFF))
    assert set(found.values()) == {("image changed", "rebuild")}


def test_nodes_are_not_created_from_unread_fields() -> None:
    gone = {"lab": observed_with(DOWN, "hello-compute-0")}
    plan = planned(unread("image"), DOWN, observations=gone, request=ON)
    assert action_names(plan) == ["boot hello-frontend", "boot hello-compute-1"]
    assert waiting(plan)["hello-compute-0"] == ("is gone from the site", "none")


def test_image_with_a_possible_other_user_is_kept() -> None:
    state = applied_state(cluster(), cluster("world"))
    asked = replace(cluster("world"), unknown=("image",))
    spec = replace(wanted(cluster(), asked, images=(placeholder_image("debian-12"),)), need=())
    bare = state.with_records((), [each.address for each in state.records if "/world/node/" in each.address])
    plan = planned(spec, bare, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
    assert "clean debian-12" not in action_names(plan)
    without = bare.with_records((), ["lab/world/allocation"])
    plan = planned(spec, without, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
    assert "clean debian-12" in action_names(plan)
