"""Plans at different widths."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.plan import Action, Drift
from pragmaspec.planning.wanted import Move
from pragmaspec.report.plan.text import plan_text
from pragmaspec.resources import Nic
from tests.report.samples import ALLOCATION, IMAGE, line, node, plan, rebooted, rebuilt, removed

CASES = Path(__file__).parents[2] / "cases" / "report"
NEW_IMAGE = replace(IMAGE, digest="cd" * 32, name="debian-13")
PROTECTED = [replace(node(index), protect=True) for index in range(3)]
EVERYTHING = plan(
    Action(verb="stage", resource=NEW_IMAGE, reason="not at the site yet", where=line(3)),
    Action(
        verb="allocate",
        resource=replace(ALLOCATION, networks=(replace(ALLOCATION.private, vlan=30),)),
        before=ALLOCATION,
        reason="networks changed",
        impact="live",
        where=line(8),
    ),
    *rebooted(node(0), replace(node(0), memory_mib=2048)),
    *rebuilt(node(1), node(1, image="cd" * 32)),
    Action(
        verb="boot",
        resource=node(2),
        before=node(2),
        reason="not ready: cloud-init ended with an error: the package openmpi-bin cannot be found at any of the mirrors",
        where=line(12),
    ),
    *removed(node(4)),
    *removed(replace(node(3), protect=True)),
    Action(verb="clean", resource=IMAGE, before=IMAGE, reason="no longer used"),
    drift=(Drift(address=node(2).address, detail="is off, recorded as running", kind="off"),),
)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_plan_at_usual_widths(width: int, golden: Callable[[Path, str], None]) -> None:
    golden(CASES / f"plan-everything-{width}.txt", plan_text(EVERYTHING, width=width, colour=False))


@pytest.mark.parametrize("width", range(70, 160))
def test_lines_fit_the_width(width: int) -> None:
    text = plan_text(EVERYTHING, width=width, colour=False)
    assert [found for found in text.splitlines() if len(found) > width] == []


def test_wider_terminals_never_have_more_lines() -> None:
    lines = {width: len(plan_text(EVERYTHING, width=width, colour=False).splitlines()) for width in range(70, 202)}
    assert [width for width in range(70, 201) if lines[width + 1] > lines[width]] == []


def test_named_cluster_needs_no_option() -> None:
    asked = plan(*removed(node(0)))
    assert "(allow with --allow data-loss)" in plan_text(asked, width=200, colour=False)
    named = plan_text(replace(asked, named=("hello",)), width=200, colour=False)
    assert "DATA LOSS: hello-compute-0 is removed with its disk.\n" in named
    other = plan_text(replace(asked, named=("other",)), width=200, colour=False)
    assert "(allow with --allow data-loss)" in other


def test_removed_protected_nodes_are_marked() -> None:
    text = plan_text(plan(*(action for each in PROTECTED for action in removed(each))), width=110, colour=False)
    assert text.count("DATA LOSS, PROTECTED") == 3
    assert "PROTECTED: hello-compute-0, hello-compute-1 and hello-compute-2 are protected (allow with --allow protected)." in text
    kept = plan_text(plan(*rebooted(PROTECTED[0], replace(PROTECTED[0], memory_mib=2048))), width=110, colour=False)
    assert "PROTECTED" not in kept


def test_removed_protected_allocation_is_named_by_its_cluster() -> None:
    granted = replace(ALLOCATION, protect=True)
    text = plan_text(
        plan(Action(verb="clean", resource=granted, before=granted, reason="no longer wanted")), width=110, colour=False
    )
    assert "PROTECTED: hello is protected" in text


def test_staged_images_are_not_counted_as_transfers() -> None:
    there = Action(verb="stage", resource=IMAGE, reason=ALREADY_STAGED)
    new = Action(verb="stage", resource=NEW_IMAGE, reason="not at the site yet")
    text = plan_text(plan(there, new), width=120, colour=False)
    assert "Plan: 2 to stage (612 MiB to transfer)." in text
    assert "612 MiB in pool default    already at the site" in text
    assert "Plan: 1 to stage. Nothing" in plan_text(plan(there), width=120, colour=False)


def test_changed_segment_is_shown() -> None:
    before = replace(node(0), nics=(replace(node(0).nics[0], segment="vlan 20"),))
    assert "private vlan 20 → 30" in _changed(before, segment="vlan 30")
    assert "private vlan 20 → bridge br7" in _changed(before, segment="bridge br7")
    assert "→" not in _changed(before, segment=""), "lost: the drift says so"


def _changed(before: object, **nic: object) -> str:
    (private,) = before.nics
    after = replace(before, nics=(replace(private, **nic),))
    assert isinstance(private, Nic)
    return plan_text(plan(*rebooted(before, after, "network interfaces changed")), width=110, colour=False)


def test_drift_of_an_image_shows_its_name() -> None:
    lost = Drift(address=IMAGE.address, detail="is gone from the site", kind="gone", name=IMAGE.name)
    assert "  !  debian-12 (abababab)  is gone from the site\n" in plan_text(plan(drift=(lost,)), width=110, colour=False)


def test_drift_is_not_repeated_as_a_reason() -> None:
    drift = tuple(Drift(address=node(i).address, detail="is gone from the site", kind="gone") for i in range(14))
    boots = (Action(verb="boot", resource=node(i), before=node(i), reason="is gone from the site") for i in range(14))
    text = plan_text(plan(*boots, drift=drift), width=110, colour=False)
    rows = [found.split() for found in text.splitlines() if found.startswith("  + boot")]
    assert rows[0][-1] == "drift"
    assert rows[-1][-5:] == ["is", "gone", "from", "the", "site"], "folded drift is repeated as a reason"


def test_moves_are_above_the_actions() -> None:
    moved = replace(
        plan(Action(verb="update", resource=node(0), before=node(0), reason="cluster members changed", impact="live")),
        moves=(Move(before="hello", after="world", where=line(20)), Move(before="lab", after="hall", kind="site")),
    )
    text = plan_text(moved, width=110, colour=False)
    assert "  ~  cluster hello → world  line 20\n  ~  site lab → hall\n" in text
    assert "Plan: 2 to move, 1 to update." in text


def test_likely_moves_are_last() -> None:
    asked = replace(
        plan(*removed(node(0))), likely_moves=(Move(before="a", after="b"), Move(before="lab", after="hall", kind="site"))
    )
    assert plan_text(asked, width=80, colour=False).endswith(
        "\nDid you mean to rename a to b, the site lab to hall? To lose nothing, write in\ncluster.yaml:\n\n  moved:\n"
        "    - {from: a, to: b}\n    - {from: lab, to: hall, kind: site}\n"
    )
