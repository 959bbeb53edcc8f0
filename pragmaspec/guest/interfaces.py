"""Interface configuration of a node: cloud-init's network-config, and a plain table for images without cloud-init."""

from msgspec.structs import replace

from pragmaspec.guest.cloud_init.yaml import Yaml
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.resources import Nic, Node


def network_config(node: Node, cluster: GuestCluster) -> dict[str, Yaml]:
    """Return cloud-init's networking config version 2. Interfaces are matched by MAC address and keep their kernel names.

    Without MACs, which the site has yet to choose, every interface is configured by DHCP; with them, those in networks with DHCP.
    """
    if any(not nic.mac for nic in node.interfaces):
        return {"version": 2, "ethernets": {"all": {"match": {"name": "e*"}, "dhcp4": True}}}
    by_dhcp = {network.name for network in cluster.allocation.networks if network.dhcp}
    ethernets: dict[str, Yaml] = {
        nic.network: ethernet(replace(nic, address="") if nic.network in by_dhcp else nic, cluster.domain)
        for nic in node.interfaces
    }
    return {"version": 2, "ethernets": ethernets}


def interfaces_text(node: Node) -> str:
    """Return a line ``MAC ADDRESS/PREFIX GATEWAY MTU DNS,DNS`` per interface, with ``-`` for a missing gateway or DNS."""
    return "".join(
        f"{nic.mac} {nic.address}/{nic.prefix} {nic.gateway or '-'} {nic.mtu} {','.join(nic.dns) or '-'}\n"
        for nic in node.interfaces
    )


def ethernet(nic: Nic, domain: str) -> dict[str, Yaml]:
    """Return the configuration of an interface, matched by MAC address, in the format shared by netplan and cloud-init."""
    if not nic.address:  # the site has yet to choose it, or configures the interface
        return {"match": {"macaddress": nic.mac.lower()}, "dhcp4": True, "mtu": nic.mtu}
    config: dict[str, Yaml] = {
        "match": {"macaddress": nic.mac.lower()},
        "dhcp4": False,
        "addresses": [f"{nic.address}/{nic.prefix}"],
        "mtu": nic.mtu,
    }
    if nic.gateway:
        config["routes"] = [{"to": "0.0.0.0/0", "via": nic.gateway}]
    if nic.dns:
        config["nameservers"] = {"addresses": list(nic.dns), "search": [domain]}
    return config
