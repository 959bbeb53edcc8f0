"""The listings of OpenStack's services that are used."""

from dataclasses import dataclass
from types import GenericAlias
from typing import Generic, Literal, TypeVar

import msgspec

from pragmaspec.providers.openstack.objects import (
    CinderVolume,
    FloatingIp,
    GlanceImage,
    NeutronNetwork,
    OfferedFlavor,
    Port,
    Router,
    SecurityGroup,
    Server,
    ServerGroup,
    Subnet,
    VolumeType,
)

Service = Literal["compute", "network", "image", "block-storage"]
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Listing(Generic[Kind]):
    """All objects of one kind: the path of their list at a service, its ``key`` in the answer, and their type."""

    service: Service
    path: str
    key: str
    kind: type[Kind]

    def read(self, items: bytes | msgspec.Raw) -> list[Kind]:
        """Return the objects in the JSON list ``items``. Raises msgspec.ValidationError if they are of another kind."""
        found: list[Kind] = msgspec.json.decode(items, type=GenericAlias(list, (self.kind,)))
        return found


SERVERS = Listing("compute", "/servers/detail", "servers", Server)
SERVER_GROUPS = Listing("compute", "/os-server-groups", "server_groups", ServerGroup)
FLAVORS = Listing("compute", "/flavors/detail", "flavors", OfferedFlavor)
NETWORKS = Listing("network", "/networks", "networks", NeutronNetwork)
SUBNETS = Listing("network", "/subnets", "subnets", Subnet)
ROUTERS = Listing("network", "/routers", "routers", Router)
PORTS = Listing("network", "/ports", "ports", Port)
SECURITY_GROUPS = Listing("network", "/security-groups", "security_groups", SecurityGroup)
FLOATING_IPS = Listing("network", "/floatingips", "floatingips", FloatingIp)
IMAGES = Listing("image", "/images", "images", GlanceImage)
VOLUMES = Listing("block-storage", "/volumes/detail", "volumes", CinderVolume)
VOLUME_TYPES = Listing("block-storage", "/types", "volume_types", VolumeType)
