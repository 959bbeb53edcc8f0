"""Devices that nodes request, before physical ones are chosen, and the impact of a change. Pure."""

from pragmaspec.planning.plan import Impact
from pragmaspec.planning.wanted import WantedNodes
from pragmaspec.resources import Node, NodeDevice


def requested_devices(nodes: WantedNodes, recorded: Node | None) -> tuple[NodeDevice, ...]:
    """Return the devices of a node by alias: the recorded ones that it keeps, and those to choose, without addresses."""
    found: list[NodeDevice] = []
    for alias, count in nodes.devices:
        own = _of_alias(recorded, alias)[:count] if recorded is not None else []
        found += (*own, *(NodeDevice(alias=alias) for _ in range(count - len(own))))
    return tuple(found)


def lacks_devices(nodes: WantedNodes, node: Node) -> bool:
    """True if ``nodes`` request more devices of any alias than the recorded ``node`` has."""
    return any(len(_of_alias(node, alias)) < count for alias, count in nodes.devices)


def devices_impact(before: Node, after: Node) -> Impact:
    """Return the impact of changing the devices of a node. Those without addresses come with its flavor, or not yet at all."""
    return "none" if device_addresses(before) == device_addresses(after) else "reboot"


def device_addresses(node: Node) -> tuple[str, ...]:
    """Return the addresses of the node's devices, sorted."""
    return tuple(sorted(device.address for device in node.devices if device.address))


def _of_alias(node: Node, alias: str) -> list[NodeDevice]:
    return [device for device in node.devices if device.alias == alias]
