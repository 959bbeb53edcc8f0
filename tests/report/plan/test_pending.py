from msgspec.structs import replace

from pragmaspec.planning.plan import PendingChange
from pragmaspec.report.plan.text import plan_text
from tests.report.values import first_plan, line, node, plan

WAITING = (
    PendingChange(address=node().address, reason="disk and image changed", impact="rebuild", where=line(9)),
    PendingChange(address=node(0).address, reason="memory changed", impact="reboot", until="running"),
    PendingChange(address=node(1).address, reason="memory changed", impact="reboot", until="running"),
)


def test_what_waits_stands_below_the_plan_with_its_risk_and_place() -> None:
    text = plan_text(replace(first_plan(), pending=WAITING), width=100, colour=False)
    assert text.endswith(
        "\nDeferred to the next apply, because this plan only changes power:\n\n"
        "  ~  hello-frontend  disk and image changed  REBUILD  line 9\n"
        "\nDeferred until hello runs again (`state: off` in the spec):\n\n"
        "  ~  hello-compute-0 and hello-compute-1  memory changed\n"
    )


def test_where_room_is_short_lines_are_broken() -> None:
    text = plan_text(replace(plan(), pending=WAITING), width=32, colour=False)
    assert "  ~ hello-frontend disk and\n    image changed REBUILD line 9\n" in text


def test_nothing_to_do_now_is_not_as_the_spec_says() -> None:
    assert plan_text(replace(plan(), pending=WAITING), width=100, colour=False).startswith(
        "No changes now at lab: the changes of "
    )
