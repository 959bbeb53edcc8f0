"""The inventory of a hypervisor host: its capacity, and its use by any owner."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Interface
from xml.etree.ElementTree import Element

import libvirt
from msgspec.structs import replace

from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, PublicPool
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB
from pragmaspec.providers.libvirt.domains.firmware import offered_firmware
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, list_domains
from pragmaspec.providers.libvirt.domains.offered_processors import offered_processors
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_cpus import cpu_inventory
from pragmaspec.providers.libvirt.host_devices import device_inventory
from pragmaspec.providers.libvirt.networks.networks import ObservedNetwork, host_bridge, list_networks, site_mtu
from pragmaspec.providers.libvirt.networks.public_addresses import dhcp_entries, entry_holder, leases
from pragmaspec.resources import Mark

Volumes = Mapping[str, libvirt.virStorageVol]
DEFAULT_PUBLIC = "default"
"""The public libvirt network if the site's options name none."""
ROUTED = ("nat", "route", "open")
"""Forward modes in which the host itself is the network's gateway."""


def take_inventory(host: Host) -> Inventory:
    """Take the inventory."""
    handle = host.handle()
    identity = host.identity()
    machines = list(list_domains(host))
    networks = list(list_networks(host))
    lineages = _lineages(machines, networks)
    _, memory_mib, cpus, *_ = handle.getInfo()
    _, disk_bytes, _, disk_free_bytes = host.pool().info()
    volumes = {volume.name(): volume for volume in host.pool().listAllVolumes(0)}
    processors = offered_processors(host)
    public = _public(host, {network.name: network for network in networks})
    return Inventory(
        identity=identity,
        cpus=int(cpus),
        memory_mib=_memory_mib(handle, int(memory_mib)),
        disk_bytes=int(disk_bytes),
        disk_free_bytes=int(disk_free_bytes),
        cpus_per_node=int(handle.getMaxVcpus(identity.virt_type)),
        holdings=tuple(_holdings(host, machines, volumes, lineages)),
        public=public,
        addresses=tuple(_addresses(host, networks, lineages)),
        vlans=tuple(_vlans(networks)),
        cidrs=tuple(
            PoolUse(value=str(interface.network), owner=f"libvirt network {network.name}")
            for network in networks
            for interface in _interfaces(network.root)
        ),
        images=tuple(each for each in names.complete_images(set(volumes)) if names.image_parts(volumes, each).get("disk")),
        networks=tuple(sorted(network.name for network in networks if network.owner is None)),
        devices=_devices(host),
        firmware=offered_firmware(host)[0],
        volumes=tuple(_volume_uses(host, volumes)),
        **device_inventory(host, machines)._asdict(),
        processors=processors.names,
        default_processor=processors.default,
        **cpu_inventory(host, machines)._asdict(),
    )


def _devices(host: Host) -> tuple[str, ...] | None:
    """The host's network devices; None without libvirt's interface driver, and with the test driver, whose devices are fake."""
    if host.connection.is_test_driver:
        return None
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_CONNECT):
        return tuple(sorted(device.name() for device in host.handle().listAllInterfaces(0)))
    return None


def _lineages(machines: list[ObservedDomain], networks: list[ObservedNetwork]) -> dict[str, str]:
    """The full lineages by their first 8 digits: names contain only those, marks all."""
    owners = [machine.owner for machine in machines] + [network.owner for network in networks]
    return {owner.lineage[:8]: owner.lineage for owner in owners if owner is not None}


