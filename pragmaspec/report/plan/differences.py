"""Short descriptions of the differences between two versions of a resource: ``memory 1 GiB → 2 GiB``."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.late.values import KNOWN_AFTER_APPLY
from pragmaspec.planning.storage.disks import disk_differences
from pragmaspec.report.unknown import shown
from pragmaspec.resources import (
    STANDARD_MTU,
    Allocation,
    Disk,
    Network,
    Nic,
    Node,
    NodeDevice,
    PublicGrant,
    Readiness,
    Resource,
    SizeRequest,
    StagedImage,
    Volume,
)
from pragmaspec.text import counted, duration, memory, size, size_change

_TRANSLATED = {False: "interface", True: "translated"}


def differences(before: Resource, after: Resource, images: Mapping[str, str]) -> tuple[str, ...]:
    """Return all differences in reading order. ``images``: names by digest; unknown digests are cut to 8 digits."""
    if isinstance(before, Node) and isinstance(after, Node):
        return (*_node(before, after, images), *_guest(before, after))
    if isinstance(before, Allocation) and isinstance(after, Allocation):
        return (*_networks(before, after), *_public(before, after), *_protect(before.protect, after.protect))
    if isinstance(before, Volume) and isinstance(after, Volume):
        return tuple(_volume(before, after))
    if isinstance(before, StagedImage) and isinstance(after, StagedImage) and before.name != after.name:
        return (f"name {before.name} → {after.name}",)
    return ()


def network_text(network: Network) -> str:
    """Return ``vlan 22 · 10.22.0.0/24``, preceded by the name of an extra network."""
    parts = [] if network.name == "private" else [network.name]
    if network.vlan is not None:
        parts.append(f"vlan {network.vlan}")
    if network.bridge is not None:
        parts.append(f"bridge {network.bridge}")
    return " ".join(parts) + (" · " if network.name == "private" and parts else " " if parts else "") + network.cidr


def size_request_text(request: SizeRequest) -> str:
    """Return ``2 cpus, 3 GiB, 20 GiB disk``, or the name of the requested flavor alone; ``any`` if nothing is requested."""
    parts = [request.flavor] if request.flavor else []
    parts += [counted(request.cpus, "cpu")] if request.cpus else []
    parts += [memory(request.memory_mib)] if request.memory_mib else []
    parts += [f"{size(request.disk_bytes)} disk"] if request.disk_bytes else []
    parts += (f"{count} {alias}" for alias, count in request.devices)
    return ", ".join(parts) or "any"


def flavor_choice_text(node: Node) -> str:
    """Return ``m1.medium for 1 cpu, 3 GiB``, or the flavor alone if it is exactly as requested or named."""
    request = node.requested
    exact = (request.cpus, request.memory_mib) == (node.cpus, node.memory_mib) and request.disk_bytes in (0, node.disk_bytes)
    return node.flavor if request.flavor or exact else f"{node.flavor} for {size_request_text(request)}"


def grant_text(grant: PublicGrant) -> str:
    """Return ``192.0.2.10 (frontend.example.org)``."""
    if not grant.address:
        return f"public address {KNOWN_AFTER_APPLY}"
    return f"{grant.address} ({grant.fqdn})" if grant.fqdn else grant.address


def _node(before: Node, after: Node, images: Mapping[str, str]) -> Iterator[str]:
    yield from _size(before, after)
    yield from (_disk(old, new) for old, new in disk_differences(before, after))
    if before.image not in ("", after.image):  # planning clears the image of a node whose disk is gone
        yield f"image {_image_change(before.image, after.image, images)}"
    if before.firmware != after.firmware:
        yield f"firmware {before.firmware} → {after.firmware}"
    yield from _nics(before.nics, after.nics)
    if before.running != after.running:
        yield "off → running" if after.running else "running → off"
    if before.autostart != after.autostart and before.running == after.running:
        yield "starts with its host" if after.autostart else "no longer starts with its host"
    yield from _protect(before.protect, after.protect)
    if before.machinefile != after.machinefile:
        yield "joins the machine file" if after.machinefile else "leaves the machine file"
    if before.readiness != after.readiness:
        yield f"readiness {_readiness_change(before.readiness, after.readiness)}"


def _size(before: Node, after: Node) -> Iterator[str]:
    if before.flavor != after.flavor:
        yield f"flavor {before.flavor or 'none'} → {after.flavor or 'none'}"
    if before.requested != after.requested and after.flavor:
        yield f"requested {size_request_text(before.requested)} → {size_request_text(after.requested)}"
    if before.cpus != after.cpus:
        yield f"cpus {before.cpus} → {after.cpus}"
    if before.cpu != after.cpu:
        yield f"processor {before.cpu or 'unnamed'} → {after.cpu or 'unnamed'}"
    if before.devices != after.devices:
        yield f"devices {devices_text(before.devices) or 'none'} → {devices_text(after.devices) or 'none'}"
    if before.pinned != after.pinned:
        yield f"pinned to {_cpus(before)} → {_cpus(after)}"
    if before.memory_mib != after.memory_mib:
        yield f"memory {size_change(before.memory_mib * 2**20, after.memory_mib * 2**20)}"
    if before.disk_bytes != after.disk_bytes:
        yield f"disk {size_change(before.disk_bytes, after.disk_bytes)}"


def _cpus(node: Node) -> str:
    return cpu_ranges(node.pinned) or "none"


def disk_text(disk: Disk) -> str:
    """Return ``disk scratch 100 GiB at /scratch``, ``volume home 100 GiB``."""
    name = f"volume {disk.volume}" if disk.volume else f"disk {disk.name}"
    return f"{name} {size(disk.size_bytes)}{f' at {disk.mount}' if disk.mount else ''}"


def devices_text(devices: tuple[NodeDevice, ...]) -> str:
    """Return ``gpu 0000:41:00.0, 2 nic``: addresses, or the number of devices without one."""
    chosen: defaultdict[str, list[str]] = defaultdict(list)
    for device in devices:
        chosen[device.alias].append(device.address)
    parts = []
    for alias, addresses in chosen.items():
        known = [address for address in addresses if address]
        parts += [f"{alias} {' '.join(known)}"] if known else []
        parts += [f"{len(addresses) - len(known)} {alias}"] if len(known) < len(addresses) else []
    return ", ".join(parts)


def _disk(before: Disk | None, after: Disk | None) -> str:
    """Return the difference of one further disk; None: there is no such disk."""
    if before is None or after is None or before.volume != after.volume:
        kept = " (kept)" if before is not None and before.volume else ""
        lost = [f"drops {disk_text(before)}{kept}"] if before is not None else []
        return ", ".join((*lost, *([f"adds {disk_text(after)}"] if after is not None else [])))
    parts = []
    if before.size_bytes != after.size_bytes:
        parts.append(size_change(before.size_bytes, after.size_bytes))
    if before.mount != after.mount:
        parts.append(f"{before.mount or 'not mounted'} → {after.mount or 'not mounted'}")
    if before.format != after.format:
        kept = f" ({before.made_format})" if before.made_format != before.format else ""
        parts.append(f"{before.format}{kept} → {after.format}")
    return f"disk {after.name} {', '.join(parts)}"


def _volume(before: Volume, after: Volume) -> Iterator[str]:
    if before.size_bytes != after.size_bytes:
        yield size_change(before.size_bytes, after.size_bytes)
    if before.cluster != after.cluster:
        yield f"cluster {before.cluster} → {after.cluster}" if before.cluster else f"for cluster {after.cluster}"
    if before.format != after.format:
        # That of an adopted volume is unknown.
        yield f"format {before.format} → {after.format}" if before.cluster else f"format {after.format}"


def _guest(before: Node, after: Node) -> Iterator[str]:
    if before.first_boot != after.first_boot:
        yield "packages or user-data"
    if before.cloud_init != after.cloud_init:
        yield "guest files → cloud-init" if after.cloud_init else "guest cloud-init → files"
    if before.keys != after.keys:
        yield "ssh keys"
    yield from _users(dict(before.users), dict(after.users))
    if before.peers != after.peers:
        yield "cluster members"


def _users(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    yield from (f"adds user {name}" for name in after if name not in before)
    yield from (f"changes user {name}" for name in after if before.get(name, after[name]) != after[name])
    yield from (f"removes user {name}" for name in before if name not in after)


def _image_change(before: str, after: str, images: Mapping[str, str]) -> str:
    old, new = images.get(before, before[:8]), images.get(after, after[:8])
    if old == new:
        return f"{new} {before[:8]} → {after[:8]}"
    return f"{old} → {new}"


def _nics(before: tuple[Nic, ...], after: tuple[Nic, ...]) -> Iterator[str]:
    old, new = {nic.network: nic for nic in before}, {nic.network: nic for nic in after}
    for name, nic in new.items():
        if name not in old:
            yield f"joins {name} {shown(nic.address)}"
        else:
            yield from _nic(name, old[name], nic)
    for name in old:
        if name not in new:
            yield f"leaves {name}"
    if any(name in old and old[name].mac != nic.mac for name, nic in new.items()):
        yield "new MACs"


def _nic(name: str, before: Nic, after: Nic) -> Iterator[str]:
    if before.address != after.address:
        yield f"{name} {shown(before.address)} → {shown(after.address)}"
    if before.segment and after.segment and before.segment != after.segment:
        yield f"{name} {_segment_change(before.segment, after.segment)}"
    if before.mtu != after.mtu:
        yield f"{name} mtu {before.mtu} → {after.mtu}"
    if (before.gateway, before.dns, before.prefix) != (after.gateway, after.dns, after.prefix):
        yield f"{name} gateway, DNS or prefix"
    if before.translated != after.translated:
        yield f"{name} {_TRANSLATED[before.translated]} → {_TRANSLATED[after.translated]}"


def _segment_change(before: str, after: str) -> str:
    """Return ``vlan 20 → 30``, with the kind repeated only if it differs."""
    kind, _, which = after.partition(" ")
    return f"{before} → {which if before.startswith(f'{kind} ') else after}"


def _networks(before: Allocation, after: Allocation) -> Iterator[str]:
    old, new = {network.name: network for network in before.networks}, {network.name: network for network in after.networks}
    for name, network in new.items():
        if name not in old:
            yield f"adds {network_text(network)}"
        elif old[name] != network:
            label = "" if name == "private" else f"{name} "
            yield label + ", ".join(_network(old[name], network))
    for name, network in old.items():
        if name not in new:
            yield f"drops {network_text(network)}"


def _network(before: Network, after: Network) -> Iterator[str]:
    if before.vlan != after.vlan:
        yield f"vlan {before.vlan or 'none'} → {after.vlan or 'none'}"
    if before.cidr != after.cidr:
        yield f"{before.cidr} → {after.cidr}"
    if before.bridge != after.bridge:
        yield f"bridge {before.bridge or 'none'} → {after.bridge or 'none'}"
    if before.mtu != after.mtu:
        yield f"mtu {before.mtu} → {after.mtu}"
    if before.gateway != after.gateway:
        yield f"gateway {before.gateway or 'none'} → {after.gateway or 'none'}"
    if before.dhcp != after.dhcp:
        yield "DHCP of the site" if after.dhcp else "no DHCP of the site"


def _public(before: Allocation, after: Allocation) -> Iterator[str]:
    old, new = {grant.node: grant for grant in before.public}, {grant.node: grant for grant in after.public}
    for node, grant in new.items():
        if node not in old:
            yield f"adds {grant_text(grant)}"
        elif old[node].address != grant.address:
            yield f"{grant_text(old[node])} → {grant_text(grant)}"
        elif old[node].mtu != grant.mtu:
            yield f"{grant.address} mtu {old[node].mtu or STANDARD_MTU} → {grant.mtu or STANDARD_MTU}"
        elif old[node] != grant:
            yield f"{grant.address}: name, gateway or network"
    for node, grant in old.items():
        if node not in new:
            yield f"drops {grant_text(grant)}"


def _protect(before: bool, after: bool) -> Iterator[str]:
    if before != after:
        yield "protected from now on" if after else "no longer protected"


def _readiness_change(before: Readiness, after: Readiness) -> str:
    """Return ``ssh → cloud-init``, with the timeouts only if they differ and matter."""
    if before.timeout_s == after.timeout_s or after.when == "none":
        return f"{before.when} → {after.when}"
    return f"{_readiness(before)} → {_readiness(after)}"


def _readiness(readiness: Readiness) -> str:
    return readiness.when if readiness.when == "none" else f"{readiness.when} within {duration(readiness.timeout_s)}"
