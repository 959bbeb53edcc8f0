"""Boots at a simulated site: the machine of a request, its new state, and the errors of the site."""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from pragmaspec.errors import Problem, SiteCapacityError, SiteConflictError, SiteError
from pragmaspec.planning.allocation.device_requests import device_addresses
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.simulated.late import interfaces_of, with_own_values
from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.providers.simulated.site_images import require_site_image
from pragmaspec.providers.simulated.volumes import booted_disks, check_volumes
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Mark
from pragmaspec.site import SimulatedSite


def definition_of(request: BootRequest) -> str:
    """A digest of the hypervisor's part of a request, without keys, peers and protection."""
    node = request.node
    definition: tuple[object, ...] = (
        node.cpus,
        node.memory_mib,
        node.nics,
        request.image.digest,
        request.image.cmdline,
        request.allocation.networks,
    )
    if node.flavor:
        definition = (*definition, node.flavor)
    disks = tuple((disk.name, disk.volume) for disk in node.disks)
    if disks:
        definition = (*definition, disks)
    if node.firmware != "bios":
        definition = (*definition, node.firmware)
    if node.cpu:
        definition = (*definition, "cpu", node.cpu)
    if node.devices:
        definition = (*definition, "devices", device_addresses(node))
    if node.pinned:
        definition = (*definition, "pinned", node.pinned)
    return sha256(msgspec.json.encode(definition)).hexdigest()[:16]


def find_machine(world: World, site: SimulatedSite, request: BootRequest) -> SimulatedMachine | None:
    """The machine of ``request``; None if it does not exist. Raises SiteError when it must not be changed."""
    mark, kind = request.mark, site.identity
    machines = world.machines_at(mark.lineage, mark.address)
    if kind == "ident":
        return _require_generation(machines[0], mark) if machines else None
    known = next(
        (machine for machine in machines if machine.id == request.site_id and machine.generation == mark.generation), None
    )
    if known is not None or kind == "tag":
        return known
    same = next((machine for machine in machines if machine.op == mark.op), None)
    if same is not None and same.asked != definition_of(with_own_values(world, site, request, same)):
        raise SiteError(
            "The token was used for another request",
            f"{mark.address}: the op {mark.op} has already created a machine, with other parameters.",
        )
    return same


def _require_generation(machine: SimulatedMachine, mark: Mark) -> SimulatedMachine:
    if machine.generation != mark.generation and machine.status != "undefined":
        raise SiteConflictError(
            "Another generation of the node is at the site",
            f"{mark.address} is generation {machine.generation}, the plan wants generation {mark.generation}; it was "
            "not touched, because its disk would be lost. Plan again to see the resulting actions.",
        )
    return machine


def belongs_to(machine: SimulatedMachine, mark: Mark) -> bool:
    """True if a removal for ``mark`` includes ``machine``: neither one of a later generation, nor one of another creation."""
    if machine.generation != mark.generation:
        return machine.alone and machine.generation < mark.generation
    return not (machine.op and mark.op) or machine.op == mark.op


def booted_machine(
    request: BootRequest, before: SimulatedMachine | None, site: SimulatedSite, now: float, *, unready: bool, made: int
) -> SimulatedMachine:
    """The machine after the boot. A disk of the same generation is kept, and never shrinks.

    ``made`` is the number of a new machine. ``request`` has the values that the site chooses.
    """
    node, mark = request.node, request.mark
    kept = before if before is not None and before.disk and before.generation == mark.generation else None
    wanted = SimulatedMachine(
        address=mark.address,
        lineage=mark.lineage,
        generation=mark.generation,
        status="running" if node.running else "off",
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        disk_bytes=max(node.disk_bytes, kept.disk_bytes) if kept else node.disk_bytes,
        disks=booted_disks(request, kept),
        image=kept.image if kept else request.image.digest,
        definition=definition_of(request),
        op=mark.op or (kept.op if kept else ""),
        made=kept.made if kept else made,
        asked=kept.asked if kept else definition_of(request),
        alone=site.identity == "ident",
        autostart=node.autostart,
        firmware=node.firmware,
        flavor=node.flavor,
        nics=sum(nic.network != "public" for nic in node.interfaces),
        cpu=node.cpu,
        devices=device_addresses(node),
        interfaces=interfaces_of(site, node),
        user_data_bytes=kept.user_data_bytes if kept else len(request.user_data),
        received=kept.received if kept else "",
        pinned=node.pinned,
    )
    if kept is not None and _with_live_changes(kept, wanted) == wanted:
        return replace(wanted, booted_at=kept.booted_at, unready=kept.unready)
    return replace(wanted, booted_at=now, unready=unready)


