from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from msgspec.structs import replace

from pragmaspec.planning.plan import Action, Drift, Plan, PlannedSite
from pragmaspec.report.plan.text import plan_text
from pragmaspec.resources import Allocation, Network, PublicGrant
from pragmaspec.site import SimulatedSite
from tests.report.samples import ALLOCATION, IMAGE, first_plan, line, node, plan, rebooted, rebuilt, removed

CASES = Path(__file__).parents[2] / "cases" / "report"
Golden = Callable[[Path, str], None]
NEW_IMAGE = replace(IMAGE, digest="cd" * 32, name="debian-13")


def _changes() -> Plan:
    before = node(0)
    return plan(
        Action(verb="stage", resource=NEW_IMAGE, reason="not at the site yet", where=line(3)),
        Action(
            verb="record",
            resource=replace(ALLOCATION, protect=True),
            before=ALLOCATION,
            reason="protection changed",
            where=line(8),
        ),
        *rebooted(before, replace(before, memory_mib=2048, keys="1")),
        Action(
            verb="update", resource=node(1, keys="1"), before=node(1), reason="ssh keys changed", impact="live", where=line(12)
        ),
        *rebuilt(node(2), node(2, image="cd" * 32)),
        *removed(node(4)),
        *removed(node(3)),
        Action(verb="clean", resource=replace(IMAGE, digest="ee" * 32, name="old"), before=IMAGE, reason="no longer used"),
        drift=(
            Drift(address=node(1).address, detail="is off, recorded as running", kind="off"),
            Drift(address=ALLOCATION.address, detail="has lost network private", kind="changed"),
        ),
    )


def _hostile() -> Plan:
    allocate = Action(verb="allocate", resource=ALLOCATION, reason="\x1b[2Jnew \u202ecluster\x07", where=line(8))
    return plan(allocate, drift=(Drift(address="lab/hello/node/x\ny", detail="\x1b]0;owned\x07", kind="gone"),))


def _two_clusters() -> Plan:
    """Return a plan of two clusters at two sites, one of them not asked, with an unused image."""
    other = Allocation(site="away", cluster="workshop", networks=(Network(name="private", cidr="10.0.0.0/24", bridge="br7"),))
    stage = Action(verb="stage", resource=replace(IMAGE, site="away"), reason="not at the site yet")
    shut = Action(verb="shutdown", resource=node(0, running=False), before=node(0), reason="the spec says off", where=line(9))
    boot = Action(verb="boot", resource=node(1), before=node(1, running=False), reason="is off, recorded as running")
    clean = Action(verb="clean", resource=ALLOCATION, before=ALLOCATION, reason="no longer wanted")
    drop = Action(verb="clean", resource=IMAGE, before=IMAGE, reason="no longer used", after=(clean.key,))
    made = plan(
        stage,
        Action(verb="allocate", resource=other, reason="new cluster", after=(stage.key,)),
        shut,
        boot,
        clean,
        drop,
        Action(verb="clean", resource=NEW_IMAGE, before=NEW_IMAGE, reason="no longer used"),
        partial=True,
    )
    return replace(made, sites=(*made.sites, PlannedSite(site=SimulatedSite(name="away"))))


PLANS: dict[str, Callable[[], Plan]] = {
    "first": first_plan,
    "changes": _changes,
    "large": lambda: first_plan(10_000),
    "twelve-alike-are-not-folded": lambda: first_plan(12),
    "hostile-text": _hostile,
    "two-clusters": _two_clusters,
    "no-changes": plan,
    "no-changes-partial": lambda: plan(partial=True),
    "no-changes-partial-not-asked": lambda: plan(partial=True, asked=False),
    "no-changes-not-asked": lambda: plan(asked=False),
    "no-changes-nothing-at-all": lambda: replace(plan(), sites=()),
    "only-drift": lambda: plan(drift=tuple(Drift(address=node(i).address, detail="is gone", kind="gone") for i in range(20))),
    "many-removed": lambda: plan(*(action for index in range(6) for action in removed(node(index)))),
    "four-rebuilt": lambda: plan(
        *(action for index in range(4) for action in rebuilt(node(index), node(index, image="cd" * 32)))
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_looks_as_reviewed(name: str, golden: Golden) -> None:
    golden(CASES / f"plan-{name}.txt", plan_text(PLANS[name](), width=110, colour=False))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("narrow", {"width": 64}),
        ("ascii", {"width": 110, "unicode": False}),
        ("colour", {"width": 110, "colour": True}),
        ("verbose", {"width": 110, "verbose": True}),
    ],
)
def test_plan_for_different_streams(name: str, options: dict[str, int], golden: Golden) -> None:
    text = plan_text(_changes(), **{"colour": False, **options})
    golden(CASES / f"plan-changes-{name}.txt", text.replace("\x1b", "␛"))
    if name == "ascii":
        assert text.isascii()


def test_verbose_plan_shows_interfaces_and_folds_nothing(golden: Golden) -> None:
    golden(CASES / "plan-first-verbose.txt", plan_text(first_plan(), width=110, colour=False, verbose=True))
    assert len(plan_text(first_plan(200), width=110, colour=False, verbose=True).splitlines()) > 400
    drift = tuple(Drift(address=node(i).address, detail="is gone", kind="gone") for i in range(20))
    assert "more" not in plan_text(plan(drift=drift), width=110, colour=False, verbose=True)


def test_control_characters_are_escaped() -> None:
    text = plan_text(_hostile(), width=110, colour=False)
    assert all(character.isprintable() or character == "\n" for character in text)


def test_ten_thousand_actions_are_fast() -> None:
    big = first_plan(10_000)
    best = min(_seconds(big) for _ in range(3))
    assert best < 0.5, "0.1 s on a quiet machine; five times that is a mistake"


def test_allocation_shows_extra_networks_and_host_names() -> None:
    granted = replace(
        ALLOCATION,
        networks=(*ALLOCATION.networks, Network(name="storage", cidr="10.9.0.0/24", vlan=30)),
        public=(PublicGrant(node="hello-frontend", address="192.0.2.1", prefix=24, fqdn="vc.example.org"),),
    )
    text = plan_text(plan(Action(verb="allocate", resource=granted, reason="new cluster")), width=150, colour=False)
    assert "192.0.2.1 (vc.example.org) · vlan 22 · 10.22.0.0/24 · storage vlan 30 10.9.0.0/24" in text


def _seconds(big: Plan) -> float:
    began = process_time()
    plan_text(big, width=110, colour=True)
    return process_time() - began


def test_lines_without_details() -> None:
    retold = Action(verb="update", resource=node(0), before=node(0), reason="unfinished", impact="live")
    alone = Action(verb="boot", resource=node(1, nics=()), reason="new")
    lines = plan_text(plan(retold, alone), width=110, colour=False).splitlines()
    assert lines[2].split() == ["~", "update", "hello-compute-0", "unfinished", "live"]
    assert "1 cpu · 1 GiB  new" in lines[3]


def test_recorded_image_is_not_transferred() -> None:
    renamed = Action(verb="record", resource=IMAGE, before=replace(IMAGE, cmdline="quiet"), reason="cmdline")
    text = plan_text(plan(renamed), width=120, colour=False)
    assert "MiB" not in text
    assert "record" in text
