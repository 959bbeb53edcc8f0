"""How a site connects the nodes of a cluster, which its provider declares. Plain values."""

from typing import Literal

from pragmaspec.frozen import Frozen

LateValue = Literal["macs", "private", "public"]
"""Values that only the site can choose: the MACs of machines and their addresses in all but the public network come from a boot,
public addresses from an allocation."""

LAST_FRONTEND_OFFSET = 9
"""The addresses after it are those of the other nodes: :mod:`pragmaspec.planning.allocation.node_addresses`."""


class Networking(Frozen, frozen=True):
    """The properties of a site's networks. The defaults are those of hypervisors, whose networks we make."""

    vlans: bool = True
    """True if each network of a cluster has a VLAN number of the site's ``vlans``; else the site keeps networks apart itself."""
    router: bool = False
    """True if a router of the site is the gateway of private networks, at their first address; otherwise the frontend is, if it
    has a public address."""
    frontend_offset: int = 1
    """Offset of the frontend's address in its networks, 1 to 9. The addresses below it are the site's."""
    translated: bool = False
    """True if the site translates public addresses to the private interfaces of nodes, which have no interface for them."""
    dhcp: bool = False
    """True if the site configures the interfaces of nodes by DHCP, without a route through the frontend."""

    def __post_init__(self) -> None:
        lowest = 2 if self.router else 1
        if not lowest <= self.frontend_offset <= LAST_FRONTEND_OFFSET:
            raise ValueError(f"frontend_offset must be {lowest} to {LAST_FRONTEND_OFFSET}, is {self.frontend_offset}")


HYPERVISOR_NETWORKING = Networking()
"""VLANs, and a frontend with a public interface as the gateway: the networks of all sites before providers declared theirs."""
