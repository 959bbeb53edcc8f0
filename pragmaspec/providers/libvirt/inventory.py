"""Capacity of a hypervisor host and what is taken there, by anyone."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Interface
from xml.etree.ElementTree import Element

import libvirt
from msgspec.structs import replace

from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, PublicPool
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB
from pragmaspec.providers.libvirt.domains.firmware import offered
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.networks import networks
from pragmaspec.providers.libvirt.networks import public_addresses as addresses
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork

Volumes = Mapping[str, libvirt.virStorageVol]
DEFAULT_PUBLIC = "default"
"""The libvirt network that frontends are reached through when the site names none."""
ROUTED = ("nat", "route", "open")
"""Forward modes in which the host itself is the network's gateway."""


def inventory(host: Host) -> Inventory:
    """Capacity and what is taken."""
    handle = host.handle()
    identity = host.identity()
    machines = list(domains.listed(host, lambda _domain: True))
    seen = list(networks.listed(host))
    lineages = _lineages(machines, seen)
    _, memory_mib, cpus, *_ = handle.getInfo()
    _, disk_bytes, _, disk_free_bytes = host.pool().info()
    volumes = {volume.name(): volume for volume in host.pool().listAllVolumes(0)}
    public = _public(host, {network.name: network for network in seen})
    return Inventory(
        identity=identity,
        cpus=int(cpus),
        memory_mib=_memory_mib(handle, int(memory_mib)),
        disk_bytes=int(disk_bytes),
        disk_free_bytes=int(disk_free_bytes),
        cpus_per_node=int(handle.getMaxVcpus(identity.virt_type)),
        holdings=tuple(_holdings(host, machines, volumes, lineages)),
        public=public,
        addresses=tuple(_addresses(host, seen, lineages)),
        vlans=tuple(_vlans(seen)),
        cidrs=tuple(
            PoolUse(value=str(interface.network), owner=f"libvirt network {network.name}")
            for network in seen
            for interface in _interfaces(network.root)
        ),
        images=tuple(each for each in names.staged_digests(set(volumes)) if names.image_parts(volumes, each).get("disk")),
        networks=tuple(sorted(network.name for network in seen if network.owner is None)),
        devices=_devices(host),
        firmware=offered(host)[0],
    )


def _devices(host: Host) -> tuple[str, ...] | None:
    """The host's network devices. Not every libvirt has a driver for them, and the test driver only pretends some."""
    if host.connection.is_pretended:
        return None
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_CONNECT):
        return tuple(sorted(device.name() for device in host.handle().listAllInterfaces(0)))
    return None


def _lineages(machines: list[ObservedDomain], seen: list[ObservedNetwork]) -> dict[str, str]:
    """Whole lineages by their first digits: names carry only those, marks carry all."""
    owners = [machine.owner for machine in machines] + [network.owner for network in seen]
    return {owner.lineage[:8]: owner.lineage for owner in owners if owner is not None}


def _memory_mib(handle: libvirt.virConnect, told_mib: int) -> int:
    """Physical memory. What libvirt tells of its host counts only the memory there was at boot; its statistics count all."""
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT):
        return int(handle.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]) // KIB_PER_MIB
    return told_mib


def _holdings(host: Host, machines: list[ObservedDomain], volumes: Volumes, lineages: dict[str, str]) -> list[CapacityUse]:
    """What every machine holds, then what stands in the pool besides.

    A machine that is off holds its disk alone. A disk counts with what it may come to take, its capacity; ours with the machine
    it belongs to. A staged image never grows and counts with what it takes now. Our seeds, logs and markers are too small.
    """
    held: dict[str, CapacityUse] = {}
    for machine in machines:
        owner = machine.owner
        held[owner.address + owner.lineage if owner else machine.name] = CapacityUse(
            owner=str(owner) if owner else machine.name,
            cpus=machine.cpus if machine.running else 0,
            memory_mib=machine.memory_mib if machine.running else 0,
            lineage=owner.lineage if owner else None,
            address=owner.address if owner else None,
        )
    for name, volume in volumes.items():
        if names.is_marker(name) or (names.parsed_node_volume(name) and not names.parsed_disk(name)):
            continue
        with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
            _, capacity, allocated = volume.info()
            _add_disk(host, held, name, int(allocated if names.is_image_part(name) else capacity), lineages)
    return list(held.values())


