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
from tests.planning.world import EMPTY, acts, applied, cluster, image, nodes, observed, planned, seen, settled, wanted

HELLO = settled(cluster())
OFF = PlanRequest(running=(("hello", False),), only_clusters=("hello",))
ON = PlanRequest(running=(("hello", True),), only_clusters=("hello",))
DOWN = applied(planned(wanted(cluster()), HELLO, request=OFF), HELLO)
CHANGED = cluster(
    frontend=nodes(1, memory_mib=2048, packages=("vim",)), computes=3, vlan=30, protect=True, ssh_keys=("ssh-ed25519 BBBB grace",)
)


def waiting(plan: Plan) -> dict[str, tuple[str, str]]:
    return {each.address.rpartition("/")[2]: (each.reason, each.impact) for each in plan.pending}


def test_nothing_but_power_is_recorded_after_a_power_command() -> None:
    spec = wanted(CHANGED, images=(image(version="2"),))
    plan = planned(spec, HELLO, request=OFF)
    assert {act.partition(" ")[0] for act in acts(plan)} == {"shutdown"}
    off = applied(plan, HELLO)
    assert [replace(node, running=True) for node in off.nodes()] == list(HELLO.nodes())
    on = applied(planned(spec, off, request=ON), off)
    assert on.records == HELLO.records


def test_what_waits_is_named_with_its_risk() -> None:
    found = waiting(planned(wanted(CHANGED), HELLO, request=OFF))
    assert found == {
        "allocation": ("networks or public address changed", "none"),
        "hello-frontend": ("memory, protection, packages or user-data and ssh keys changed", "rebuild"),
        "hello-compute-0": ("protection and ssh keys changed", "live"),
        "hello-compute-1": ("protection and ssh keys changed", "live"),
    }


def test_a_power_command_asks_no_pool_for_what_waits() -> None:
    spec = wanted(cluster(vlan=9999))
    assert len(planned(spec, HELLO, request=OFF).actions) == 3
    assert len(planned(spec, DOWN, request=ON).actions) == 3


def test_whole_plans_leave_the_nodes_of_a_switched_cluster_too() -> None:
    plan = planned(wanted(cluster(computes=1), cluster("world")), HELLO, request=PlanRequest(running=(("hello", False),)))
    assert "shutdown hello-compute-1" in acts(plan)
    assert "clean hello-compute-1" not in acts(plan)
    assert "boot world-frontend" in acts(plan)


def test_nodes_that_were_begun_and_never_made_go_with_their_image() -> None:
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
    assert {act for act in acts(planned(spec, begun, observations={"lab": observed(HELLO)})) if "hello-" in act} == {
        "shutdown hello-frontend",
        "shutdown hello-compute-0",
        "shutdown hello-compute-1",
    }


def test_a_node_that_lost_its_disk_while_off_is_removed_without_a_loss() -> None:
    spec = wanted(cluster(running=False))
    plan = planned(spec, DOWN, observations={"lab": seen(DOWN, "hello-compute-0", disk=False)})
    assert "clean hello-compute-0" in acts(plan)
    assert "image" not in str(plan.pending)


def test_a_node_that_is_gone_while_off_is_forgotten_by_apply_alone() -> None:
    spec, sight = wanted(cluster(running=False)), {"lab": seen(DOWN, "hello-compute-0")}
    assert acts(planned(spec, DOWN, observations=sight)) == ["clean hello-compute-0"]
    assert planned(spec, DOWN, observations=sight, request=OFF).empty


def test_all_gone_is_made_anew_by_boot() -> None:
    sight = {"lab": replace(observed(HELLO), nodes=())}
    plan = planned(wanted(cluster()), HELLO, observations=sight, request=replace(ON, accept_missing=True))
    assert {act.partition(" ")[0] for act in acts(plan)} == {"boot"}


def test_a_network_that_is_lost_is_made_again_by_boot_alone() -> None:
    sight = {"lab": replace(observed(DOWN), allocations=())}
    assert "allocate hello" in acts(planned(wanted(cluster()), DOWN, observations=sight, request=ON))
    assert planned(wanted(cluster()), DOWN, observations=sight, request=OFF).empty


