"""What ``orphans`` says."""

from pragmaspec.planning.orphans import Orphan
from pragmaspec.report.orphans_text import orphans_text, others_text
from pragmaspec.report.style import Pen

LOST = Orphan(site="lab", address="lab/hello/node/hello-compute-0", kind="node")


def test_how_to_record_one_is_said_where_that_can_be_done() -> None:
    assert "orphans --adopt" in orphans_text((LOST,), ("lab",), Pen())


def test_what_lies_beside_a_recorded_one_or_goes_by_itself_cannot_be_adopted() -> None:
    beside = Orphan(site="lab", address=LOST.address, kind="node", beside=True)
    over = Orphan(site="lab", address=LOST.address, kind="node", left_over=True)
    text = orphans_text((beside, over), ("lab",), Pen())
    assert "beside the recorded one" in text
    assert "left over: the next apply removes it" in text
    assert "--adopt" not in text


def test_none() -> None:
    assert others_text((), Pen()) == "No other stack has anything at these sites.\n"
    assert orphans_text((), ("lab", "hall"), Pen()) == "Nothing with this stack's marks is without a record at lab, hall.\n"
