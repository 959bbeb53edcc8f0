"""Whether a site can carry what is desired there: CPUs, memory and disk, with who holds them when it cannot."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import CapacityUse, Inventory
from pragmaspec.resources import Node, StagedImage
from pragmaspec.site import Site
from pragmaspec.spec.quantity import format_size
from pragmaspec.state_model import State
from pragmaspec.text import counted, few

SHOWN_HOLDERS = 5
MIB = 2**20


def _cpus(count: int) -> str:
    return counted(count, "cpu")


class _Kind(NamedTuple):
    """A kind of capacity: how it is called, where it stands in holdings and nodes, and how amounts of it are written."""

    what: str
    field: str
    shown: Callable[[int], str]
    only_running: bool


_KINDS = (
    _Kind("CPUs", "cpus", _cpus, only_running=True),
    _Kind("memory", "memory_mib", lambda amount: format_size(amount * MIB), only_running=True),
    _Kind("disk", "disk_bytes", format_size, only_running=False),
)


def shortages(
    site: Site, inventory: Inventory, desired: Sequence[Desired], state: State, planned: frozenset[str]
) -> tuple[Problem, ...]:
    """Everything that is short at ``site`` for ``desired``; empty: it fits.

    Holdings with this stack's lineage count only at addresses outside ``planned``: the plan replaces those. A site that is
    over-full already is a problem only to a plan that asks for more.
    """
    here = [entry for entry in desired if entry.resource.site == site.name]
    wanted = [entry.resource for entry in here if isinstance(entry.resource, Node)]
    recorded = [node for node in state.nodes() if node.site == site.name and node.address in planned]
    others = [held for held in inventory.holdings if held.lineage != state.lineage or held.address not in planned]
    problems = list(_too_large(inventory, here, site.name))
    for kind in _KINDS:
        limit, explained = _limit(kind, site, inventory)
        want, had = _total(wanted, kind), _total(recorded, kind)
        held = sum(getattr(holding, kind.field) for holding in others)
        if want > had and held + want > limit:
            problems.append(
                Problem(
                    summary=f"Not enough {kind.what}",
                    detail=f"Site {site.name} is {kind.shown(held + want - limit)} short: it has {kind.shown(limit)}{explained}, "
                    f"this spec wants {kind.shown(want)}, and {_holders(others, kind, held)}. "
                    "Ask for less, shut other clusters down, or raise the site's `overcommit:`.",
                    where=_largest(here, kind),
                )
            )
    return (*problems, *_transfers(site, inventory, here))


def _largest(here: Iterable[Desired], kind: _Kind) -> Where | None:
    """The line of the spec that asks for most."""
    amounts: dict[Where | None, int] = {}
    for entry in here:
        if isinstance(entry.resource, Node):
            amounts[entry.where] = amounts.get(entry.where, 0) + _total((entry.resource,), kind)
    return max(amounts, key=lambda where: amounts[where], default=None)


def _limit(kind: _Kind, site: Site, inventory: Inventory) -> tuple[int, str]:
    """How much may be promised, and how that comes about where it is not just what is there."""
    physical: int = getattr(inventory, kind.field)
    kept: int = getattr(site.reserve, kind.field, 0)
    times = {"cpus": site.overcommit.cpus, "memory_mib": site.overcommit.memory, "disk_bytes": site.overcommit.disk}[kind.field]
    parts = [f"{kind.shown(physical)} in all"]
    parts += [f"{kind.shown(kept)} kept for the host"] if kept else []
    parts += [f"each may be promised {times:g} times"] if times != 1 else []
    return int((physical - kept) * times), f" ({', '.join(parts)})" if len(parts) > 1 else ""


def _total(nodes: Iterable[Node], kind: _Kind) -> int:
    return sum(getattr(node, kind.field) for node in nodes if node.running or not kind.only_running)


def _transfers(site: Site, inventory: Inventory, here: Iterable[Desired]) -> Iterable[Problem]:
    images = [(entry.resource, entry.where) for entry in here if isinstance(entry.resource, StagedImage)]
    missing = [(image, where) for image, where in images if image.digest not in inventory.images]
    needed = sum(image.transfer_bytes for image, _ in missing)
    if needed > inventory.disk_free_bytes:
        names = ", ".join(sorted(image.name for image, _ in missing))
        yield Problem(
            summary="Not enough disk for the images",
            detail=f"Staging {names} at site {site.name} takes {format_size(needed)}, and the pool has "
            f"{format_size(inventory.disk_free_bytes)} free: {format_size(needed - inventory.disk_free_bytes)} short. "
            "Clean clusters or images that are no longer needed.",
            where=missing[0][1],
        )


def _too_large(inventory: Inventory, nodes: Iterable[Desired], site: str) -> Iterable[Problem]:
    seen: set[Where | None] = set()
    for entry in nodes:
        node = entry.resource
        if isinstance(node, Node) and node.cpus > inventory.cpus_per_node and entry.where not in seen:
            seen.add(entry.where)
            yield Problem(
                summary="A node wants more CPUs than one can have",
                detail=f"{node.name} wants {_cpus(node.cpus)}, and a node at site {site} can have {inventory.cpus_per_node:,}. "
                "Spread the work over more computes.",
                where=entry.where,
            )


def _holders(holdings: Iterable[CapacityUse], kind: _Kind, held: int) -> str:
    amounts: dict[str, int] = {}
    for holding in holdings:
        owner = _owner(holding)
        amounts[owner] = amounts.get(owner, 0) + getattr(holding, kind.field)
    largest = sorted(((amount, owner) for owner, amount in amounts.items() if amount), key=lambda one: (-one[0], one[1]))
    if not largest:
        return "nobody else holds any"
    shown = few([f"{owner}: {kind.shown(amount)}" for amount, owner in largest], SHOWN_HOLDERS)
    return f"others hold {kind.shown(held)} ({shown})"


def _owner(holding: CapacityUse) -> str:
    """A cluster as one holder, however many nodes it has; the site's own words for what carries nobody's marks."""
    if holding.address is None or holding.lineage is None or "/node/" not in holding.address:
        return holding.owner
    return f"cluster {holding.address.split('/')[1]} of stack {holding.lineage[:8]}"
