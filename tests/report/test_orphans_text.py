"""``orphans``."""

from pragmaspec.planning.observed import ObservedVolume
from pragmaspec.planning.orphans import Orphan, OtherStack
from pragmaspec.report.orphans_text import orphans_text, other_stacks_text
from pragmaspec.report.style import Style

LOST = Orphan(site="lab", address="lab/hello/node/hello-compute-0", kind="node")


def test_adoptable_orphans_have_advice() -> None:
    assert "orphans --adopt" in orphans_text((LOST,), ("lab",), Style())


def test_duplicates_and_leftovers_have_no_advice() -> None:
    beside = Orphan(site="lab", address=LOST.address, kind="node", recorded_beside=True)
    over = Orphan(site="lab", address=LOST.address, kind="node", left_over=True)
    text = orphans_text((beside, over), ("lab",), Style())
    assert "a different object is recorded" in text
    assert "left over: the next apply removes it" in text
    assert "--adopt" not in text


def test_volumes_have_their_size() -> None:
    seen = ObservedVolume(address="lab/volume/home", size_bytes=2**30)
    assert "1 GiB" in orphans_text((Orphan(site="lab", address=seen.address, kind="volume", seen=seen),), ("lab",), Style())
    other = OtherStack(site="lab", lineage="3f9a1c2b", known=False, volumes=7)
    assert "7" in other_stacks_text((other,), Style())


def test_none() -> None:
    assert other_stacks_text((), Style()) == "No other stack has objects at these sites.\n"
    assert orphans_text((), ("lab", "hall"), Style()) == "No orphans at lab, hall.\n"
