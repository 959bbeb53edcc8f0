"""Further disks of machines, and volumes, at a simulated site."""

from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteInUseError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.simulated.objects import MachineDisk, SimulatedMachine, SimulatedVolume, describe_owner
from pragmaspec.providers.simulated.quotas import check_volume_quotas
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Mark, Node, Volume
from pragmaspec.site import SimulatedSite


def booted_disks(request: BootRequest, kept: SimulatedMachine | None) -> tuple[MachineDisk, ...]:
    """The disks of a machine after its boot. A disk is neither removed nor made smaller, unless it is discarded."""
    marks = dict(request.volumes)
    before = {disk.name: disk for disk in kept.disks if not disk.volume} if kept is not None else {}
    before = {name: disk for name, disk in before.items() if name not in request.discard_disks}
    found = {}
    for disk in request.node.disks:
        if disk.volume:
            found[disk.name, "volume"] = MachineDisk(name=disk.name, size_bytes=disk.size_bytes, volume=marks[disk.volume].name)
        else:
            size_bytes = max(disk.size_bytes, before[disk.name].size_bytes) if disk.name in before else disk.size_bytes
            found[disk.name, ""] = MachineDisk(name=disk.name, size_bytes=size_bytes)
    left = (disk for name, disk in before.items() if (name, "") not in found)
    return (*found.values(), *left)


def check_volumes(world: World, request: BootRequest) -> None:
    """Raise SiteError when a volume of the node is missing, of another owner, or attached to another running machine."""
    node, marks = request.node, dict(request.volumes)
    own = {(mark.lineage, mark.address) for mark in request.own_marks}
    for name in node.volumes:
        mark = marks.get(name)
        volume = world.volume(mark.name) if mark is not None else None
        if mark is None or volume is None or volume.lineage != mark.lineage:
            raise SiteError(
                "A node cannot boot", f"{node.address} needs volume {name}, which the site does not have. Plan again."
            )
        users = [
            each for each in world.users_of(volume.name) if each.status == "running" and (each.lineage, each.address) not in own
        ]
        if users:
            raise SiteConflictError(
                "A volume is in use", f"{node.address} needs volume {name}, which {describe_owner(users[0])} has attached."
            )


def put_volume(world: World, site: SimulatedSite, volume: Volume, mark: Mark) -> SimulatedVolume:
    """Create or grow the volume. Raises SiteConflictError if its name belongs to another owner."""
    before = world.volume(mark.name)
    if before is not None and before.lineage != mark.lineage:
        raise SiteConflictError(
            "Volume in use", f"{mark.address} wants the name {before.name}, which {describe_owner(before)} holds."
        )
    size_bytes = max(volume.size_bytes, before.size_bytes) if before is not None else volume.size_bytes
    limit = int(site.host.disk_bytes * site.overcommit.disk)
    held = world.disk_bytes - (before.size_bytes if before is not None else 0)
    if size_bytes + held > limit:
        raise SiteCapacityError(
            "The site is full",
            f"{mark.address} needs {size_bytes} bytes of disk at site {site.name}; {held} of {limit} are in use. Request less, "
            "or clean volumes and clusters that are no longer needed.",
        )
    after = SimulatedVolume(
        name=mark.name,
        address=mark.address,
        size_bytes=size_bytes,
        lineage=mark.lineage,
        op=mark.op or (before.op if before is not None else ""),
        made=before.made if before is not None else world.next_made(),
    )
    if after != before:
        check_volume_quotas(world, site, before, after)
        world.put(after)
    return after


def remove_volume(world: World, mark: Mark) -> None:
    """Remove the volume, unless it belongs to another creation. Raises SiteInUseError while a machine has it attached."""
    volume = world.volume(mark.name)
    if volume is None or volume.lineage != mark.lineage or (volume.op and mark.op and volume.op != mark.op):
        return
    users = world.users_of(volume.name)
    if users:
        raise SiteInUseError("A volume is in use", f"{describe_owner(users[0])} has volume {volume.name} attached.")
    world.remove(volume.key)


def grown_machine(machine: SimulatedMachine, node: Node) -> SimulatedMachine:
    """The machine with its own disks as large as those of ``node``. Raises SiteError when one is missing."""
    sizes = {disk.name: disk.size_bytes for disk in node.own_disks}
    missing = sizes.keys() - {disk.name for disk in machine.disks if not disk.volume}
    if missing:
        raise SiteError("A disk is missing at the site", f"{node.address} has no disk {', '.join(sorted(missing))}. Plan again.")
    return replace(
        machine,
        disks=tuple(
            disk if disk.volume else replace(disk, size_bytes=max(disk.size_bytes, sizes.get(disk.name, 0)))
            for disk in machine.disks
        ),
    )
