"""``status``."""

from collections.abc import Callable
from pathlib import Path

from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.planning.plan import Drift
from pragmaspec.report.json_forms import json_text
from pragmaspec.report.status_text import status_json, status_text
from pragmaspec.report.style import Style
from pragmaspec.state_model import Record
from tests.report.samples import ALLOCATION, SEEN, node, running_state, state

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]
STYLE = Style()
STATE = running_state()
OBSERVED = {
    "lab": Observations(
        site="lab",
        identity=SEEN,
        nodes=(
            ObservedNode(address=node().address, generation=0, status="running"),
            ObservedNode(address=node(1).address, generation=0, status="off"),
        ),
    )
}
DRIFT = (
    Drift(address=node(0).address, detail="is gone from the site", kind="gone"),
    Drift(address=ALLOCATION.address, detail="has lost network private", kind="changed"),
)


def test_status(golden: Golden) -> None:
    text = status_text(STATE, OBSERVED, DRIFT, 0.05, STYLE) + "\n" + status_text(STATE, OBSERVED, (), 0.05, STYLE)
    golden(CASES / "status.txt", text)
    begun = state(Record(resource=node(0), status="pending"), Record(resource=node(1), status="pending"))
    assert "but 2 nodes are pending. `pragmaspec plan` shows" in status_text(begun, {}, (), 0.0, STYLE)
    golden(CASES / "status.json", json_text(status_json(STATE, OBSERVED, DRIFT)))
    assert "not asked" in status_text(state(Record(resource=node(0, nics=()))), {}, (), 0.0, STYLE)
    assert "No nodes" in status_text(state(), {}, (), 0.0, STYLE)
