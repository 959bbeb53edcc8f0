"""What is true of every state that pragmaspec writes. Checked before each write, always: a bug must not be recorded."""

from collections import defaultdict
from collections.abc import Iterable

from pragmaspec.errors import StateUnwritableError
from pragmaspec.resources import Allocation, Resource
from pragmaspec.state_model import Record, State


def contradictions(records: Iterable[Record]) -> frozenset[str]:
    """Every way in which ``records`` contradict one another, in words.

    One object at a site (address of its making and generation), one creation (op), one public address and one VLAN of a site
    belong to one record each.
    """
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for record in records:
        address = record.address
        owners["identity", f"{record.origin or address} generation {record.generation}"].add(address)
        if record.op:
            owners["creation", record.op].add(address)
        for claim in claims(record.resource):
            owners[claim].add(address)
    return frozenset(
        f"{' '.join(claim)} belongs to {' and to '.join(sorted(addresses))}"
        for claim, addresses in owners.items()
        if len(addresses) > 1
    )


def claims(resource: Resource) -> list[tuple[str, ...]]:
    """What of a site's pools ``resource`` holds for itself."""
    if not isinstance(resource, Allocation):
        return []
    vlans = [("VLAN", str(network.vlan), "of site", resource.site) for network in resource.networks if network.vlan is not None]
    public = [("address", grant.address, "of site", resource.site) for grant in resource.public if grant.address]
    return [*vlans, *public]


def check_invariants(state: State, before: State) -> None:
    """Raise StateUnwritableError when ``state`` contradicts itself in a way that ``before`` did not.

    What was wrong before stays writable, so that it can be put right.
    """
    wrong = contradictions(state.records)
    wrong = wrong and wrong - contradictions(before.records)
    if wrong:
        raise _contradiction(wrong)


def check_claims(state: State, resources: Iterable[Resource]) -> None:
    """Raise StateUnwritableError when one of ``resources`` claims what another record of ``state``, or another of them, holds."""
    asked = {resource.address: resource for resource in resources if isinstance(resource, Allocation)}
    if not asked:
        return
    after = [Record(resource=resource) for resource in asked.values()]
    after += [record for record in state.records if isinstance(record.resource, Allocation) and record.address not in asked]
    before = [record for record in state.records if isinstance(record.resource, Allocation)]
    wrong = contradictions(after)
    wrong = wrong and wrong - contradictions(before)
    if wrong:
        raise _contradiction(wrong)


def _contradiction(wrong: frozenset[str]) -> StateUnwritableError:
    return StateUnwritableError(
        "The state would contradict itself",
        f"{'; '.join(sorted(wrong))}. Each must have one owner, so this is not recorded and nothing more is started. "
        "Run the command again: it plans anew from what is recorded. If that does not help, it is a fault of pragmaspec.",
    )
