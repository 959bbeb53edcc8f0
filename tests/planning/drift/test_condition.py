"""The condition of a machine determines the repair of its drift, and its losses."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.drift.condition import CORRECTED, HEALTHY, REDEFINED, RESTORED, RESUMED, condition, layer_text
from pragmaspec.planning.observed import Difference, Layer, ObservedNode
from pragmaspec.planning.safety import refusals
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.report.plan.text import plan_text
from pragmaspec.resources import Node
from tests.planning.builders import action_names, applied, applied_state, cluster, nodes, observed, observed_with, planned, wanted

HELLO = applied_state(cluster())
NAME = "hello-compute-1"
LAYER = Layer(file="/pool/one.s1", snapshot="s1")
DEFINITION = Difference("memory is 256 MiB in its definition, recorded 1024 MiB")
LINK = Difference("link of interface x is down while it runs, recorded up", "live", defined=False)
KERNEL = Difference("kernel is /other, recorded /pool/kernel", "restart")


def compute() -> Node:
    return next(node for node in HELLO.nodes() if node.name == NAME)


def machine(**facts: object) -> ObservedNode:
    return ObservedNode(**{"address": "lab/hello/node/hello-compute-1", "generation": 0, "status": "running", **facts})


@pytest.mark.parametrize(
    ("facts", "impact", "way"),
    [
        ({}, "none", ""),
        ({"status": "paused"}, "none", RESUMED),
        ({"status": "off", "saved": True}, "none", RESTORED),
        ({"differences": (DEFINITION,)}, "none", REDEFINED),
        ({"differences": (LINK,)}, "live", CORRECTED),
        ({"differences": (DEFINITION, LINK, KERNEL)}, "reboot", ""),
        ({"differences": (DEFINITION,), "layers": (LAYER,)}, "reboot", ""),
        ({"differences": (LINK,), "layers": (LAYER,)}, "live", CORRECTED),
        ({"status": "off", "differences": (KERNEL,)}, "none", ""),
    ],
)
def test_condition_determines_impact_and_repair(facts: dict[str, object], impact: str, way: str) -> None:
    found = condition(compute(), machine(**facts))
    assert (found.impact, found.way) == (impact, way)


def test_machine_without_drift_is_healthy() -> None:
    assert condition(compute(), machine()) == HEALTHY


def test_layer_text() -> None:
    outside = Layer(file="/elsewhere/x", stays=True)
    assert layer_text(outside, cleaned=True) == "file /elsewhere/x, which is kept"
    assert layer_text(outside) == "file /elsewhere/x"
    assert layer_text(LAYER) == "snapshot s1 (file /pool/one.s1)"


@pytest.mark.parametrize(
    ("facts", "done"),
    [
        ({"status": "paused", "why": "by a user"}, [f"boot {NAME}"]),
        ({"status": "off", "saved": True}, [f"boot {NAME}"]),
        ({"status": "crashed"}, [f"boot {NAME}"]),
        ({"differences": (DEFINITION,)}, [f"boot {NAME}"]),
        ({"differences": (KERNEL,)}, [f"shutdown {NAME}", f"boot {NAME}"]),
        ({"differences": (DEFINITION,), "layers": (LAYER,)}, [f"shutdown {NAME}", f"boot {NAME}"]),
        ({"layers": (LAYER,)}, []),
        ({"additions": ("disk vdc /x",), "passing": ("disk vdd /y",)}, []),
    ],
)
def test_one_apply_repairs_the_drift(facts: dict[str, object], done: list[str]) -> None:
    plan = planned(wanted(cluster()), HELLO, observations={"lab": observed_with(HELLO, NAME, **facts)})
    assert action_names(plan) == done
    assert len(plan.drift) == 1
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_paused_machine_is_resumed_before_an_update() -> None:
    site = observed_with(HELLO, NAME, status="paused")
    plan = planned(wanted(cluster(ssh_keys=("ssh-ed25519 BBBB bo",))), HELLO, observations={"lab": site})
    assert [act for act in action_names(plan) if NAME in act] == [f"boot {NAME}", f"update {NAME}"]


def test_paused_machine_that_should_be_off_is_shut_down() -> None:
    spec = wanted(cluster(running=False))
    off = applied(planned(spec, HELLO), HELLO)
    plan = planned(spec, off, observations={"lab": observed_with(off, NAME, status="paused", why="by a user")})
    assert [(each.verb, each.reason) for each in plan.actions] == [("shutdown", "is paused (by a user), recorded as off")]


def test_saved_memory_is_discarded_only_if_it_does_not_fit() -> None:
    site = observed_with(HELLO, NAME, status="off", saved=True)
    same = planned(wanted(cluster()), HELLO, observations={"lab": site})
    assert [(each.forgets, each.impact) for each in same.actions] == [(False, "none")]
    edited = planned(
        wanted(cluster()),
        HELLO,
        observations={"lab": observed_with(HELLO, NAME, status="off", saved=True, differences=(DEFINITION,))},
    )
    assert [(each.forgets, each.way) for each in edited.actions] == [(False, RESTORED)]
    other_machine = observed_with(HELLO, NAME, status="off", saved=True, differences=(KERNEL,))
    assert [each.forgets for each in planned(wanted(cluster()), HELLO, observations={"lab": other_machine}).actions] == [True]
    larger = wanted(cluster(computes=nodes(2, memory_mib=2048)))
    other = planned(larger, HELLO, observations={"lab": site})
    assert [(each.forgets, each.impact) for each in other.actions if each.resource.name == NAME] == [(True, "reboot")]
    assert refusals(other, frozenset()) == ()


@pytest.mark.parametrize("running", [True, False])
def test_losing_a_snapshot_needs_consent(*, running: bool) -> None:
    site = observed_with(HELLO, NAME, layers=(LAYER,), remedy="merge it", status="running" if running else "off")
    plan = planned(wanted(cluster(computes=nodes(2, memory_mib=2048))), HELLO, observations={"lab": site})
    (problem,) = refusals(plan, frozenset())
    assert problem.summary == "The plan discards snapshots"
    assert f"{NAME} would lose snapshot s1 (file /pool/one.s1)" in problem.detail
    assert "To keep it: merge it." in problem.detail
    assert refusals(plan, frozenset({"data-loss"})) == ()


def test_booting_from_a_snapshot_loses_nothing() -> None:
    plan = planned(wanted(cluster()), HELLO, observations={"lab": observed_with(HELLO, NAME, layers=(LAYER,), status="off")})
    assert action_names(plan) == [f"boot {NAME}"]
    assert refusals(plan, frozenset()) == ()


def test_rebuilding_a_node_with_snapshots_needs_both_consents() -> None:
    spec = wanted(cluster(computes=nodes(2, packages=("htop",))))
    plan = planned(spec, HELLO, observations={"lab": observed_with(HELLO, NAME, layers=(LAYER,))})
    assert [problem.summary for problem in refusals(plan, frozenset())] == [
        "The plan rebuilds nodes",
        "The plan discards snapshots",
    ]
    assert len(refusals(plan, frozenset({"rebuild"}))) == 1
    assert refusals(plan, frozenset({"rebuild", "data-loss"})) == ()


def test_refusal_counts_many_nodes_with_snapshots() -> None:
    many = applied_state(cluster(computes=6))
    site = observed(many)
    site = replace(site, nodes=tuple(replace(node, layers=(LAYER,)) for node in site.nodes))
    plan = planned(wanted(cluster(computes=nodes(6, memory_mib=2048))), many, observations={"lab": site})
    (problem,) = refusals(plan, frozenset())
    assert "; and 3 more nodes" in problem.detail


def test_lost_network_is_added_to_other_drift() -> None:
    site = observed_with(HELLO, NAME, additions=("disk vdc /x",))
    site = replace(site, allocations=tuple(replace(each, networks=()) for each in site.allocations))
    plan = planned(wanted(cluster()), HELLO, observations={"lab": site})
    (drift,) = [drift for drift in plan.drift if drift.address.endswith(NAME)]
    assert drift.detail == "is cut off: network private is lost; disk vdc /x was added by hand"
    assert f"shutdown {NAME}" in action_names(plan)


def test_different_build_hides_other_drift() -> None:
    site = observed_with(HELLO, NAME, generation=2)
    site = replace(site, allocations=tuple(replace(each, networks=()) for each in site.allocations))
    plan = planned(wanted(cluster()), HELLO, observations={"lab": site})
    assert [drift.detail for drift in plan.drift if drift.address.endswith(NAME)] == [
        "is a different build of the node (generation 2, recorded 0)"
    ]


ADDED = {"additions": ("disk vdc /x",), "passing": ("disk vdd /y",)}


@pytest.mark.parametrize(
    ("spec", "facts", "taken"),
    [
        (cluster(computes=nodes(2, packages=("htop",))), {}, {f"clean {NAME}": ("disk vdc /x", "disk vdd /y")}),
        (cluster(computes=0), {}, {f"clean {NAME}": ("disk vdc /x", "disk vdd /y")}),
        (cluster(computes=nodes(2, memory_mib=2048)), {}, {f"shutdown {NAME}": ("disk vdd /y",)}),
        (cluster(running=False), {}, {f"shutdown {NAME}": ("disk vdd /y",)}),
        (cluster(), {"differences": (DEFINITION,)}, {}),
    ],
)
def test_plan_names_manual_additions_that_are_lost(
    spec: WantedCluster, facts: dict[str, object], taken: dict[str, tuple[str, ...]]
) -> None:
    plan = planned(wanted(spec), HELLO, observations={"lab": observed_with(HELLO, NAME, **ADDED, **facts)})
    assert {f"{each.verb} {NAME}": each.drops for each in plan.actions if each.drops} == taken
    text = plan_text(plan, width=200, colour=False)
    assert "disk vdc /x was added by hand; disk vdd /y was added by hand to the running machine only" in text
    assert ("Manual additions are kept." in text) == (not taken)
    for lost in taken.values():
        assert f"ADDITIONS LOST: {NAME} loses {' and '.join(lost)}, added by hand. Disk files are kept." in text


@pytest.mark.parametrize("facts", [{"layers": (LAYER,)}, ADDED])
def test_informational_drift_is_no_change(facts: dict[str, object]) -> None:
    text = plan_text(
        planned(wanted(cluster()), HELLO, observations={"lab": observed_with(HELLO, NAME, **facts)}), width=200, colour=False
    )
    assert text.endswith("No changes: the drift above is left alone, and all else at lab matches spec.yaml.\n")
