"""What a change of each field of a node does to the node: one table, read by the planner and by people."""

from pragmaspec.planning.plan import Impact
from pragmaspec.recorded import Node

FIELD_IMPACT: dict[str, Impact] = {
    "cpus": "reboot",
    "memory_mib": "reboot",
    "disk_bytes": "reboot",  # growing; shrinking is a rebuild, see below
    "image": "rebuild",
    "nics": "rebuild",  # the guest reads its network configuration at first boot
    "first_boot": "rebuild",
    "keys": "live",
    "peers": "live",
    "protect": "none",
    "readiness": "none",
    "running": "none",
}
"""Fields of :class:`~pragmaspec.recorded.Node` that may change at one address; the others are the address."""

ORDER: tuple[Impact, ...] = ("none", "live", "reboot", "rebuild", "data-loss")
"""From harmless to worst."""


def worst(impacts: tuple[Impact, ...]) -> Impact:
    """The worst of ``impacts``; "none" of nothing."""
    return max(impacts, key=ORDER.index, default="none")


def node_impact(before: Node, after: Node, fields: tuple[str, ...]) -> Impact:
    """What changing ``fields`` from ``before`` to ``after`` does to the node."""
    shrinks = "disk_bytes" in fields and after.disk_bytes < before.disk_bytes
    return "rebuild" if shrinks else worst(tuple(FIELD_IMPACT[name] for name in fields))


FIELD_WORDS = {
    "cpus": "cpus",
    "memory_mib": "memory",
    "disk_bytes": "disk",
    "image": "image",
    "nics": "addresses",
    "first_boot": "packages or user-data",
    "keys": "ssh keys",
    "peers": "cluster members",
    "protect": "protection",
    "readiness": "readiness",
    "running": "state",
    "networks": "networks",
    "public": "public address",
}
"""Field names as people say them."""


def changed_words(fields: tuple[str, ...]) -> str:
    """``memory and image changed``: the reason shown for a change of ``fields``."""
    words = [FIELD_WORDS.get(name, name) for name in fields]
    return f"{' and '.join(words)} changed"
