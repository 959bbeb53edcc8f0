"""The cloud's offer for disks: quotas, types and zones of volumes, and their use."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pragmaspec.planning.observed import CapacityUse, DiskOffer, PoolUse, Quota, QuotaBasis
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import VOLUME_TYPES, VOLUMES
from pragmaspec.providers.openstack.marks import mark_from_metadata
from pragmaspec.providers.openstack.objects import CinderVolume, VolumeQuota
from pragmaspec.providers.openstack.storage.volumes import marked_volumes
from pragmaspec.providers.openstack.zones import refuse_unknown, refuse_unknown_zones

_NOT_OFFERED = "Its catalogue has no block storage (Cinder)."
_LARGEST = "per_volume_gigabytes"
_VOLUME_RATES: tuple[tuple[QuotaBasis, int], ...] = (("volume", 1), ("own_disk", 1))
_SIZE_RATES: tuple[tuple[QuotaBasis, int], ...] = (("volume_byte", 1), ("own_disk_byte", 1))


class VolumeOffer(NamedTuple):
    """The block storage of a cloud, and the volumes of the project."""

    volumes: tuple[CinderVolume, ...] = ()
    quotas: Mapping[str, VolumeQuota] | None = None
    """By Cinder's names; None: there is no block storage."""

    def disks(self) -> DiskOffer:
        """Return what a plan has to know about disks."""
        if self.quotas is None:
            return DiskOffer(missing=_NOT_OFFERED)
        largest = self.quotas.get(_LARGEST)
        return DiskOffer(unit_bytes=GIB, max_bytes=largest.limit * GIB if largest is not None and largest.limit >= 0 else None)

    def holdings(self) -> Iterator[CapacityUse]:
        """Yield the use of storage by volume."""
        for volume in self.volumes:
            yield CapacityUse.by(mark_from_metadata(volume.metadata), _title(volume), disk_bytes=volume.size * GIB)

    def kept(self) -> Iterator[PoolUse]:
        """Yield the names of volumes that outlive their nodes."""
        for each in marked_volumes(self.volumes):
            if not each.disk:
                yield PoolUse.by(each.mark.name, each.mark, _title(each.volume))

    def as_quotas(self, volume_type: str) -> Iterator[Quota]:
        """Yield the quotas of the project: those for all volumes or for the type of new ones, of which less is left."""
        number = self._least("volumes", volume_type)
        if number is not None:
            yield Quota(kind="volumes", limit=_limit(number.limit), used=number.in_use + number.reserved, rates=_VOLUME_RATES)
        size = self._least("gigabytes", volume_type)
        if size is not None:
            limit, used = _limit(size.limit), (size.in_use + size.reserved) * GIB
            yield Quota(kind="volume_storage", limit=None if limit is None else limit * GIB, used=used, rates=_SIZE_RATES)

    def _least(self, name: str, volume_type: str) -> VolumeQuota | None:
        quotas = self.quotas or {}
        found = [quotas[each] for each in (name, f"{name}_{volume_type}") if each in quotas]
        return min(found, key=lambda each: each.limit - each.in_use if each.limit >= 0 else float("inf"), default=None)


def take_volume_offer(cloud: Cloud) -> VolumeOffer:
    """Return the offer. Raises SiteError if the site names a volume type or a zone of volumes that the cloud does not have."""
    if not cloud.has_volumes:
        return VolumeOffer()
    client, project = cloud.client, cloud.project
    wanted = [cloud.settings.volume_zone] if cloud.settings.volume_zone else []
    path = f"/os-quota-sets/{project}?usage=True"
    with ThreadPoolExecutor(4) as pool:
        volumes = pool.submit(client.list, VOLUMES)
        quotas = pool.submit(client.send, "block-storage", "GET", path, None, "quota_set", dict[str, VolumeQuota | str])
        types = pool.submit(_refuse_unknown_type, cloud)
        zones = pool.submit(refuse_unknown_zones, cloud, "block-storage", wanted, "volume_zone")
    types.result()
    zones.result()
    found = {name: quota for name, quota in quotas.result().items() if isinstance(quota, VolumeQuota)}
    return VolumeOffer(volumes.result(), found)


def _refuse_unknown_type(cloud: Cloud) -> None:
    asked = cloud.settings.volume_type
    if asked:
        offered = [each.name for each in cloud.client.list(VOLUME_TYPES)]
        refuse_unknown(cloud, "Unknown volume type", "volume type", [asked], offered, "volume_type")


def _title(volume: CinderVolume) -> str:
    return f"volume {volume.name or volume.id}"


def _limit(limit: int) -> int | None:
    return None if limit < 0 else limit
