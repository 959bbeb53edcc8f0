"""Attaches the further disks and the volumes of nodes to their machines, and tells guests the serial numbers of both.

The service chooses the serial number of a volume. Guests read it from a tag of their instance in the metadata, see
:mod:`pragmaspec.guest.setup.disks`.
"""

from collections.abc import Iterator
from string import ascii_lowercase

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.guest.setup.disks import SERIAL_TAG
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.ec2.machines import Machine, find_machine, wait_for
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.volumes import (
    EbsVolume,
    create_disk,
    grow,
    kept_volumes,
    remark,
    user_of,
    volumes_of,
    wait_for_volume,
)
from pragmaspec.resources import Mark, Node

_LETTERS = "fghijklmnop" + "".join(each for each in ascii_lowercase[1:] if each not in "fghijklmnop")
"""Amazon EC2 User Guide, "Device names for volumes": f to p are recommended, a is the first disk."""
_START_S = 180.0
TELLS_TAGS = {"InstanceMetadataTags": "enabled"}
"""Metadata options of a machine whose guest can read its tags."""


class NodeDisks:
    """The further disks and the volumes of one node. ``zone``: that of its machine."""

    def __init__(self, service: Service, request: BootRequest, zone: str) -> None:
        self._service = service
        self._request = request
        self._node = request.node
        self._mark = request.mark
        self._zone = zone
        self._created: list[str] = []

    def require(self) -> None:
        """Raise SiteError if a volume is missing, of another stack, in another zone, or attached to another running machine."""
        if self._node.disks and not self._service.has_disks:
            raise SiteError(
                "The site has no further disks",
                f"{self._node.address} wants further disks, and the service of site {self._service.site} cannot grow any. Remove "
                "`disks` from the spec.",
            )
        for disk in self._node.disks:
            if disk.volume:
                self._require_volume(disk.volume)

    def create(self) -> None:
        """Create the disks that do not exist, before their machine."""
        found = self._own() if self._node.own_disks else {}
        for disk in self._node.own_disks:
            if disk.name not in found:
                self._create(disk.name, disk.size_bytes)

    def undo(self) -> None:
        """Remove the disks that were created for a machine that does not exist."""
        for each in self._created:
            self._service.undo("delete_volume", VolumeId=each)
        self._created.clear()

    def serial_tags(self) -> list[tuple[str, str]]:
        """Return the tags of the machine with the serial numbers of its disks."""
        return [(f"{SERIAL_TAG}{name}", volume.serial) for name, volume in self._volumes()]

    def attach(self, machine: Machine) -> None:
        """Let a machine have exactly the volumes of its node, and all of its disks but the discarded ones, as large as wanted."""
        if not self._service.has_disks:
            return
        self._discard()
        self.create()
        if machine.status == "off":
            self._detach_others(machine)
        if not self._node.disks:
            return
        if machine.state == "pending":
            wait_for(self._service, machine.id, lambda each: each is None or each.state != "pending", _START_S)
        sizes = {disk.name: disk.size_bytes for disk in self._node.own_disks}
        letters = self._free_letters(machine)
        for name, volume in list(self._volumes()):
            if volume.machine != machine.id:
                self._attach(volume, machine, f"/dev/sd{next(letters)}")
            if name in sizes:
                grow(self._service, volume, sizes[name])
                remark(self._service, volume, self._mark)
        self._tell(machine)

    def _require_volume(self, name: str) -> None:
        mark = dict(self._request.volumes).get(name)
        found = self._kept(mark) if mark is not None else None
        if found is None:
            raise SiteError(
                "A node cannot boot",
                f"{self._node.address} needs volume {name}, which site {self._service.site} does not have. Plan again.",
            )
        if self._zone and found.zone != self._zone:
            raise SiteError(
                "A volume is in another zone",
                f"{self._node.address} needs volume {name} ({found.id}), which is in zone {found.zone}, and its network is in "
                f"{self._zone}. Write `zone: {found.zone}` at site {self._service.site}, and make the cluster anew.",
            )
        user = find_machine(self._service, found.machine) if found.machine else None
        if user is None or user.status == "off":
            return
        own = {(each.lineage, each.address) for each in self._request.own_marks}
        if user.mark is None or (user.mark.lineage, user.mark.address) not in own:
            raise SiteConflictError(
                "A volume is in use",
                f"{self._node.address} needs volume {name}, which {user_of(self._service, found)} has attached. Shut it down, or "
                "detach the volume.",
            )

    def _kept(self, mark: Mark) -> EbsVolume | None:
        named = kept_volumes(self._service, mark.name)
        return next((each for each in named if each.mark and each.mark.lineage == mark.lineage), None)

    def _own(self) -> dict[str, EbsVolume]:
        return disks_of(self._service, self._mark)

    def _volumes(self) -> Iterator[tuple[str, EbsVolume]]:
        """Yield the volumes of the node that exist, by the names of its disks."""
        own, marks = self._own(), dict(self._request.volumes)
        for disk in self._node.disks:
            volume = self._kept(marks[disk.volume]) if disk.volume else own.get(disk.name)
            if volume is not None:
                yield disk.name, volume

    def _create(self, name: str, size_bytes: int) -> None:
        made = create_disk(self._service, self._mark, self._node.name, name, size_bytes, self._zone)
        self._created.append(made.id)

    def _discard(self) -> None:
        """Remove the disks that the request discards: one that the node still has is created anew."""
        for name, volume in self._own().items() if self._request.discard_disks else ():
            if name in self._request.discard_disks:
                self._detach(volume)
                self._service.remove("delete_volume", VolumeId=volume.id)

    def _detach_others(self, machine: Machine) -> None:
        """Detach the volumes that the node no longer has."""
        wanted = {volume.id for _, volume in self._volumes()}
        for each in volumes_of(self._service, self._mark.lineage):
            if each.kept and each.machine == machine.id and each.id not in wanted:
                self._detach(each)

    def _attach(self, volume: EbsVolume, machine: Machine, device: str) -> None:
        self._detach(volume)
        self._service.connection.settled(
            "attach_volume", repeatable=False, VolumeId=volume.id, InstanceId=machine.id, Device=device
        )
        wait_for_volume(self._service, volume.id, lambda each: each is None or each.attached)

    def _detach(self, volume: EbsVolume) -> None:
        if volume.machine:
            self._service.connection.call("detach_volume", VolumeId=volume.id, InstanceId=volume.machine)
            wait_for_volume(self._service, volume.id, lambda each: each is None or not each.machine)

    def _free_letters(self, machine: Machine) -> Iterator[str]:
        described = find_machine(self._service, machine.id) or machine
        used = {each.rstrip("0123456789")[-1:] for each in described.devices}
        return (letter for letter in _LETTERS if letter not in used)

    def _tell(self, machine: Machine) -> None:
        """Tell the guest the serial numbers of its disks."""
        if not machine.tells_tags:
            self._service.connection.settled(
                "modify_instance_metadata_options", InstanceId=machine.id, InstanceMetadataTags=TELLS_TAGS["InstanceMetadataTags"]
            )
        serials = self.serial_tags()
        if set(serials) - set(machine.serials):
            self._service.tag(machine.id, [{"Key": key, "Value": value} for key, value in serials])


def disks_of(service: Service, mark: Mark) -> dict[str, EbsVolume]:
    """Return the further disks of one generation of a node, by name, attached or not."""
    listed = volumes_of(service, mark.lineage, mark.address)
    return {each.disk: each for each in listed if each.disk and each.mark and each.mark.generation == mark.generation}


def grow_disks(service: Service, node: Node, mark: Mark) -> None:
    """Grow the disks that belong to a node. Raises SiteError if one is missing."""
    found = disks_of(service, mark)
    for disk in node.own_disks:
        volume = found.get(disk.name)
        if volume is None:
            raise SiteError("A disk is missing at the site", f"{node.address} has no disk {disk.name}. Plan again.")
        grow(service, volume, disk.size_bytes)
