import pytest
from msgspec.structs import replace

from pragmaspec.errors import StateUnwritableError
from pragmaspec.state.invariants import check_invariants, contradictions
from pragmaspec.state_model import Record, State
from tests.state.local_store import LocalStore
from tests.state.samples import ALLOCATION, LINEAGE, act, node

THEIRS = replace(ALLOCATION, cluster="other")
OTHER_VLAN = replace(THEIRS, networks=(replace(ALLOCATION.networks[0], vlan=23),))
OTHER_ADDRESS = replace(THEIRS, public=(replace(ALLOCATION.public[0], address="192.0.2.11"),))
APART = replace(OTHER_VLAN, public=OTHER_ADDRESS.public)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (Record(resource=OTHER_VLAN), {"address 192.0.2.10 of site lab"}),
        (Record(resource=OTHER_ADDRESS), {"VLAN 22 of site lab"}),
        (Record(resource=THEIRS), {"address 192.0.2.10 of site lab", "VLAN 22 of site lab"}),
        (Record(resource=APART), set()),
        (Record(resource=replace(THEIRS, site="hall")), set()),
        (Record(resource=APART, op="a"), {"creation a"}),
        (Record(resource=APART, origin=ALLOCATION.address), {"identity lab/hello/allocation generation 0"}),
        (Record(resource=APART, origin=ALLOCATION.address, generation=1), set()),
    ],
)
def test_each_identity_creation_address_and_vlan_has_one_owner(second, words):
    wrong = contradictions([Record(resource=ALLOCATION, op="a"), second])
    assert {each.partition(" belongs to ")[0] for each in wrong} == words


def test_a_contradictory_state_is_not_written(tmp_path):
    store = LocalStore(tmp_path / "hello")
    with store.session("apply", LINEAGE) as session:
        session.intend([act("allocate", ALLOCATION)])
        session.outcome(act("allocate", ALLOCATION), Record(resource=ALLOCATION))
        session.outcome(act("record", THEIRS), Record(resource=THEIRS))
        with pytest.raises(StateUnwritableError, match="belongs to lab/hello/allocation and to lab/other/allocation"):
            session.checkpoint()


def test_an_allocation_owned_by_another_cluster_is_not_begun(tmp_path):
    store = LocalStore(tmp_path / "hello")
    with store.session("apply", LINEAGE) as session:
        session.intend([act("allocate", ALLOCATION)])
        with pytest.raises(StateUnwritableError, match="VLAN 22"):
            session.intend([act("allocate", THEIRS)])
        session.intend([act("allocate", APART)])
        session.intend([act("allocate", replace(APART, networks=ALLOCATION.networks[:0]))])
    assert len(store.read().records) == 2


def test_allocations_begun_together_are_compared_with_each_other(tmp_path):
    with (
        LocalStore(tmp_path / "hello").session("apply", LINEAGE) as session,
        pytest.raises(StateUnwritableError, match="VLAN 22"),
    ):
        session.intend([act("allocate", ALLOCATION), act("allocate", THEIRS), act("boot", node(0))])


def test_an_earlier_contradiction_can_be_corrected():
    before = State(lineage=LINEAGE).with_records([Record(resource=ALLOCATION), Record(resource=THEIRS), Record(resource=node(0))])
    check_invariants(before.without(node(0).address), before)
    check_invariants(before.without(THEIRS.address), before)
    with pytest.raises(StateUnwritableError, match="address 192"):
        check_invariants(
            before.with_record(Record(resource=replace(OTHER_VLAN, cluster="third"))), before.without(THEIRS.address)
        )
