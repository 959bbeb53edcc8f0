"""Objects of OpenStack's services, as far as they are used here: the JSON of Nova, Neutron and Glance as typed values."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """An object in the answer of a service, with more fields than those that are read."""


class Described(Protocol):
    """An object with an age, whose description may be its mark."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def description(self) -> str | None:
        """The words that its creator gave to it."""
        ...

    @property
    def created_at(self) -> str:
        """Time of its creation in ISO 8601."""
        ...


class _Dated(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> str: ...


Dated = TypeVar("Dated", bound=_Dated)


def by_age(found: Iterable[Dated]) -> list[Dated]:
    """Return the objects ``found``, the oldest first."""
    return sorted(found, key=lambda each: (each.created_at, each.id))


class Identified(Answer, frozen=True):
    """An object of which only the id is used."""

    id: str


class ServerFlavor(Answer, frozen=True):
    """The flavor that a server was created or resized with, as it was then."""

    original_name: str
    vcpus: int
    ram: int
    """In MiB."""
    disk: int
    """In GiB."""


class ServerFault(Answer, frozen=True):
    """The reason of the status ERROR."""

    message: str = ""
    code: int = 0


class Server(Answer, frozen=True):
    """A server of Nova, at microversion 2.47 or newer."""

    id: str
    name: str
    status: str
    flavor: ServerFlavor
    tenant_id: str = ""
    created: str = ""
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    fault: ServerFault | None = None
    task_state: str | None = msgspec.field(default=None, name="OS-EXT-STS:task_state")
    launched_at: str | None = msgspec.field(default=None, name="OS-SRV-USG:launched_at")
    volumes: tuple[Identified, ...] = msgspec.field(default=(), name="os-extended-volumes:volumes_attached")
    zone: str = msgspec.field(default="", name="OS-EXT-AZ:availability_zone")


class OfferedFlavor(Answer, frozen=True):
    """A flavor of Nova."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    description: str | None = None


class ZoneState(Answer, frozen=True):
    """The state of an availability zone."""

    available: bool = True


class Zone(Answer, frozen=True):
    """An availability zone of Nova."""

    zoneName: str  # noqa: N815 - Nova's names
    zoneState: ZoneState  # noqa: N815


class AbsoluteLimits(Answer, frozen=True):
    """Quotas of Nova and their use; -1 means unlimited."""

    maxTotalInstances: int = -1  # noqa: N815 - Nova's names
    totalInstancesUsed: int = 0  # noqa: N815
    maxTotalCores: int = -1  # noqa: N815
    totalCoresUsed: int = 0  # noqa: N815
    maxTotalRAMSize: int = -1  # noqa: N815
    totalRAMUsed: int = 0  # noqa: N815


class ComputeLimits(Answer, frozen=True):
    """The quotas of a project."""

    absolute: AbsoluteLimits


class NetworkQuota(Answer, frozen=True):
    """A quota of Neutron; ``limit`` -1 means unlimited."""

    limit: int
    used: int
    reserved: int = 0


class FixedIp(Answer, frozen=True):
    """An address of a port."""

    ip_address: str
    subnet_id: str = ""


class Port(Answer, frozen=True):
    """A port of Neutron."""

    id: str
    network_id: str
    mac_address: str = ""
    device_id: str = ""
    device_owner: str = ""
    description: str | None = None
    status: str = ""
    fixed_ips: tuple[FixedIp, ...] = ()
    security_groups: tuple[str, ...] = ()
    created_at: str = ""

    @property
    def address(self) -> str:
        """Its first address; empty: none."""
        return self.fixed_ips[0].ip_address if self.fixed_ips else ""


class NeutronNetwork(Answer, frozen=True):
    """A network of Neutron."""

    id: str
    name: str = ""
    description: str | None = None
    mtu: int = 0
    subnets: tuple[str, ...] = ()
    external: bool = msgspec.field(default=False, name="router:external")
    is_default: bool = False
    shared: bool = False
    created_at: str = ""


class Subnet(Answer, frozen=True):
    """A subnet of Neutron."""

    id: str
    network_id: str
    cidr: str
    description: str | None = None
    gateway_ip: str | None = None
    dns_nameservers: tuple[str, ...] = ()
    tenant_id: str = ""


class GatewayInfo(Answer, frozen=True):
    """The external gateway of a router."""

    network_id: str


class Router(Answer, frozen=True):
    """A router of Neutron."""

    id: str
    name: str = ""
    description: str | None = None
    external_gateway_info: GatewayInfo | None = None
    created_at: str = ""


class SecurityRule(Answer, frozen=True):
    """A rule of a security group."""

    id: str = ""
    direction: str = ""
    ethertype: str = ""
    protocol: str | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None


class SecurityGroup(Answer, frozen=True):
    """A security group of Neutron, with its rules."""

    id: str
    name: str = ""
    description: str | None = None
    security_group_rules: tuple[SecurityRule, ...] = ()
    created_at: str = ""


class FloatingIp(Answer, frozen=True):
    """A floating address of Neutron."""

    id: str
    floating_ip_address: str
    floating_network_id: str = ""
    port_id: str | None = None
    description: str | None = None
    created_at: str = ""

    @property
    def address(self) -> str:
        """The address."""
        return self.floating_ip_address


class GlanceImage(Answer, frozen=True):
    """An image of Glance, with the properties that this provider sets."""

    id: str
    name: str | None = None
    status: str = ""
    size: int | None = None
    virtual_size: int | None = None
    disk_format: str | None = None
    min_disk: int = 0
    """In GiB."""
    min_ram: int = 0
    """In MiB."""
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    checksum: str | None = None
    created_at: str = ""
    updated_at: str = ""
    visibility: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    digest: str = msgspec.field(default="", name="pragmaspec_sha256")
    part: str = msgspec.field(default="", name="pragmaspec_part")
    sha512: str = msgspec.field(default="", name="pragmaspec_sha512")
    firmware: str | None = msgspec.field(default=None, name="hw_firmware_type")


class ServerGroup(Answer, frozen=True):
    """A server group of Nova."""

    id: str
    name: str


class VolumeAttachment(Answer, frozen=True):
    """A server that has a volume."""

    server_id: str | None = None
    """None: a host has it."""


class CinderVolume(Answer, frozen=True):
    """A volume of Cinder."""

    id: str
    status: str
    size: int
    """In GiB."""
    name: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    attachments: tuple[VolumeAttachment, ...] = ()
    created_at: str = ""

    @property
    def servers(self) -> frozenset[str]:
        """The ids of the servers that have it."""
        return frozenset(each.server_id for each in self.attachments if each.server_id)


class VolumeQuota(Answer, frozen=True):
    """A quota of Cinder; ``limit`` -1 means unlimited."""

    limit: int
    in_use: int = 0
    reserved: int = 0


class VolumeType(Answer, frozen=True):
    """A volume type of Cinder."""

    id: str
    name: str
