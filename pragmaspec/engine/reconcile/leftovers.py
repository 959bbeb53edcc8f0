"""Leftovers: what calls made that took effect twice, or after the thing was removed again. Pure.

Only what the state knows to be over is removed: a second machine of a creation whose machine is bound, and whatever carries an op
that was closed. Anything else that carries our marks may be the real one of a state that was put back, and is only reported.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.planning.observed import Observations
from pragmaspec.providers.base import Provider
from pragmaspec.resources import Mark, StagedImage
from pragmaspec.site import IdentityKind
from pragmaspec.state_model import ClosedOp, Record, State


class Leftover(NamedTuple):
    """What a site calls it, and the mark it carries."""

    site_id: str
    mark: Mark


def may_have_leftovers(provider: Provider) -> bool:
    """Whether anything can be left over at the provider's site."""
    return (provider.identity_kind != "ident" or provider.window_s > 0) and provider.abilities.duplicate_removal is not None


def find_leftovers(state: State, seen: Observations, kind: IdentityKind) -> list[Leftover]:
    """Everything at one site that is to be removed."""
    here = [record for record in state.records if record.resource.site == seen.site]
    records = {record.original_address: record for record in here}
    closed = {each.op: each for each in state.closed_ops}
    found = [*_nodes(state.lineage, seen, records, closed, kind), *_allocations(state.lineage, seen, records, closed)]
    known = {*records, *(leftover.mark.address for leftover in found)}
    if all(node.address in known for node in seen.nodes):
        # A machine that nobody knows of may stand on an image that nobody knows of.
        found += _images(state, seen, here)
    return found


def _nodes(
    lineage: str, seen: Observations, records: dict[str, Record], closed: dict[str, ClosedOp], kind: IdentityKind
) -> Iterator[Leftover]:
    for node in seen.nodes:
        record = records.get(node.address)
        if node.op in closed:
            over = record is None or node.generation < record.generation or (kind != "ident" and node.id != record.site_id)
        else:
            twice = record is not None and bool(node.op) and record.op == node.op and record.site_id not in ("", node.id)
            over = kind != "ident" and twice
        if over:
            yield Leftover(node.id, Mark(lineage=lineage, address=node.address, generation=node.generation, op=node.op))


def _allocations(lineage: str, seen: Observations, records: dict[str, Record], closed: dict[str, ClosedOp]) -> Iterator[Leftover]:
    for granted in seen.allocations:
        if granted.op in closed and granted.address not in records:
            yield Leftover(granted.id, Mark(lineage=lineage, address=granted.address, op=granted.op))


def _images(state: State, seen: Observations, here: list[Record]) -> Iterator[Leftover]:
    used = {record.resource.digest for record in here if isinstance(record.resource, StagedImage)}
    closed = {each.address: each for each in state.closed_ops}
    for digest in seen.images:
        over = closed.get(f"{seen.site}/image/{digest[:16]}")
        if over is not None and digest not in used:
            yield Leftover(digest, Mark(lineage=state.lineage, address=over.address, op=over.op))
