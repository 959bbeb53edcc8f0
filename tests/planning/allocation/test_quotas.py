"""Quotas: what a plan adds, and the errors. See also tests/cases/plan/quota-*."""

from msgspec.structs import replace

from pragmaspec.planning.allocation.quotas import amounts, quota_amount, quota_shortages
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.observed import CapacityUse, PoolUse, Quota, QuotaUse
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, LINEAGE, ROOMY, applied_state, cluster, line


def entries(state: State) -> list[Desired]:
    return [Desired(record.resource, line(8)) for record in state.records]


def details(
    quota: Quota, before: State, after: State, scope: frozenset[str] | None = None, gone: tuple[str, ...] = ()
) -> tuple[str, ...]:
    everything = frozenset(record.address for record in (*before.records, *after.records))
    refreshed = RefreshedState(before, frozenset(gone), ())
    inventory = replace(ROOMY, quotas=(quota,))
    return tuple(problem.detail for problem in quota_shortages("lab", inventory, entries(after), refreshed, scope or everything))


HELLO = applied_state(cluster(computes=2))
OFF = HELLO.with_records(
    replace(record, resource=replace(record.resource, running=False))
    for record in HELLO.records
    if isinstance(record.resource, Node)
)


def test_the_amounts_of_resources() -> None:
    allocation = next(record.resource for record in HELLO.records if isinstance(record.resource, Allocation))
    frontend = next(iter(HELLO.nodes()))
    assert amounts(allocation) == {"cluster": 1, "network": 1, "address": 1}
    assert amounts(frontend)["nic"] == 1
    assert [amounts(record.resource) for record in HELLO.records if isinstance(record.resource, StagedImage)] == [{}]


def test_a_site_without_quotas_has_no_shortages() -> None:
    assert details(Quota(kind="instances", limit=None, used=99), EMPTY, HELLO) == ()


def test_the_same_objects_add_nothing() -> None:
    assert details(Quota(kind="instances", limit=0, used=3), HELLO, HELLO) == ()


def test_the_users_of_a_quota_are_named_largest_first() -> None:
    users = (
        QuotaUse(owner="gateway", amount=1),
        QuotaUse(owner="cluster sim of stack 77aa12cd", amount=4, lineage="77aa12cd"),
        QuotaUse(owner="cluster a of stack 3f9a1c2b", amount=2, lineage=LINEAGE),
        QuotaUse(owner="cluster b of stack 3f9a1c2b", amount=3, lineage=LINEAGE),
    )
    (detail,) = details(Quota(kind="instances", limit=11, used=10, users=users), EMPTY, HELLO)
    assert "11 instances, with 10 in use (this stack: 5, cluster sim of stack 77aa12cd: 4, gateway: 1)" in detail
    assert "adds 3, which is 2 too many" in detail


def test_nodes_that_are_off_count_unless_the_site_says_otherwise() -> None:
    quota = Quota(kind="cores", limit=3, used=2)
    assert details(quota, OFF, HELLO) == ()
    (detail,) = details(replace(quota, counts_stopped=False), OFF, HELLO)
    assert "adds 3" in detail
    assert "with 2 in use (others: 2)" in detail
    assert details(replace(quota, counts_stopped=False, limit=1), OFF, OFF) == ()


def test_a_new_node_that_is_off_is_not_created() -> None:
    assert details(Quota(kind="instances", limit=0), EMPTY, OFF) == ()


def test_a_missing_node_takes_its_place_again() -> None:
    gone = "lab/hello/node/hello-compute-1"
    assert details(Quota(kind="instances", limit=3, used=2), HELLO, HELLO, gone=(gone,)) == ()
    (detail,) = details(Quota(kind="instances", limit=3, used=3), HELLO, HELLO, gone=(gone,))
    assert "adds 1, which is 1 too many" in detail
    assert "this stack: 2, others: 1" in detail


def test_removals_outside_the_scope_are_no_remedy() -> None:
    other = applied_state(cluster("other", computes=0))
    quota = Quota(kind="instances", limit=3, used=3)
    (detail,) = details(quota, HELLO, other)
    assert detail.endswith("Apply the removal first: `pragmaspec apply --target hello`.")
    scope = frozenset(record.address for record in other.records)
    (detail,) = details(quota, HELLO, other, scope)
    assert "ask the site's administrators" in detail


def test_removed_nodes_that_do_not_count_are_no_remedy() -> None:
    smaller = applied_state(cluster(computes=0))
    stopped = replace(Quota(kind="cores", limit=0, used=1), counts_stopped=False)
    (detail,) = details(stopped, OFF, smaller)
    assert "ask the site's administrators" in detail


def test_objects_without_a_record_exist_already() -> None:
    addresses = [record.address for record in HELLO.records]
    machine = CapacityUse(owner="ours", lineage=LINEAGE, address="lab/hello/node/hello-compute-1")
    foreign = CapacityUse(owner="theirs", lineage="77aa12cd", address="lab/hello/node/hello-compute-0")
    vlan = PoolUse(value="20", owner="ours", lineage=LINEAGE, address="lab/hello/allocation")
    refreshed = RefreshedState(EMPTY, frozenset(), ())
    quotas = (Quota(kind="instances", limit=1, used=1), Quota(kind="networks", limit=1, used=1))
    inventory = replace(ROOMY, quotas=quotas, holdings=(machine, foreign), vlans=(vlan,))
    (problem,) = quota_shortages("lab", inventory, entries(HELLO), refreshed, frozenset(addresses))
    assert "adds 2, which is 2 too many" in problem.detail


def test_the_fewest_removals_that_suffice_are_proposed() -> None:
    both = HELLO.with_records(applied_state(cluster("other", computes=0)).records)
    wanted = applied_state(cluster("next", computes=0))
    (detail,) = details(Quota(kind="instances", limit=4, used=4), both, wanted)
    assert detail.endswith("`pragmaspec apply --target hello`.")
    (detail,) = details(Quota(kind="instances", limit=1, used=4), both, wanted)
    assert "removes hello and other, but" in detail
    assert detail.endswith("`pragmaspec apply --target hello --target other`.")


def test_a_site_states_the_rates_of_its_objects() -> None:
    quota = Quota(kind="ports", limit=4, rates=(("nic", 1), ("network", 2)))
    (detail,) = details(quota, EMPTY, HELLO)
    assert "adds 5, which is 1 too many" in detail


def test_amounts_have_the_unit_of_their_kind() -> None:
    assert [quota_amount(kind, 2048) for kind in ("memory", "disk", "ports")] == ["2 GiB", "2 KiB", "2,048"]
