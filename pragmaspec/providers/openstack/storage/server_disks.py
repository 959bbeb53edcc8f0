"""Disks of servers: volumes that are created and removed with a node, and kept ones that it uses.

A guest sees the volume's id as the serial number of a disk, which nobody can choose. So each disk has its name as a tag, which
Nova tells the guest in its metadata, beside the serial number.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pragmaspec.errors import SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import LOST
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.marks import disk_metadata, includes, mark_from_metadata
from pragmaspec.providers.openstack.objects import CinderVolume, Server
from pragmaspec.providers.openstack.servers.power import OFF
from pragmaspec.providers.openstack.storage.kept_volumes import KeptVolumes
from pragmaspec.providers.openstack.storage.volumes import MarkedVolume, Volumes
from pragmaspec.providers.openstack.unanswered import LOOKUP_LIMIT_S
from pragmaspec.resources import Mark, Node

_ATTACH_LIMIT_S = 180.0
_ATTACH_ATTEMPTS = 5
_ATTACH_PAUSE_S = 1.0
_SERVER_FAILED = 500


class ServerDisk(NamedTuple):
    """A volume and its name as a disk of a node; ``is_new``: this boot has created it."""

    name: str
    volume: CinderVolume
    is_new: bool = False


class ServerDisks:
    """The disks of the servers of one site. Thread-safe."""

    def __init__(self, cloud: Cloud, volumes: Volumes, kept: KeptVolumes) -> None:
        self._cloud = cloud
        self._client = cloud.client
        self._volumes = volumes
        self._kept = kept

    def check(self, request: BootRequest) -> None:
        """Raise SiteError if a volume of the node is missing, damaged, or attached to another running machine."""
        if request.node.volumes:
            for volume in self._kept_disks(request, self._volumes.marked()).values():
                self._other_user(request, volume)

    def ready(self, request: BootRequest) -> list[ServerDisk]:
        """Return the disks for the node's server: those that exist, without the discarded ones, and those that are missing.

        A kept volume is taken from a server that is off.
        """
        node, mark = request.node, request.mark
        if not (node.disks or request.discard_disks):
            return []
        listed = self._volumes.marked()
        kept = self._kept_disks(request, listed)
        for volume in kept.values():
            holder = self._other_user(request, volume)
            if holder is not None:
                self.detach(holder, volume)
            self._volumes.usable(volume)
        here = [each for each in listed if each.disk and each.mark.is_for(mark) and each.mark.generation == mark.generation]
        for each in here:
            if each.disk in request.discard_disks:
                self._discard(each.volume)
        present = {each.disk: each for each in reversed(here) if each.disk not in request.discard_disks}
        own = {name: self._volumes.usable(self._volumes.with_op(each, mark)) for name, each in present.items()}
        made = self._created(request, [disk.name for disk in node.own_disks if disk.name not in own])
        names = {disk.name: disk.volume for disk in node.disks}
        found = [
            ServerDisk(name, kept[volume]) if volume else ServerDisk(name, made.get(name) or own[name], name in made)
            for name, volume in names.items()
        ]
        return [*found, *(ServerDisk(name, volume) for name, volume in own.items() if name not in names)]

    def undo(self, disks: Sequence[ServerDisk]) -> None:
        """Delete the disks that a failed boot has created."""
        for disk in disks:
            if disk.is_new:
                self._volumes.delete(disk.volume)

    def free(self, disks: Sequence[ServerDisk]) -> None:
        """Wait until no server has ``disks``."""
        for disk in disks:
            self._volumes.free(disk.volume)

    def lacks(self, server: Server, request: BootRequest) -> bool:
        """True if the disks of ``server`` may differ from those of the request."""
        return bool(request.node.disks or request.discard_disks or server.volumes)

    def missing(self, server: Server, disks: Sequence[ServerDisk]) -> list[ServerDisk]:
        """Return those of ``disks`` that ``server`` does not have. Nova lists a detached one for a moment longer than Cinder."""
        return [disk for disk in disks if server.id not in disk.volume.servers]

    def unused(self, server: Server, disks: Sequence[ServerDisk], mark: Mark) -> list[CinderVolume]:
        """Return the volumes of the stack that ``server`` has beside ``disks``: kept ones that its node no longer uses."""
        wanted = {disk.volume.id for disk in disks}
        shown = [self._volumes.show(each.id) for each in server.volumes if each.id not in wanted]
        found = [(volume, mark_from_metadata(volume.metadata)) for volume in shown if volume is not None]
        return [
            volume for volume, own in found if own is not None and own.lineage == mark.lineage and server.id in volume.servers
        ]

    def grow(self, node: Node, mark: Mark) -> None:
        """Grow the own disks of the node. Raises SiteError if one is missing."""
        own = {
            each.disk: each.volume
            for each in reversed(self._volumes.marked())
            if each.disk and each.mark.is_for(mark) and each.mark.generation == mark.generation
        }
        missing = [disk.name for disk in node.own_disks if disk.name not in own]
        if missing:
            raise SiteError(
                "A disk is missing at the site",
                f"{node.name} has no disk {', '.join(missing)} at {self._cloud.title}. Plan again.",
            )
        for disk in node.own_disks:
            self._volumes.grow(own[disk.name], disk.size_bytes)

    def remove(self, mark: Mark, *, exactly: bool = False) -> None:
        """Delete the disks that a removal of the node for ``mark`` includes; ``exactly``: only those with this mark.

        Its servers are gone.
        """
        for volume, own, disk in self._volumes.marked():
            if disk and (own == mark if exactly else includes(mark, own)):
                self._volumes.delete(volume)

    def _kept_disks(self, request: BootRequest, listed: Sequence[MarkedVolume]) -> dict[str, CinderVolume]:
        """Return the kept volumes of the node by name. Raises SiteError if one is missing or damaged."""
        marks, found = dict(request.volumes), {}
        for name in request.node.volumes:
            mark = marks.get(name)
            own = (each.volume for each in listed if mark is not None and not each.disk and each.mark.is_for(mark))
            volume = next(own, None)
            if volume is None or "error" in volume.status:
                problem = "does not have" if volume is None else f"reports with the status {volume.status}"
                raise SiteError(
                    "A node cannot boot",
                    f"{request.node.name} needs volume {name}, which {self._cloud.title} {problem}. Plan again.",
                )
            found[name] = volume
        return found

    def _other_user(self, request: BootRequest, volume: CinderVolume) -> Server | None:
        """Return the server of another node that has ``volume`` and is off. Raises SiteConflictError if it is not off."""
        holder = self._kept.holder(volume)
        own = mark_from_metadata(holder.metadata) if holder is not None else None
        if holder is None or (own is not None and any(own.is_for(each) for each in request.own_marks)):
            return None
        if holder.status not in OFF:
            raise SiteConflictError(
                "A volume is in use",
                f"{request.node.name} needs volume {volume.name}, which server {holder.name} has at {self._cloud.title}.",
            )
        return holder

    def _created(self, request: BootRequest, names: Sequence[str]) -> dict[str, CinderVolume]:
        """Return new disks, all requested before the first is awaited. A refusal leaves none of them."""
        sizes = {disk.name: disk.size_bytes for disk in request.node.own_disks}
        made: dict[str, CinderVolume] = {}
        try:
            for name in names:
                metadata = disk_metadata(request.mark, name)
                made[name] = self._volumes.request(f"{request.node.name}-{name}", sizes[name], metadata)
            return {name: self._volumes.made(volume) for name, volume in made.items()}
        except (CallError, SiteError) as error:
            if not isinstance(error, SiteUnreachableError):
                for volume in made.values():
                    self._volumes.delete(volume)
            raise

    def _discard(self, volume: CinderVolume) -> None:
        for server_id in sorted(volume.servers):
            server = self._client.show("compute", f"/servers/{server_id}", "server", Server)
            if server is not None:
                self.detach(server, volume)
        self._volumes.delete(volume)

    def detach(self, server: Server, volume: CinderVolume) -> None:
        """Take ``volume`` from ``server``. Raises SiteError if its guest does not give it back."""
        self._client.remove("compute", f"/servers/{server.id}/os-volume_attachments/{volume.id}")
        reach("openstack.volume.detached")
        left = self._volumes.wait(
            volume, lambda now: now is None or server.id not in now.servers or now.status == "in-use", "be detached"
        )
        if left is not None and server.id in left.servers:
            raise SiteError(
                "A disk could not be detached",
                f"Volume {volume.name} is still attached to server {server.name} at {self._cloud.title}. Shut its node down, "
                "then apply again.",
            )

    def attach(self, server: Server, disk: ServerDisk) -> None:
        """Attach a disk to ``server``. Raises SiteError if it fails."""
        self._volumes.free(disk.volume)
        lost = self._asked_without_answer(server, disk)
        reach("openstack.volume.attached")
        limit_s = LOOKUP_LIMIT_S if lost else _ATTACH_LIMIT_S
        found = self._volumes.wait(disk.volume, lambda now: _is_attached(now, server, lost=lost), "be attached", limit_s)
        if found is None or server.id not in found.servers:
            raise SiteError(
                "A disk could not be attached",
                f"Volume {disk.volume.name} was not attached to server {server.name} at {self._cloud.title}. Apply again.",
            )

    def _asked_without_answer(self, server: Server, disk: ServerDisk) -> bool:
        """Ask for an attachment. Returns True if there was no answer.

        A refusal is repeated some times, because Nova may still have an attachment that has just ended.
        """
        path = f"/servers/{server.id}/os-volume_attachments"
        body = {"volumeAttachment": {"volumeId": disk.volume.id, "tag": disk.name}}
        for attempt in range(_ATTACH_ATTEMPTS):
            try:
                self._client.call("compute", "POST", path, body=body)
            except LOST:
                return True
            except CallError as error:
                if error.status >= _SERVER_FAILED:
                    return True
                now = self._volumes.show(disk.volume.id)
                if now is not None and now.status != "available":
                    break
                if attempt + 1 == _ATTACH_ATTEMPTS:
                    raise
                self._client.clock.sleep(_ATTACH_PAUSE_S)
            else:
                break
        return False


def _is_attached(now: CinderVolume | None, server: Server, *, lost: bool) -> bool:
    """True if the volume is attached, or can no longer become so."""
    if now is None or "error" in now.status:
        return True
    return server.id in now.servers or (now.status == "available" and not lost)


def device_mapping(disks: Sequence[ServerDisk], image: str) -> Iterator[dict[str, object]]:
    """Yield the block devices of a new server: the image's disk, and further disks with their names as tags."""
    local: dict[str, object] = {"source_type": "image", "destination_type": "local", "uuid": image, "boot_index": 0}
    yield {**local, "delete_on_termination": True}
    for disk in disks:
        volume: dict[str, object] = {"source_type": "volume", "destination_type": "volume", "uuid": disk.volume.id}
        yield {**volume, "boot_index": -1, "tag": disk.name, "delete_on_termination": False}
