"""Volumes that outlive their nodes: created once, grown, and removed by request only."""

from pragmaspec.errors import SiteConflictError, SiteInUseError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.marks import metadata_of
from pragmaspec.providers.openstack.objects import CinderVolume, Server
from pragmaspec.providers.openstack.storage.volumes import MarkedVolume, Volumes
from pragmaspec.resources import Mark, Outputs, Volume


class KeptVolumes:
    """The kept volumes of one site. Thread-safe.

    Their names are claims within the project, although Cinder would accept two of one name: of two stacks that create a name at
    once, the one with the older volume has it.
    """

    def __init__(self, cloud: Cloud, volumes: Volumes) -> None:
        self._cloud = cloud
        self._volumes = volumes

    def allocate(self, volume: Volume, mark: Mark) -> Outputs:
        """Create the volume, or grow the present one. Raises SiteConflictError if its name belongs to another stack."""
        held = [each for each in self._volumes.marked() if not each.disk and each.mark.name == mark.name]
        _refuse_holder(held, mark)
        found = next((each for each in held if each.mark.is_for(mark)), None)
        if found is None:
            return (("id", self._created(volume, mark).id),)
        present = self._volumes.usable(self._volumes.with_op(found, mark))
        self._volumes.grow(present, volume.size_bytes)
        return (("id", present.id),)

    def remove(self, mark: Mark) -> None:
        """Remove the volume, unless it belongs to another creation. Raises SiteInUseError while a machine has it."""
        for volume, own, disk in self._volumes.marked():
            if disk or not own.is_for(mark) or (own.op and mark.op and own.op != mark.op):
                continue
            holder = self.holder(volume)
            if holder is not None:
                raise SiteInUseError(
                    "A volume is in use", f"Server {holder.name} at {self._cloud.title} has volume {mark.name} attached."
                )
            self._volumes.delete(volume)

    def holder(self, volume: CinderVolume) -> Server | None:
        """Return a server that has ``volume``; None if none has it for longer than its own removal."""
        shown = (self._cloud.client.show("compute", f"/servers/{each}", "server", Server) for each in sorted(volume.servers))
        return next((server for server in shown if server is not None and server.task_state != "deleting"), None)

    def _created(self, volume: Volume, mark: Mark) -> CinderVolume:
        requested = self._volumes.request(mark.name, volume.size_bytes, metadata_of(mark))
        older = []
        for each in self._volumes.marked():
            if each.volume.id == requested.id:
                break
            older += [each] if not each.disk and each.mark.name == mark.name else []
        if older:
            self._volumes.delete(requested)
        _refuse_holder(older, mark)
        return self._volumes.made(requested)


def _refuse_holder(held: list[MarkedVolume], mark: Mark) -> None:
    holder = next((each.mark for each in held if each.mark.lineage != mark.lineage), None)
    if holder is not None:
        raise SiteConflictError(
            "Another owner holds this at the site", f"{mark.address} wants the name {mark.name}, which {holder.owner} holds."
        )
