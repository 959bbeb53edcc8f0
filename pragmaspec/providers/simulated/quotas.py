"""Flavors and quotas of a simulated site: their use, and the refusal of calls that they do not allow."""

from collections import Counter
from collections.abc import Iterator, Mapping

from pragmaspec.errors import Problem, SiteCapacityError, SiteError
from pragmaspec.planning.allocation.quotas import USUAL_RATES, quota_amount, quota_name, rated
from pragmaspec.planning.observed import Quota, QuotaBasis, QuotaUse
from pragmaspec.providers.simulated.objects import (
    Grant,
    SimulatedMachine,
    SimulatedVolume,
    grant_amounts,
    machine_amounts,
    volume_amounts,
)
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Node
from pragmaspec.site import SimulatedSite


def check_flavor(site: SimulatedSite, before: SimulatedMachine | None, node: Node) -> None:
    """Raise SiteError for a machine of a size that the site does not offer. An existing machine keeps its flavor."""
    if before is not None and before.disk and (before.flavor, before.cpus, before.memory_mib) == _size(node):
        return
    if site.flavors is None:
        if node.flavor:
            raise _refusal(node, f"names the flavor {node.flavor}, and the site offers any size instead")
        return
    flavor = next((flavor for flavor in site.flavors if flavor.name == node.flavor), None)
    if flavor is None:
        raise _refusal(node, f"names the flavor {node.flavor}, which is not offered" if node.flavor else "names no flavor")
    if (flavor.cpus, flavor.memory_mib, flavor.disk_bytes or node.disk_bytes) != (node.cpus, node.memory_mib, node.disk_bytes):
        raise _refusal(node, f"is not of the size of its flavor {node.flavor}")


def check_processor(site: SimulatedSite, before: SimulatedMachine | None, node: Node) -> None:
    """Raise SiteError for a machine with a processor that the site does not have. An existing machine keeps its own."""
    if not node.cpu or (before is not None and before.disk and before.cpu == node.cpu):
        return
    if site.processors and node.cpu not in site.processors:
        raise _refusal(node, f"names the processor {node.cpu}, which is not offered", "processor")


def check_machine_quotas(world: World, site: SimulatedSite, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    """Raise SiteCapacityError if ``after`` in the place of ``before`` exceeds a quota."""
    if site.quotas:
        _check(world, site, after.address, machine_amounts(before) if before else {}, machine_amounts(after))


def check_grant_quotas(world: World, site: SimulatedSite, before: Grant | None, after: Grant) -> None:
    """Raise SiteCapacityError if ``after`` in the place of ``before`` exceeds a quota."""
    if site.quotas:
        _check(world, site, after.address, grant_amounts(before) if before else {}, grant_amounts(after))


def check_volume_quotas(world: World, site: SimulatedSite, before: SimulatedVolume | None, after: SimulatedVolume) -> None:
    """Raise SiteCapacityError if ``after`` in the place of ``before`` exceeds a quota."""
    if site.quotas:
        _check(world, site, after.address, volume_amounts(before) if before else {}, volume_amounts(after))


def site_quotas(world: World, site: SimulatedSite) -> tuple[Quota, ...]:
    """Return the quotas with their use."""
    if not site.quotas:
        return ()
    uses: dict[tuple[str, str], Counter[QuotaBasis]] = {}
    for lineage, owner, amounts in _uses(world):
        uses.setdefault((lineage, owner), Counter()).update(amounts)
    return tuple(
        Quota(
            kind=kind,
            limit=limit,
            used=rated(USUAL_RATES[kind], world.amounts),
            users=tuple(
                QuotaUse(owner=owner, amount=amount, lineage=lineage or None)
                for (lineage, owner), amounts in sorted(uses.items())
                if (amount := rated(USUAL_RATES[kind], amounts))
            ),
        )
        for kind, limit in site.quotas
    )


def _size(node: Node) -> tuple[str, int, int]:
    return (node.flavor, node.cpus, node.memory_mib)


def _check(
    world: World, site: SimulatedSite, address: str, before: Mapping[QuotaBasis, int], after: Mapping[QuotaBasis, int]
) -> None:
    problems = []
    for kind, limit in site.quotas:
        rates = USUAL_RATES[kind]
        needs, held = rated(rates, after), rated(rates, world.amounts) - rated(rates, before)
        if needs > rated(rates, before) and needs + held > limit:
            detail = (
                f"{address} needs {quota_amount(kind, needs)} of the quota of {quota_name(kind)} at site {site.name}, of which "
                f"{quota_amount(kind, held)} of {quota_amount(kind, limit)} are in use by others. Plan again, which shows "
                "the shortage."
            )
            problems.append(Problem(summary="A quota is exceeded", detail=detail))
    if problems:
        raise SiteCapacityError.of(problems)


def _uses(world: World) -> Iterator[tuple[str, str, Mapping[QuotaBasis, int]]]:
    for machine in world.machines.values():
        yield machine.lineage, _owner(machine), machine_amounts(machine)
    for grant in world.grants.values():
        yield grant.lineage, _owner(grant), grant_amounts(grant)
    for volume in world.volumes.values():
        owner = f"volumes of stack {volume.lineage[:8]}" if volume.lineage else volume.address
        yield volume.lineage, owner, volume_amounts(volume)


def _owner(owned: SimulatedMachine | Grant) -> str:
    """Return the cluster of a marked object, so that its objects count together; else the foreign owner."""
    return f"cluster {owned.address.split('/')[1]} of stack {owned.lineage[:8]}" if owned.lineage else owned.address


def _refusal(node: Node, why: str, what: str = "size") -> SiteError:
    return SiteError(f"The site refuses the {what} of a node", f"{node.address} {why}. Plan again to choose another {what}.")
