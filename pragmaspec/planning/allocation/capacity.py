"""Checks that a site has the capacity for the desired resources: CPUs, memory and disk. Pure."""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import CapacityUse, ExclusiveUse, Inventory
from pragmaspec.resources import UNCHOSEN, Node, StagedImage, Volume
from pragmaspec.site import Site
from pragmaspec.spec.quantity import format_size
from pragmaspec.state_model import State
from pragmaspec.text import counted, few

MAX_USERS = 5
"""Number of users of a capacity that an error names."""
MIB = 2**20


class _Kind(NamedTuple):
    """A kind of capacity. ``field`` is its name in capacity uses, nodes and inventories."""

    name: str
    field: str
    text: Callable[[int], str]
    only_running: bool


_KINDS = (
    _Kind("CPUs", "cpus", lambda count: counted(count, "cpu"), only_running=True),
    _Kind("memory", "memory_mib", lambda amount_mib: format_size(amount_mib * MIB), only_running=True),
    _Kind("disk", "disk_bytes", format_size, only_running=False),
)


def shortages(
    site: Site, inventory: Inventory, desired: Sequence[Desired], state: State, scope: Container[str]
) -> tuple[Problem, ...]:
    """Return the shortages at ``site`` for ``desired``.

    The inventory's uses by this stack count only at addresses outside ``scope``: the plan replaces those. An overcommitted site
    is a problem only for a plan that needs more capacity.
    """
    if not inventory.reports_capacity:
        return ()
    here = [entry for entry in desired if entry.resource.site == site.name]
    wanted = [entry.resource for entry in here if isinstance(entry.resource, Node | Volume)]
    recorded = [node for node in state.nodes() if node.site == site.name and node.address in scope]
    volumes = [record.resource for record in state.records if isinstance(record.resource, Volume)]
    volumes = [volume for volume in volumes if volume.site == site.name and volume.address in scope]
    others = [use for use in inventory.holdings if use.lineage != state.lineage or use.address not in scope]
    others_pinned = [use for use in inventory.cpu_uses if use.lineage != state.lineage or use.address not in scope]
    problems = list(_oversized_nodes(inventory, here, site.name))
    for kind in _KINDS:
        pinned = _pinned_cpus(wanted, others_pinned) if kind.field == "cpus" else 0
        limit, explanation = _limit(kind, site, inventory, pinned)
        needed, before = _total(wanted, kind), _total((*recorded, *volumes), kind)
        used = sum(getattr(use, kind.field) for use in others)
        if needed > before and used + needed > limit:
            problems.append(
                Problem(
                    summary=f"Not enough {kind.name}",
                    detail=f"Site {site.name} is {kind.text(used + needed - limit)} short: it has {kind.text(limit)}"
                    f"{explanation}, this spec needs {kind.text(needed)}, and {_users(others, kind, used)}. "
                    "Reduce the spec, shut down other clusters, or raise the site's `overcommit:`.",
                    where=_largest(here, kind),
                )
            )
    return (*problems, *_staging_shortage(site, inventory, here))


def _largest(here: Iterable[Desired], kind: _Kind) -> Where | None:
    """Return the line of the spec that needs most."""
    amounts: dict[Where | None, int] = {}
    for entry in here:
        if isinstance(entry.resource, Node | Volume):
            amounts[entry.where] = amounts.get(entry.where, 0) + _total((entry.resource,), kind)
    return max(amounts, key=lambda where: amounts[where], default=None)


def _pinned_cpus(wanted: Iterable[Node | Volume], others: Iterable[ExclusiveUse]) -> int:
    """Return the number of host CPUs that running machines have for themselves."""
    own = {cpu for node in wanted if isinstance(node, Node) and node.running for cpu in node.pinned if cpu != UNCHOSEN}
    return len(own) + len({use.value for use in others if use.running})