def _add_disk(host: Host, held: dict[str, CapacityUse], name: str, disk_bytes: int, lineages: dict[str, str]) -> None:
    disk = names.parsed_disk(name)
    lineage = lineages.get(disk.short) if disk else None
    if disk is None or lineage is None:
        held[f"volume {name}"] = CapacityUse(owner=f"volume {name}", disk_bytes=disk_bytes)
        return
    address = names.node_address(host.site.name, disk.node)
    before = held.get(address + lineage) or CapacityUse(
        owner=f"{address} of stack {lineage[:8]}", lineage=lineage, address=address
    )
    held[address + lineage] = replace(before, disk_bytes=before.disk_bytes + disk_bytes)


def _public(host: Host, seen: dict[str, ObservedNetwork]) -> PublicPool | None:
    named = host.site.public
    if named is not None and named.bridge is not None:
        return PublicPool(bridge=named.bridge, mtu=networks.host_bridge(host, named.bridge).mtu)
    name = named.network if named is not None and named.network is not None else DEFAULT_PUBLIC
    network = seen.get(name)
    if network is None:
        # A network that the site names is reported even without details; planning then says that it is missing.
        return PublicPool(network=name) if named is not None and named.network is not None else None
    interface, mtu = next(_interfaces(network.root), None), networks.site_mtu(host, network.root)
    if interface is None:
        return PublicPool(network=name, mtu=mtu)
    forward = network.root.find("forward")
    routed = forward is not None and forward.get("mode", "nat") in ROUTED
    own = str(interface.ip)
    dns = network.root.find("dns")
    serves_dns = dns is None or dns.get("enable", "yes") == "yes"
    return PublicPool(
        network=name,
        cidr=str(interface.network),
        gateway=own if routed else None,
        dns=(own,) if serves_dns else (),
        mtu=mtu,
    )


def _interfaces(network: Element) -> Iterator[IPv4Interface]:
    """The host's own IPv4 addresses on a network."""
    for ip in network.findall("ip"):
        if ip.get("family", "ipv4") == "ipv4" and ip.get("address"):
            yield IPv4Interface(f"{ip.get('address')}/{ip.get('prefix') or ip.get('netmask') or '32'}")


def _addresses(host: Host, seen: list[ObservedNetwork], lineages: dict[str, str]) -> Iterator[PoolUse]:
    for network in seen:
        claimed = names.parsed_address(network.name)
        if claimed is not None and network.owner is not None:
            yield PoolUse(value=claimed, owner=str(network.owner), lineage=network.owner.lineage, address=network.owner.address)
        for interface in _interfaces(network.root):
            yield PoolUse(value=str(interface.ip), owner=f"the host itself, on network {network.name}")
        static = set()
        for entry in addresses.entries(network):
            static.add(entry.get("ip", ""))
            yield _static(host, entry, lineages)
        for address, holder in addresses.leases(network).items():
            if address not in static:
                yield PoolUse(value=address, owner=f"{holder}, by a DHCP lease")


def _static(host: Host, entry: Element, lineages: dict[str, str]) -> PoolUse:
    node, short = names.parsed_domain(entry.get("name", "")) or ("", "")
    lineage = lineages.get(short)
    return PoolUse(
        value=entry.get("ip", ""),
        owner=addresses.holder_of(entry),
        lineage=lineage,
        address=names.allocation_address(host.site.name, node) if lineage else None,
    )


def _vlans(seen: list[ObservedNetwork]) -> Iterator[PoolUse]:
    for network in seen:
        vlan = names.parsed_vlan(network.name)
        if vlan is not None:
            owner = network.owner
            yield PoolUse(
                value=str(vlan),
                owner=str(owner) if owner else f"libvirt network {network.name}",
                lineage=owner.lineage if owner else None,
                address=owner.address if owner else None,
            )
