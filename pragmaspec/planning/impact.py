"""The impact of a change of each node field, in one table."""

from msgspec.structs import replace

from pragmaspec.planning.allocation.device_requests import devices_impact
from pragmaspec.planning.plan import Impact
from pragmaspec.planning.storage.disks import disks_impact
from pragmaspec.resources import Node

FIELD_IMPACT: dict[str, Impact] = {
    "cpus": "reboot",
    "cpu": "reboot",
    "memory_mib": "reboot",
    "disk_bytes": "reboot",  # growing; shrinking is a rebuild, see below
    "image": "rebuild",
    "nics": "rebuild",  # the guest configures its network at first boot; a mere reattachment is a reboot, see below
    "first_boot": "rebuild",
    "cloud_init": "rebuild",  # its files are written before the first boot
    "firmware": "reboot",  # the disk is kept: only an image that supports both can change
    "devices": "reboot",  # another name of the same device has no effect, see below
    "pinned": "reboot",
    "disks": "reboot",  # attaching and detaching; growing and mounting are live, see below
    "autostart": "live",
    "flavor": "reboot",
    "requested": "none",
    "keys": "live",
    "users": "live",
    "peers": "live",
    "protect": "none",
    "machinefile": "none",  # the file itself is part of the cluster members
    "readiness": "none",
    "running": "none",
}
"""Fields of :class:`~pragmaspec.resources.Node` that can change at one address; the others make up the address."""

IMPACT_ORDER: tuple[Impact, ...] = ("none", "live", "reboot", "rebuild", "data-loss")
"""From harmless to worst."""


def worst_impact(impacts: tuple[Impact, ...]) -> Impact:
    """Return the worst of ``impacts``, "none" if there are none."""
    return max(impacts, key=IMPACT_ORDER.index, default="none")


def node_impact(before: Node, after: Node, fields: tuple[str, ...]) -> Impact:
    """Return the impact of changing ``fields`` from ``before`` to ``after``."""
    if "disk_bytes" in fields and after.disk_bytes < before.disk_bytes:
        return "rebuild"
    return worst_impact(tuple(_field_impact(name, before, after) for name in fields))


def _field_impact(name: str, before: Node, after: Node) -> Impact:
    if name == "disks":
        return disks_impact(before, after)
    if name == "devices":
        return devices_impact(before, after)
    return "reboot" if name == "nics" and _only_reattached(before, after) else FIELD_IMPACT[name]


def _only_reattached(before: Node, after: Node) -> bool:
    """True if the guest has the same interfaces, attached to other networks or with other translated addresses.

    With a translated address, a frontend becomes the gateway of its private network, unless that has one.
    """
    had, has = (sorted(nic.network for nic in node.nics if nic.translated) for node in (before, after))
    same_role = had == has or any(nic.network == "private" and nic.gateway for nic in after.nics)
    old, new = (tuple(replace(nic, segment="") for nic in node.interfaces) for node in (before, after))
    return same_role and old == new


FIELD_LABELS = {
    "cpus": "cpus",
    "cpu": "processor",
    "memory_mib": "memory",
    "disk_bytes": "disk",
    "devices": "devices",
    "pinned": "pinned CPUs",
    "disks": "further disks",
    "image": "image",
    "nics": "network interfaces",
    "first_boot": "packages or user-data",
    "cloud_init": "guest configuration method",
    "firmware": "firmware",
    "keys": "ssh keys",
    "users": "users",
    "peers": "cluster members",
    "autostart": "autostart",
    "flavor": "flavor",
    "requested": "requested size",
    "protect": "protection",
    "readiness": "readiness",
    "machinefile": "machine file",
    "running": "state",
    "size_bytes": "size",
    "format": "file system",
    "cluster": "cluster",
    "node": "node",
    "networks": "networks",
    "public": "public address",
    "site_name": "name at the site",
}
"""Human-readable field names."""


def changed_fields_text(fields: tuple[str, ...]) -> str:
    """Return ``memory and image changed``. There must be at least one field."""
    *first, last = [FIELD_LABELS.get(name, name) for name in fields]
    return f"{', '.join(first)} and {last} changed" if first else f"{last} changed"
