"""Invariants of every state that pragmaspec writes, checked before each write so that a bug cannot be recorded."""

from collections import defaultdict
from collections.abc import Iterable

from pragmaspec.errors import StateUnwritableError
from pragmaspec.resources import Allocation, Resource
from pragmaspec.state_model import Record, State


def contradictions(records: Iterable[Record]) -> frozenset[str]:
    """Return all contradictions between ``records``, human-readable.

    One object at a site (original address and generation), one creation (op), one public address and one VLAN of a site belong to
    one record each.
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
    """Return the VLANs and public addresses of a site's pools that ``resource`` owns."""
    if not isinstance(resource, Allocation):
        return []
    vlans = [("VLAN", str(network.vlan), "of site", resource.site) for network in resource.networks if network.vlan is not None]
    public = [("address", grant.address, "of site", resource.site) for grant in resource.public if grant.address]
    return [*vlans, *public]


def check_invariants(state: State, before: State) -> None:
    """Raise StateUnwritableError for a contradiction in ``state`` that is not in ``before``.

    Earlier contradictions may be written again, so that they can be corrected.
    """
    _check_new(contradictions(state.records), before.records)


def check_claims(state: State, resources: Iterable[Resource]) -> None:
    """Raise StateUnwritableError if one of ``resources`` claims what another of them, or another record of ``state``, owns."""
    requested = {resource.address: resource for resource in resources if isinstance(resource, Allocation)}
    if not requested:
        return
    before = [record for record in state.records if isinstance(record.resource, Allocation)]
    after = [Record(resource=resource) for resource in requested.values()]
    after += [record for record in before if record.address not in requested]
    _check_new(contradictions(after), before)


def _check_new(found: frozenset[str], before: Iterable[Record]) -> None:
    new = found and found - contradictions(before)
    if new:
        raise StateUnwritableError(
            "The state would contradict itself",
            f"{'; '.join(sorted(new))}. Each must have one owner, so this is not recorded and nothing more is started. "
            "Repeat the command: it makes a new plan from what is recorded. If that does not help, it is a bug in pragmaspec.",
        )