def test_a_size_that_somebody_changed_is_not_recorded_by_a_power_command() -> None:
    sight = {"lab": seen(HELLO, "hello-compute-0", memory_mib=4096)}
    assert planned(wanted(cluster()), HELLO, observations=sight, request=ON).empty


def test_a_cluster_that_moves_to_another_site_is_switched_where_it_is() -> None:
    there = wanted(cluster(site="far"), sites=(LibvirtSite(name="lab"), LibvirtSite(name="far")))
    down = planned(there, HELLO, request=OFF)
    assert {action.resource.site for action in down.actions} == {"lab"}
    off = applied(down, HELLO)
    plan = planned(there, off, request=ON)
    assert {action.resource.site for action in plan.actions} == {"lab"}
    assert set(waiting(plan).values()) == {("no longer wanted", "data-loss")}


def test_the_image_of_what_is_booted_has_to_be_known() -> None:
    state = State(
        lineage=DOWN.lineage, sites=DOWN.sites, records=tuple(each for each in DOWN.records if "/image/" not in each.address)
    )
    spec = wanted(cluster(), images=(image(version="2"),))
    with pytest.raises(PlanError, match="neither recorded at site lab nor in the spec") as caught:
        planned(spec, state, request=ON)
    assert len(caught.value.problems) == 3
    assert planned(spec, state, request=OFF).empty


def test_an_unfinished_node_is_booted_as_recorded() -> None:
    begun = DOWN.with_records(replace(each, status="pending") for each in DOWN.records if isinstance(each.resource, Node))
    plan = planned(wanted(cluster(frontend=nodes(1, packages=("vim",)))), begun, request=ON)
    assert {act.partition(" ")[0] for act in acts(plan)} == {"boot"}


def test_a_cluster_that_nobody_made_is_made_by_boot() -> None:
    assert acts(planned(wanted(cluster()), request=ON)) == acts(planned(wanted(cluster())))
    assert planned(wanted(cluster()), EMPTY, request=OFF).empty


def test_what_is_no_longer_wanted_and_gone_stays_recorded() -> None:
    plan = planned(wanted(cluster(computes=1)), HELLO, observations={"lab": seen(HELLO, "hello-compute-1")}, request=ON)
    assert plan.empty
    assert waiting(plan)["hello-compute-1"] == ("no longer wanted", "data-loss")


def test_starting_with_the_host_goes_with_the_power() -> None:
    state = settled(cluster(autostart=True))
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
    """A spec that was read in outline: of its image no more than its name is known."""
    name = str(more.pop("of", "debian-12"))
    frontend = nodes(1, of=name, **more)
    asked = cluster(frontend=frontend, computes=nodes(2, of=name), unknown=fields)
    return replace(wanted(asked, images=(placeholder_image(name),)), need=())


def test_what_was_not_read_is_not_called_changed() -> None:
    assert planned(unread("image", "keys", "first_boot", "firmware"), HELLO, request=OFF).pending == ()
    found = waiting(planned(unread("image", disk_bytes=9 * 2**30), HELLO, request=OFF))
    assert found == {"hello-frontend": ("disk changed", "reboot")}


def test_an_image_of_another_name_is_another_image() -> None:
    found = waiting(planned(unread("image", of="rocky"), HELLO, request=OFF))
    assert set(found.values()) == {("image changed", "rebuild")}


def test_no_node_is_made_from_what_was_not_read() -> None:
    gone = {"lab": seen(DOWN, "hello-compute-0")}
    plan = planned(unread("image"), DOWN, observations=gone, request=ON)
    assert acts(plan) == ["boot hello-frontend", "boot hello-compute-1"]
    assert waiting(plan)["hello-compute-0"] == ("is gone from the site", "none")


def test_an_image_that_may_be_another_cluster_s_stays_when_one_is_cleaned() -> None:
    state = settled(cluster(), cluster("world"))
    asked = replace(cluster("world"), unknown=("image",))
    spec = replace(wanted(cluster(), asked, images=(placeholder_image("debian-12"),)), need=())
    bare = state.with_records((), [each.address for each in state.records if "/world/node/" in each.address])
    plan = planned(spec, bare, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
    assert "clean debian-12" not in acts(plan)
    without = bare.with_records((), ["lab/world/allocation"])
    plan = planned(spec, without, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
    assert "clean debian-12" in acts(plan)
