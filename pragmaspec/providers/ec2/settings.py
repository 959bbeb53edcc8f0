"""The options of a site as plain values, without pydantic."""

from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.providers.ingress import EVERYWHERE, Ingress

Market = Literal["on-demand", "spot"]


class InstanceType(Frozen, frozen=True):
    """An instance type of a service that does not describe its types itself."""

    name: str
    cpus: int
    memory_mib: int
    disk_bytes: int = 0
    """Size of its first disk; 0: that of the image, or any."""


class Ec2Settings(Frozen, frozen=True):
    """The keys of a site, as ``Ec2SiteModel.plain_options`` returns them. None of them is a secret."""

    endpoint: str = ""
    """URL of the service; empty: the one of the environment, or AWS."""
    region: str = ""
    """Empty: the region of the environment or the profile."""
    profile: str = ""
    zone: str = ""
    vpc: str = ""
    """Id of an existing VPC; empty: each cluster has a VPC of its own."""
    subnet: str = ""
    """Id of an existing subnet; empty: each network of a cluster is a subnet of its own."""
    security_group: str = ""
    """Id of an existing group that all nodes have beside the group of their cluster; empty: none."""
    ssh_from: tuple[str, ...] = EVERYWHERE
    """Networks that may connect to nodes by ssh, and ping them; of groups that are made."""
    ingress: tuple[Ingress, ...] = ()
    """Further traffic from outside that nodes accept."""
    types: tuple[str, ...] = ()
    """Names of instance types, or patterns (``t3.*``); none: all current ones that fit ``architecture``."""
    architecture: str = "x86_64"
    sizes: tuple[InstanceType, ...] = ()
    key: str = ""
    market: Market = "on-demand"
    tags: tuple[tuple[str, str], ...] = ()
