"""Differences between the recorded interfaces of a machine and those that its site has chosen since. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from pragmaspec.planning.late.values import UNKNOWN, with_translated_macs
from pragmaspec.planning.observed import ObservedInterface
from pragmaspec.resources import Nic, Node


def moved_interfaces(node: Node, seen: Sequence[ObservedInterface]) -> tuple[str, ...]:
    """Return the differences, human-readable: ``has the address 10.20.0.9 in private, recorded 10.20.0.5``.

    A value that is not recorded yet is none: the next boot of the node records it.
    """
    found: list[str] = []
    for there in seen:
        nic = node.nic(there.network)
        if nic is None or nic.translated:
            continue
        if nic.mac and there.mac not in ("", nic.mac):
            found.append(f"has the MAC {there.mac} in {nic.network}, recorded {nic.mac}")
        if nic.address and there.address not in ("", nic.address):
            found.append(f"has the address {there.address} in {nic.network}, recorded {nic.address}")
    return tuple(found)


def with_interfaces(node: Node, seen: Sequence[ObservedInterface]) -> Node:
    """Return ``node`` with the observed values. The next plan tells them to the other members of its cluster."""
    there = {each.network: each for each in seen}
    return replace(node, nics=with_translated_macs(tuple(_with(nic, there.get(nic.network)) for nic in node.nics)))


def without_interfaces(node: Node, seen: Sequence[ObservedInterface]) -> Node:
    """Return ``node`` without the values that differ from the observed ones."""
    there = {each.network: each for each in seen}
    return replace(node, nics=with_translated_macs(tuple(_without(nic, there.get(nic.network)) for nic in node.nics)))


def _without(nic: Nic, seen: ObservedInterface | None) -> Nic:
    if seen is None:
        return nic
    mac = nic.mac if seen.mac in ("", nic.mac) else UNKNOWN
    return replace(nic, mac=mac, address=nic.address if seen.address in ("", nic.address) else UNKNOWN)


def _with(nic: Nic, seen: ObservedInterface | None) -> Nic:
    return nic if seen is None else replace(nic, mac=seen.mac or nic.mac, address=seen.address or nic.address)
