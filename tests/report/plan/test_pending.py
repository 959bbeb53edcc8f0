from msgspec.structs import replace

from pragmaspec.planning.plan import PendingChange
from pragmaspec.report.plan.text import plan_text
from tests.report.samples import first_plan, line, node, plan

WAITING = (
    PendingChange(address=node().address, reason="disk and image changed", impact="rebuild", where=line(9)),
    PendingChange(address=node(0).address, reason="memory changed", impact="reboot", until="running"),
    PendingChange(address=node(1).address, reason="memory changed", impact="reboot", until="running"),
)


def test_deferred_changes_are_below_the_plan() -> None:
    text = plan_text(replace(first_plan(), pending=WAITING), width=100, colour=False)
    assert text.endswith(
        "\nDeferred to the next apply, because this plan only changes power:\n\n"
        "  ~  hello-frontend  disk and image changed  REBUILD  line 9\n"
        "\nDeferred until hello runs again (`state: off` in the spec):\n\n"
        "  ~  hello-compute-0 and hello-compute-1  memory changed\n"
    )


def test_deferred_changes_wrap() -> None:
    text = plan_text(replace(plan(), pending=WAITING), width=32, colour=False)
    assert "  ~ hello-frontend disk and\n    image changed REBUILD line 9\n" in text


def test_plan_with_only_deferred_changes() -> None:
    assert plan_text(replace(plan(), pending=WAITING), width=100, colour=False).startswith(
        "No changes now at lab: the changes of "
    )