def _with_live_changes(kept: SimulatedMachine, wanted: SimulatedMachine) -> SimulatedMachine:
    return replace(
        kept,
        disk_bytes=wanted.disk_bytes,
        disks=wanted.disks,
        autostart=wanted.autostart,
        nics=wanted.nics,
        interfaces=wanted.interfaces,
        booted_at=0.0,
        unready=False,
    )


def check_bootable(world: World, site: SimulatedSite, request: BootRequest) -> None:
    """Raise SiteError when the image, a network or a volume of the node is missing, or a volume is in use."""
    node, mark = request.node, request.mark
    if node.firmware == "uefi" and not site.host.uefi:
        raise SiteError("A node cannot boot", f"{node.address} boots with UEFI, which the site does not have.")
    if request.image.site_image:
        if not _has_disk(world, mark):
            require_site_image(site, request.image)
    elif world.image(request.image.digest) is None:
        raise _missing(
            f"{node.address} boots from image {request.image.name} ({request.image.digest[:16]}), which is not at the site."
        )
    check_volumes(world, request)
    grant = world.grant(mark.lineage, request.allocation_mark.address)
    active = {network.name for network in grant.networks if network.up} if grant else set()
    absent = [network.name for network in request.allocation.networks if network.name not in active]
    if absent:
        raise _missing(f"{node.address} needs {', '.join(absent)} of {request.allocation.address}, which the site does not have.")


def check_user_data(site: SimulatedSite, before: SimulatedMachine | None, request: BootRequest) -> None:
    """Raise SiteError when a new machine has more user-data than the site allows, or none where it needs some."""
    node, limit, size = request.node, site.user_data_limit, len(request.user_data)
    if before is not None and before.disk and before.generation == request.mark.generation:
        return
    if size > (limit or 0):
        allows = "has none" if limit is None else f"allows {limit:,}"
        raise SiteError("User-data too large for the site", f"{node.address} has {size:,} bytes of user-data; the site {allows}.")
    if limit is not None and not size:
        raise SiteError(
            "A node cannot boot", f"{node.address} has no user-data, from which nodes of site {site.name} configure themselves."
        )


def _has_disk(world: World, mark: Mark) -> bool:
    """True if a disk of this generation exists, so that the node no longer needs its image."""
    return any(
        machine.disk and machine.generation == mark.generation for machine in world.machines_at(mark.lineage, mark.address)
    )


def check_capacity(world: World, site: SimulatedSite, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    """Raise SiteCapacityError when ``after`` does not fit in the place of ``before``, overcommit included."""
    freed = before if before is not None and before.status == "running" else SimulatedMachine(address="")
    freed_disk = before.total_disk_bytes if before is not None else 0
    uses = (
        ("CPUs", after.cpus, world.cpus - freed.cpus, int(site.host.cpus * site.overcommit.cpus)),
        (
            "MiB of memory",
            after.memory_mib,
            world.memory_mib - freed.memory_mib,
            int(site.host.memory_mib * site.overcommit.memory),
        ),
        (
            "bytes of disk",
            after.total_disk_bytes,
            world.disk_bytes - freed_disk,
            int(site.host.disk_bytes * site.overcommit.disk),
        ),
    )
    problems = [
        Problem(
            summary="The site is full",
            detail=f"{after.address} needs {need} {unit} at site {site.name}; {held} of {limit} are in use, "
            f"so {need + held - limit} are missing. Request less, or clean clusters that are no longer needed.",
        )
        for unit, need, held, limit in (uses if after.status == "running" else uses[2:])
        if need + held > limit
    ]
    if problems:
        raise SiteCapacityError.of(problems)


def _missing(detail: str) -> SiteError:
    return SiteError("A node cannot boot", f"{detail} Plan again, which creates the missing objects.")
