"""Observations of volumes: the disks of nodes, kept volumes, and what is left of nodes without a server."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from pragmaspec.planning.observed import Difference, ObservedDisk, ObservedNode, ObservedVolume
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.marks import mark_from_metadata
from pragmaspec.providers.openstack.objects import CinderVolume, Server
from pragmaspec.providers.openstack.storage.volumes import MarkedVolume, marked_volumes
from pragmaspec.resources import Mark


class ObservedStorage:
    """The volumes of one stack, of ``lineage``."""

    def __init__(self, found: Iterable[CinderVolume], lineage: str) -> None:
        self.lineage = lineage
        own = [each for each in marked_volumes(found) if each.mark.lineage == lineage]
        self._kept = [each for each in own if not each.disk]
        self._disks: dict[tuple[str, int], dict[str, MarkedVolume]] = {}
        for each in own:
            if each.disk:
                self._disks.setdefault((each.mark.address, each.mark.generation), {}).setdefault(each.disk, each)

    def of(self, mark: Mark) -> tuple[ObservedDisk, ...]:
        """Return the disks of a node that are removed with it."""
        return _disks(self._own(mark).values())

    def attached(self, server: Server) -> tuple[str, ...]:
        """Return the names of the kept volumes that ``server`` has."""
        return tuple(sorted(each.mark.name for each in self._kept if server.id in each.volume.servers))

    def differences(self, server: Server, mark: Mark) -> Iterator[Difference]:
        """Yield the disks of a node that its server does not have."""
        for name, each in sorted(self._own(mark).items()):
            if server.id not in each.volume.servers:
                state = f"has the status {each.volume.status}" if "error" in each.volume.status else "is detached"
                yield Difference(detail=f"its disk {name} {state}", repair="restart", defined=False)

    def volumes(self) -> tuple[ObservedVolume, ...]:
        """Return the kept volumes."""
        return tuple(
            ObservedVolume(
                address=each.mark.address,
                size_bytes=each.volume.size * GIB,
                op=each.mark.op,
                id=each.volume.id,
                made=seconds(each.volume.created_at),
            )
            for each in self._kept
        )

    def remains(self, servers: Iterable[Server]) -> Iterator[ObservedNode]:
        """Yield the nodes that have lost their server, and have left disks behind."""
        living = {(mark.address, mark.generation) for each in servers if (mark := mark_from_metadata(each.metadata)) is not None}
        for (address, generation), disks in sorted(self._disks.items()):
            if (address, generation) not in living:
                first = next(iter(disks.values()))
                yield ObservedNode(
                    address=address,
                    generation=generation,
                    status="undefined",
                    disk=False,
                    op=first.mark.op,
                    id=first.volume.id,
                    made=seconds(first.volume.created_at),
                    disks=_disks(disks.values()),
                )

    def _own(self, mark: Mark) -> dict[str, MarkedVolume]:
        return self._disks.get((mark.address, mark.generation), {})


def seconds(created: str) -> float:
    """Return the seconds since 1970 of a time in ISO 8601, of which Cinder does not write the zone."""
    if not created:
        return 0.0
    moment = datetime.fromisoformat(created)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _disks(found: Iterable[MarkedVolume]) -> tuple[ObservedDisk, ...]:
    disks = (ObservedDisk(name=each.disk, size_bytes=each.volume.size * GIB) for each in found)
    return tuple(sorted(disks, key=lambda disk: disk.name))
