"""Leftovers: objects of calls that took effect twice, or after the object was removed again. Pure.

An object is a leftover only if the state proves it: a second machine of a creation whose machine is bound, or an object with a
closed op. Any other unrecorded object with our marks may be the real one of a restored state, and is only reported.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedVolume
from pragmaspec.providers.base import Provider
from pragmaspec.resources import Mark, StagedImage
from pragmaspec.site import IdentityKind
from pragmaspec.state_model import ClosedOp, Record, State


class Leftover(NamedTuple):
    """A leftover object: its id at the site, and its mark."""

    site_id: str
    mark: Mark


def may_have_leftovers(provider: Provider) -> bool:
    """True if there can be leftovers at the provider's site."""
    return (provider.identity_kind != "ident" or provider.window_s > 0) and provider.abilities.duplicate_removal is not None


def find_leftovers(state: State, observed: Observations, kind: IdentityKind) -> list[Leftover]:
    """Return the leftovers at one site."""
    here = [record for record in state.records if record.resource.site == observed.site]
    records = {record.original_address: record for record in here}
    closed = {each.op: each for each in state.closed_ops}
    found = [*_nodes(state.lineage, observed, records, closed, kind), *_claims(state.lineage, observed, records, closed)]
    known = {*records, *(leftover.mark.address for leftover in found)}
    if all(node.address in known for node in observed.nodes):
        # An unknown machine could use any of the images.
        found += _images(state, observed, here)
    return found


def _nodes(
    lineage: str, observed: Observations, records: dict[str, Record], closed: dict[str, ClosedOp], kind: IdentityKind
) -> Iterator[Leftover]:
    for node in observed.nodes:
        record = records.get(node.address)
        if node.op in closed:
            surplus = record is None or node.generation < record.generation or (kind != "ident" and node.id != record.site_id)
        else:
            duplicate = record is not None and bool(node.op) and record.op == node.op and record.site_id not in ("", node.id)
            surplus = kind != "ident" and duplicate
        if surplus:
            yield Leftover(node.id, Mark(lineage=lineage, address=node.address, generation=node.generation, op=node.op))


def _claims(lineage: str, observed: Observations, records: dict[str, Record], closed: dict[str, ClosedOp]) -> Iterator[Leftover]:
    """Allocations and volumes, of which a site has at most one per address."""
    claims: tuple[ObservedAllocation | ObservedVolume, ...] = (*observed.allocations, *observed.volumes)
    for claim in claims:
        if claim.op in closed and claim.address not in records:
            yield Leftover(claim.id, Mark(lineage=lineage, address=claim.address, op=claim.op))


def _images(state: State, observed: Observations, here: list[Record]) -> Iterator[Leftover]:
    used = {record.resource.digest for record in here if isinstance(record.resource, StagedImage)}
    closed = {each.address: each for each in state.closed_ops}
    for digest in observed.images:
        op = closed.get(f"{observed.site}/image/{digest[:16]}")
        if op is not None and digest not in used:
            yield Leftover(digest, Mark(lineage=state.lineage, address=op.address, op=op.op))
