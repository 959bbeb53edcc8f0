"""Traffic that nodes accept from outside of their cluster, as a plain value, for sites with security groups."""

from collections.abc import Sequence
from typing import Literal

from pragmaspec.frozen import Frozen

EVERYWHERE = ("0.0.0.0/0",)
Protocol = Literal["tcp", "udp", "icmp"]


class Ingress(Frozen, frozen=True):
    """Traffic from outside of the cluster that reaches its nodes."""

    protocol: Protocol = "tcp"
    first: int = 0
    """First port; ``last`` likewise. Both are 0 for ICMP."""
    last: int = 0
    sources: tuple[str, ...] = EVERYWHERE
    """Networks as CIDRs."""


SSH_PORT = 22


def accepted_traffic(ssh_from: tuple[str, ...], ingress: Sequence[Ingress]) -> tuple[Ingress, ...]:
    """Return all traffic that nodes accept from outside: ssh and ping from ``ssh_from``, and ``ingress``."""
    ssh = Ingress(first=SSH_PORT, last=SSH_PORT, sources=ssh_from)
    return (ssh, Ingress(protocol="icmp", sources=ssh_from), *ingress)
