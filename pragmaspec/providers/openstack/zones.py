"""Availability zones and other names that a site's options may only take from the cloud's lists."""

from collections.abc import Iterable, Sequence

from pragmaspec.errors import SiteError
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.listings import Service
from pragmaspec.providers.openstack.objects import Zone
from pragmaspec.text import did_you_mean, joined

_NAMED = 5


def refuse_unknown_zones(cloud: Cloud, service: Service, asked: Sequence[str], option: str) -> None:
    """Raise SiteError if ``service`` has one of the zones that ``option`` names not, or if it is down."""
    if not asked:
        return
    listed = cloud.client.send(service, "GET", "/os-availability-zone", None, "availabilityZoneInfo", tuple[Zone, ...])
    available = [zone.zoneName for zone in listed if zone.zoneState.available]
    refuse_unknown(cloud, "Unknown availability zone", "zone", asked, available, option)


def refuse_unknown(cloud: Cloud, summary: str, kind: str, asked: Iterable[str], offered: Sequence[str], option: str) -> None:
    """Raise SiteError if one of the names that ``option`` has is not offered. ``kind``: of the named things, for people."""
    unknown = next((name for name in asked if name not in offered), None)
    if unknown is not None:
        near = did_you_mean(unknown, offered, f"There are {joined(offered, _NAMED)}.")
        raise SiteError(summary, f"{cloud.title} has no {kind} {unknown}. {near} Change the site's `{option}`.")
