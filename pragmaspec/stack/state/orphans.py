"""Finds orphans at the sites, and adopts them into the state."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from pragmaspec.errors import Problem, UsageError
from pragmaspec.planning.orphans import Orphan, OtherStack, orphans, other_stacks
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Resource
from pragmaspec.site import Site
from pragmaspec.stack.planning import compute_plan
from pragmaspec.stack.sites import Sites
from pragmaspec.stack.state.adopt import (
    adopted_record,
    adoption_order,
    recorded_ranges,
    with_current_address,
    with_held_allocations,
    with_original_address,
)
from pragmaspec.state.stack_key import key_file
from pragmaspec.state_model import Record, State


class AdoptionResult(NamedTuple):
    """The state with the adopted orphans, and their addresses."""

    state: State
    addresses: tuple[str, ...]


def find_orphans(state: State, sites: Sites, names: Iterable[str]) -> tuple[Orphan, ...]:
    """Return the unrecorded objects of this stack at the sites ``names``, including snapshot files. One listing per site."""
    names = tuple(names)
    sites.refresh_storage(names)
    return orphans(state, sites.observe(names, state))


def find_other_stacks(lineage: str, sites: Sites, names: Iterable[str]) -> tuple[OtherStack, ...]:
    """Return the other stacks at the sites ``names``. A stack is known if its key is on this machine."""
    return other_stacks(sites.inventories(names), lineage, lambda other: key_file(other).exists())


def select_orphans(found: Iterable[Orphan], patterns: Iterable[str]) -> tuple[Orphan, ...]:
    """Return the orphans that match ``patterns``: addresses, or patterns with ``*``. Raises UsageError for no match.

    Excludes objects beside a recorded one, which cannot be recorded too, and leftovers, which the next apply removes.
    """
    free = [orphan for orphan in found if not orphan.recorded_beside and not orphan.left_over]
    picked: dict[str, Orphan] = {}
    for pattern in patterns:
        matching = [orphan for orphan in free if fnmatchcase(orphan.address, pattern)]
        if not matching:
            known = ", ".join(sorted(orphan.address for orphan in free)) or "nothing"
            raise UsageError(
                "No such orphan",
                f"No unrecorded object matches {pattern}. Unrecorded objects with this stack's marks: {known}.",
            )
        picked.update((orphan.address, orphan) for orphan in matching)
    return tuple(picked[address] for address in sorted(picked))


def adopt_orphans(
    found: Iterable[Orphan], state: State, wanted: Wanted | None, sites: Sites, options: Iterable[Site]
) -> AdoptionResult:
    """Return ``state`` with ``found`` recorded as degraded. ``options``: of the sites. Raises PlanError, SiteError, UsageError.

    Allocations and images come first, because the addresses of nodes follow from them. Objects of renamed clusters or sites are
    recorded under the current name.
    """
    found = tuple(found)
    _refuse_taken(found, state)
    known = {site.name: site for site in (*state.sites, *options)}
    parts = adoption_order(found)
    used = {orphan.site for part in parts for orphan in part}
    state = _with_sites(state, [known[name] for name in sorted(known) if name in used])
    taken: list[str] = []
    for part in parts:
        if part:
            now = tuple(with_current_address(orphan, state) for orphan in part)
            resources = _wanted_resources(now, state, wanted, sites)
            records = [
                with_original_address(_adopted(called, resources, state), orphan.address, state.lineage)
                for orphan, called in zip(part, now, strict=True)
            ]
            state = state.with_records(records)
            taken += [record.address for record in records]
    return AdoptionResult(state, tuple(sorted(taken)))


def _adopted(orphan: Orphan, wanted: Mapping[str, Resource], state: State) -> Record:
    is_allocation = orphan.kind == "allocation"
    return adopted_record(orphan, wanted, recorded_ranges(state, *orphan.address.split("/")[:2]) if is_allocation else {})


def _refuse_taken(found: tuple[Orphan, ...], state: State) -> None:
    """Raise UsageError if another object is recorded at the current address of one of ``found``."""
    problems = [
        Problem(
            summary="Another object is recorded under this name",
            detail=f"{orphan.address} is now called {address}, which is the record of an object that was created later. Remove "
            f"that record first (`pragmaspec state rm {address}`) to record the earlier object instead. Nothing was changed.",
        )
        for orphan in found
        if (address := with_current_address(orphan, state).address) != orphan.address and state.record(address) is not None
    ]
    if problems:
        raise UsageError.of(problems)


def _wanted_resources(part: tuple[Orphan, ...], state: State, wanted: Wanted | None, sites: Sites) -> Mapping[str, Resource]:
    """Return the wanted resources at the addresses of ``part``."""
    if wanted is None:
        return {}
    asked = {(orphan.site, orphan.address.split("/")[1]) for orphan in part if orphan.kind in ("node", "allocation")}
    clusters = [cluster.name for cluster in wanted.clusters if (cluster.site, cluster.name) in asked]
    digests = {orphan.digest for orphan in part if orphan.kind == "image"}
    images = [cluster.name for cluster in wanted.clusters for image in wanted.images_of(cluster) if image.digest in digests]
    if not clusters and not images:
        return {}
    held = [orphan for orphan in part if orphan.kind == "allocation"]
    if held:
        wanted = with_held_allocations(wanted, state, held, sites.inventories({orphan.site for orphan in held}))
        # A cluster with recorded nodes is only switched on, with the networks that are recorded.
        granted = {(orphan.site, orphan.address.split("/")[1]) for orphan in held}
        state = state.with_records((), [node.address for node in state.nodes() if (node.site, node.cluster) in granted])
    request = PlanRequest(running=tuple((name, True) for name in clusters), accept_missing=True)
    plan = compute_plan(wanted, state, sites, request, refresh=False)
    return {action.address: action.resource for action in plan.actions if action.verb != "clean"}


def _with_sites(state: State, used: list[Site]) -> State:
    from msgspec.structs import replace

    by_name = {site.name: site for site in (*state.sites, *used)}
    return replace(state, sites=tuple(by_name[name] for name in sorted(by_name)))
