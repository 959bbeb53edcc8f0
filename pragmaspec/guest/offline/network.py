"""The interface configuration files of each network service.

Interfaces are matched by MAC address. ifupdown and Red Hat's scripts use names instead, so a udev rule names the interfaces
``eth0``, ``eth1``, … in the node's order, which is also the kernel's.
Formats: interfaces(5), systemd.network(5), netplan's reference, ``/usr/share/doc/initscripts/sysconfig.txt``,
nm-settings-keyfile(5).
"""

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Interface
from uuid import NAMESPACE_OID, uuid5

from pragmaspec.guest.cloud_init.yaml import Yaml, yaml_text
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.interfaces import ethernet
from pragmaspec.guest.offline.detect import RESOLV_CONF, GuestSystem, NetworkFamily
from pragmaspec.guest.setup.nat import NAT
from pragmaspec.resources import Nic, Node

NAMES_RULE = "/etc/udev/rules.d/70-persistent-net.rules"
_HEAD = "# Written by pragmaspec before the first boot.\n"
_ALL_READ = 0o644
_ROOT_ONLY = 0o600


def offline_network_files(node: Node, domain: str, system: GuestSystem) -> tuple[GuestFile, ...]:
    """Return the interface configuration of ``node`` for every network service of ``system``."""
    files = [file for network in system.networks for file in _FAMILIES[network](node, domain)]
    if {"ifupdown", "ifcfg"}.intersection(system.networks):
        files.append(GuestFile(path=NAMES_RULE, mode=_ALL_READ, content=_HEAD + "".join(_name_rules(node))))
    if not system.resolv_link or "ifupdown" in system.networks:
        files.append(GuestFile(path=RESOLV_CONF, mode=_ALL_READ, content=_resolv_text(node, domain)))
    return tuple(files)


def _ifupdown(node: Node, domain: str) -> Iterator[GuestFile]:
    """One file without ``source``: the image's own configuration is for another network."""
    del domain
    lines = [_HEAD, "auto lo\niface lo inet loopback\n"]
    for name, nic in _named(node):
        address = IPv4Interface(f"{nic.address}/{nic.prefix}")
        lines.append(f"\nauto {name}\niface {name} inet static\n  address {nic.address}\n  netmask {address.netmask}\n")
        lines.append(f"  mtu {nic.mtu}\n")
        lines += [f"  gateway {nic.gateway}\n"] if nic.gateway else []
        # Also on systems without systemd. The script reports its errors itself.
        gateway = node.role == "frontend" and nic.network == "public"
        lines += [f"  up {NAT.path} || true\n"] if gateway else []
    yield GuestFile(path="/etc/network/interfaces", mode=_ALL_READ, content="".join(lines))


def _networkd(node: Node, domain: str) -> Iterator[GuestFile]:
    for nic in node.interfaces:
        lines = [f"{_HEAD}[Match]\nMACAddress={nic.mac.lower()}\n\n[Link]\nMTUBytes={nic.mtu}\n\n"]
        lines.append(f"[Network]\nDHCP=no\nAddress={nic.address}/{nic.prefix}\n")
        lines += [f"Gateway={nic.gateway}\n"] if nic.gateway else []
        lines += [f"DNS={server}\n" for server in nic.dns] + ([f"Domains={domain}\n"] if nic.dns else [])
        # Before every file that the image may have: the first one that matches an interface is taken.
        path = f"/etc/systemd/network/01-pragmaspec-{nic.network}.network"
        yield GuestFile(path=path, mode=_ALL_READ, content="".join(lines))


def _netplan(node: Node, domain: str) -> Iterator[GuestFile]:
    """IDs that begin with 0 sort before the image's own interfaces in the files that netplan generates."""
    ethernets: Yaml = {f"0-{nic.network}": ethernet(nic, domain) for nic in node.interfaces}
    text = _HEAD + yaml_text({"network": {"version": 2, "ethernets": ethernets}})
    yield GuestFile(path="/etc/netplan/01-pragmaspec.yaml", mode=_ROOT_ONLY, content=text)


def _ifcfg(node: Node, domain: str) -> Iterator[GuestFile]:
    for name, nic in _named(node):
        address = IPv4Interface(f"{nic.address}/{nic.prefix}")
        values = {
            "DEVICE": name,
            "HWADDR": nic.mac.upper(),
            "TYPE": "Ethernet",
            "ONBOOT": "yes",
            "BOOTPROTO": "none",
            "IPADDR": nic.address,
            "NETMASK": str(address.netmask),
            "MTU": str(nic.mtu),
            **({"GATEWAY": nic.gateway} if nic.gateway else {"DEFROUTE": "no"}),
            **{f"DNS{number}": server for number, server in enumerate(nic.dns, start=1)},
            **({"DOMAIN": domain} if nic.dns else {}),
        }
        path = f"/etc/sysconfig/network-scripts/ifcfg-{name}"
        yield GuestFile(path=path, mode=_ALL_READ, content=_HEAD + _assignments(values))
    # Releases before 7 read the host name from this file.
    values = {"NETWORKING": "yes", "NOZEROCONF": "yes", "HOSTNAME": node.name}
    yield GuestFile(path="/etc/sysconfig/network", mode=_ALL_READ, content=_HEAD + _assignments(values))


def _network_manager(node: Node, domain: str) -> Iterator[GuestFile]:
    """The files must not be world-readable, otherwise NetworkManager ignores them."""
    for nic in node.interfaces:
        lines = [
            f"{_HEAD}[connection]\nid=pragmaspec-{nic.network}\nuuid={uuid5(NAMESPACE_OID, f'pragmaspec {nic.mac.lower()}')}\n"
        ]
        lines.append("type=ethernet\nautoconnect=true\nautoconnect-priority=999\n\n")
        lines.append(f"[ethernet]\nmac-address={nic.mac.upper()}\nmtu={nic.mtu}\n\n[ipv4]\nmethod=manual\n")
        lines.append(f"address1={nic.address}/{nic.prefix}{f',{nic.gateway}' if nic.gateway else ''}\n")
        lines += [] if nic.gateway else ["never-default=true\n"]
        lines += [f"dns={';'.join(nic.dns)};\ndns-search={domain};\n"] if nic.dns else []
        lines.append("\n[ipv6]\nmethod=link-local\n")
        path = f"/etc/NetworkManager/system-connections/pragmaspec-{nic.network}.nmconnection"
        yield GuestFile(path=path, mode=_ROOT_ONLY, content="".join(lines))


_FAMILIES: Mapping[NetworkFamily, Callable[[Node, str], Iterator[GuestFile]]] = {
    "netplan": _netplan,
    "networkd": _networkd,
    "ifupdown": _ifupdown,
    "ifcfg": _ifcfg,
    "network-manager": _network_manager,
}


def _named(node: Node) -> Iterator[tuple[str, Nic]]:
    return ((f"eth{number}", nic) for number, nic in enumerate(node.interfaces))


def _name_rules(node: Node) -> Iterator[str]:
    """Yield rules in the format of udev's former generator of persistent names."""
    for name, nic in _named(node):
        yield f'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{{address}}=="{nic.mac.lower()}", NAME="{name}"\n'


def _resolv_text(node: Node, domain: str) -> str:
    servers = dict.fromkeys(server for nic in node.interfaces for server in nic.dns)
    return f"{_HEAD}search {domain}\n" + "".join(f"nameserver {server}\n" for server in servers)


def _assignments(values: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in values.items())