def _limit(kind: _Kind, site: Site, inventory: Inventory, pinned: int) -> tuple[int, str]:
    """Return the capacity for nodes, and its derivation if it is not the physical capacity.

    Overcommit does not apply to the ``pinned`` CPUs: other machines get their share of the rest.
    """
    physical: int = getattr(inventory, kind.field)
    reserved: int = getattr(site.reserve, kind.field, 0)
    factor = {"cpus": site.overcommit.cpus, "memory_mib": site.overcommit.memory, "disk_bytes": site.overcommit.disk}[kind.field]
    parts = [f"{kind.text(physical)} in total"]
    parts += [f"{kind.text(reserved)} reserved for the host"] if reserved else []
    parts += [f"{kind.text(pinned)} pinned"] if pinned else []
    parts += [f"overcommitted {factor:g} times"] if factor != 1 else []
    return int(max(0, physical - reserved - pinned) * factor) + pinned, f" ({', '.join(parts)})" if len(parts) > 1 else ""


def _total(resources: Iterable[Node | Volume], kind: _Kind) -> int:
    return sum(_amount(resource, kind) for resource in resources)


def _amount(resource: Node | Volume, kind: _Kind) -> int:
    if isinstance(resource, Volume):
        return resource.size_bytes if kind.field == "disk_bytes" else 0
    if kind.only_running and not resource.running:
        return 0
    amount: int = getattr(resource, kind.field)
    if kind.field == "disk_bytes" and resource.disks:
        amount += sum(disk.size_bytes for disk in resource.own_disks)
    return amount


def _staging_shortage(site: Site, inventory: Inventory, here: Iterable[Desired]) -> Iterable[Problem]:
    images = [(entry.resource, entry.where) for entry in here if isinstance(entry.resource, StagedImage)]
    missing = [(image, where) for image, where in images if image.digest not in inventory.images]
    needed = sum(image.size_bytes for image, _ in missing)
    if needed > inventory.disk_free_bytes:
        names = ", ".join(sorted(image.name for image, _ in missing))
        yield Problem(
            summary="Not enough disk for the images",
            detail=f"Staging {names} at site {site.name} needs {format_size(needed)}, and the pool has "
            f"{format_size(inventory.disk_free_bytes)} free: {format_size(needed - inventory.disk_free_bytes)} short. "
            "Clean clusters or images that are no longer needed.",
            where=missing[0][1],
        )


def _oversized_nodes(inventory: Inventory, entries: Iterable[Desired], site: str) -> Iterable[Problem]:
    """Return one problem per line of the spec."""
    seen: set[Where | None] = set()
    for entry in entries:
        node = entry.resource
        if isinstance(node, Node) and node.cpus > inventory.cpus_per_node and entry.where not in seen:
            seen.add(entry.where)
            yield Problem(
                summary="Too many CPUs for one node",
                detail=f"{node.name} wants {counted(node.cpus, 'cpu')}, and a node at site {site} can have at most "
                f"{inventory.cpus_per_node:,}. Use more computes with fewer CPUs.",
                where=entry.where,
            )


def _users(uses: Iterable[CapacityUse], kind: _Kind, used: int) -> str:
    amounts: dict[str, int] = {}
    for use in uses:
        owner = _owner(use)
        amounts[owner] = amounts.get(owner, 0) + getattr(use, kind.field)
    largest = sorted(((amount, owner) for owner, amount in amounts.items() if amount), key=lambda pair: (-pair[0], pair[1]))
    if not largest:
        return "others use none"
    users = few([f"{owner}: {kind.text(amount)}" for amount, owner in largest], MAX_USERS)
    return f"others use {kind.text(used)} ({users})"


def _owner(use: CapacityUse) -> str:
    """Return the cluster of a marked machine, so that its nodes count together; else the site's name of the owner."""
    if use.address is None or use.lineage is None or "/node/" not in use.address:
        return use.owner
    return f"cluster {use.address.split('/')[1]} of stack {use.lineage[:8]}"