def _memory_mib(handle: libvirt.virConnect, boot_memory_mib: int) -> int:
    """The physical memory. libvirt's node information counts only the memory present at boot; its statistics count all."""
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT):
        return int(handle.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"]) // KIB_PER_MIB
    return boot_memory_mib


def _holdings(host: Host, machines: list[ObservedDomain], volumes: Volumes, lineages: dict[str, str]) -> list[CapacityUse]:
    """The capacity used by every machine, then by other volumes of the pool.

    A machine that is off uses only its disk. A disk counts with its capacity, which it may grow to; a node's disk with its
    machine. A staged image never grows and counts with its allocation. Seeds, logs and markers of nodes are too small to count.
    """
    uses: dict[str, CapacityUse] = {}
    for machine in machines:
        owner = machine.owner
        uses[owner.address + owner.lineage if owner else machine.name] = CapacityUse.by(
            owner,
            machine.name,
            cpus=machine.cpus if machine.running else 0,
            memory_mib=machine.memory_mib if machine.running else 0,
        )
    for name, volume in volumes.items():
        is_disk = names.parse_disk(name) or names.parse_extra_disk(name)
        if names.is_marker(name) or (names.parse_node_volume(name) and not is_disk):
            continue
        with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
            _, capacity, allocated = volume.info()
            _add_disk(host, uses, name, int(allocated if names.is_image_part(name) else capacity), lineages)
    return list(uses.values())


def _add_disk(host: Host, uses: dict[str, CapacityUse], name: str, disk_bytes: int, lineages: dict[str, str]) -> None:
    kept = names.parse_kept(name)
    if kept is not None:
        uses[f"volume {name}"] = CapacityUse.by(_volume_mark(host, *kept), disk_bytes=disk_bytes)
        return
    extra = names.parse_extra_disk(name)
    disk = extra[0] if extra is not None else names.parse_disk(name)
    lineage = lineages.get(disk.short) if disk else None
    if disk is None or lineage is None:
        uses[f"volume {name}"] = CapacityUse(owner=f"volume {name}", disk_bytes=disk_bytes)
        return
    address = names.node_address(host.site.name, disk)
    before = uses.get(address + lineage) or CapacityUse.by(Mark(lineage=lineage, address=address))
    uses[address + lineage] = replace(before, disk_bytes=before.disk_bytes + disk_bytes)


def _volume_mark(host: Host, name: str, lineage: str) -> Mark:
    """The mark of a volume that outlives its node, which its name has."""
    return Mark(lineage=lineage, address=names.volume_address(host.site.name, name))


def _volume_uses(host: Host, found: Iterable[str]) -> Iterator[PoolUse]:
    for kept in filter(None, map(names.parse_kept, sorted(found))):
        yield PoolUse.by(kept[0], _volume_mark(host, *kept))


def _public(host: Host, networks: dict[str, ObservedNetwork]) -> PublicPool | None:
    named = host.site.public
    if named is not None and named.bridge is not None:
        return PublicPool(bridge=named.bridge, mtu=host_bridge(host, named.bridge).mtu)
    name = named.network if named is not None and named.network is not None else DEFAULT_PUBLIC
    network = networks.get(name)
    if network is None:
        # A network from the site's options is reported even if it is missing; planning then raises the error.
        return PublicPool(network=name) if named is not None and named.network is not None else None
    interface, mtu = next(_interfaces(network.root), None), site_mtu(host, network.root)
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


def _addresses(host: Host, networks: list[ObservedNetwork], lineages: dict[str, str]) -> Iterator[PoolUse]:
    for network in networks:
        claimed = names.parse_address(network.name)
        if claimed is not None and network.owner is not None:
            yield PoolUse.by(claimed, network.owner)
        for interface in _interfaces(network.root):
            yield PoolUse(value=str(interface.ip), owner=f"the host itself, on network {network.name}")
        static = set()
        for entry in dhcp_entries(network):
            static.add(entry.get("ip", ""))
            yield _static(host, entry, lineages)
        for address, holder in leases(network).items():
            if address not in static:
                yield PoolUse(value=address, owner=f"{holder}, by a DHCP lease")


def _static(host: Host, entry: Element, lineages: dict[str, str]) -> PoolUse:
    node = names.parse_domain(entry.get("name", "")) or names.NO_NODE
    lineage = lineages.get(node.short)
    return PoolUse(
        value=entry.get("ip", ""),
        owner=entry_holder(entry),
        lineage=lineage,
        address=names.allocation_address(host.site.name, node) if lineage else None,
    )


def _vlans(networks: list[ObservedNetwork]) -> Iterator[PoolUse]:
    for network in networks:
        vlan = names.parse_vlan(network.name)
        if vlan is not None:
            yield PoolUse.by(str(vlan), network.owner, f"libvirt network {network.name}")
