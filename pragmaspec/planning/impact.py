"""What a change of each field of a node does to the node: one table, read by the planner and by people."""

from msgspec.structs import replace

from pragmaspec.planning.plan import Impact
from pragmaspec.resources import Node

FIELD_IMPACT: dict[str, Impact] = {
    "cpus": "reboot",
    "memory_mib": "reboot",
    "disk_bytes": "reboot",  # growing; shrinking is a rebuild, see below
    "image": "rebuild",
    "nics": "rebuild",  # the guest reads its network configuration at first boot; only replugged is a reboot, see below
    "first_boot": "rebuild",
    "cloud_init": "rebuild",  # its files are written before the first boot
    "firmware": "reboot",  # the disk stays as it is; only one that both can start is given the other
    "autostart": "live",
    "keys": "live",
    "peers": "live",
    "protect": "none",
    "readiness": "none",
    "running": "none",
}
"""Fields of :class:`~pragmaspec.resources.Node` that may change at one address; the others are the address."""

IMPACT_ORDER: tuple[Impact, ...] = ("none", "live", "reboot", "rebuild", "data-loss")
"""From harmless to worst."""


def worst_impact(impacts: tuple[Impact, ...]) -> Impact:
    """The worst of ``impacts``; "none" of nothing."""
    return max(impacts, key=IMPACT_ORDER.index, default="none")


def node_impact(before: Node, after: Node, fields: tuple[str, ...]) -> Impact:
    """What changing ``fields`` from ``before`` to ``after`` does to the node."""
    if "disk_bytes" in fields and after.disk_bytes < before.disk_bytes:
        return "rebuild"
    return worst_impact(
        tuple("reboot" if name == "nics" and _only_replugged(before, after) else FIELD_IMPACT[name] for name in fields)
    )


def _only_replugged(before: Node, after: Node) -> bool:
    """Whether the guest sees the same interfaces, plugged into something else outside."""
    return tuple(replace(nic, segment="") for nic in before.nics) == tuple(replace(nic, segment="") for nic in after.nics)


FIELD_LABELS = {
    "cpus": "cpus",
    "memory_mib": "memory",
    "disk_bytes": "disk",
    "image": "image",
    "nics": "network interfaces",
    "first_boot": "packages or user-data",
    "cloud_init": "the way its guest is told who it is",
    "firmware": "firmware",
    "keys": "ssh keys",
    "peers": "cluster members",
    "autostart": "autostart",
    "protect": "protection",
    "readiness": "readiness",
    "running": "state",
    "networks": "networks",
    "public": "public address",
}
"""Field names as people say them."""


def changed_fields_text(fields: tuple[str, ...]) -> str:
    """``memory and image changed``: the reason shown for a change of ``fields``, of which there is at least one."""
    *first, last = [FIELD_LABELS.get(name, name) for name in fields]
    return f"{', '.join(first)} and {last} changed" if first else f"{last} changed"
