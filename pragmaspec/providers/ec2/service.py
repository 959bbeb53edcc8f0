"""One EC2 service as the modules of this package use it: its connection, its options, and its capabilities."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteError
from pragmaspec.providers.ec2.capabilities import Capabilities
from pragmaspec.providers.ec2.client import Answer, Ec2Client
from pragmaspec.providers.ec2.errors import IN_USE, MISSING, has_code, ignoring
from pragmaspec.providers.ec2.marks import LINEAGE, Marked, mark_filters, tag_values, tags_of
from pragmaspec.providers.ec2.settings import Ec2Settings

REMOVAL_S = 60.0
"""Time within which objects that depended on a removed one are gone as well."""
_PAUSE_S = 1.0
_ZONE = "availability-zone"
"""In contrast to local and wavelength zones, which an account has to opt into."""


class _Stateful(Protocol):
    @property
    def state(self) -> str: ...


Found = TypeVar("Found", bound=_Stateful)


@dataclass(frozen=True)
class Kind:
    """A kind of object: its type in tags, the call that creates it, and the keys of the answer and of its id."""

    type: str
    create: str
    key: str
    id: str


VPC = Kind("vpc", "create_vpc", "Vpc", "VpcId")
SUBNET = Kind("subnet", "create_subnet", "Subnet", "SubnetId")
GATEWAY = Kind("internet-gateway", "create_internet_gateway", "InternetGateway", "InternetGatewayId")
GROUP = Kind("security-group", "create_security_group", "", "GroupId")
INTERFACE = Kind("network-interface", "create_network_interface", "NetworkInterface", "NetworkInterfaceId")
VOLUME = Kind("volume", "create_volume", "", "VolumeId")
ADDRESS = Kind("elastic-ip", "allocate_address", "", "AllocationId")


def _is_usual(zone: Answer) -> bool:
    return bool(zone.get("ZoneType", _ZONE) == _ZONE and zone.get("State", "available") == "available")


@dataclass(frozen=True)
class Service:
    """A service. Errors of its methods are those of botocore."""

    site: str
    """Name of the site in the spec."""
    connection: Ec2Client
    settings: Ec2Settings
    capabilities: Capabilities

    def require_vpcs(self) -> None:
        """Raise SiteError if the service has no VPCs."""
        if not self.capabilities.has("vpcs"):
            raise SiteError(
                "The cloud has no VPC",
                f"The service of site {self.site} chooses the private addresses of its machines itself, as EC2-Classic and the "
                "EDGE mode of Eucalyptus do, and clusters need addresses of their own. Use a service with VPCs (the VPCMIDO mode "
                "of Eucalyptus), or another site.",
            )

    @property
    def has_disks(self) -> bool:
        """True if machines can have further disks: they have to be able to grow."""
        return self.capabilities.has("volume_growth")

    def new_zone(self) -> str:
        """Return the zone of new subnets and volumes, which have to be in the same one; empty: the service's choice."""
        settings = self.settings
        if settings.zone or not self.has_disks:
            return settings.zone
        if settings.subnet:
            (subnet,) = self.connection.call("describe_subnets", SubnetIds=[settings.subnet])["Subnets"]
            return str(subnet["AvailabilityZone"])
        zones = self.connection.call("describe_availability_zones")["AvailabilityZones"]
        return min((str(each["ZoneName"]) for each in zones if _is_usual(each)), default="")

    def create(
        self,
        kind: Kind,
        marked: Marked,
        name: str,
        *,
        tagged: bool = True,
        repeatable: bool = False,
        extra: tuple[tuple[str, str], ...] = (),
        **parameters: Any,  # noqa: ANN401
    ) -> Answer:
        """Create an object with its mark in tags; ``tagged`` False: the service cannot tag objects of this kind later.

        ``repeatable``: the parameters have a client token. ``extra``: further tags.
        """
        tags = tags_of(marked, name, (*self.settings.tags, *extra))
        at_creation = self.capabilities.has("tag_at_creation")
        if at_creation:
            parameters["TagSpecifications"] = [{"ResourceType": kind.type, "Tags": tags}]
        answer = self.connection.settled(kind.create, repeatable=repeatable, **parameters)
        made: Answer = answer[kind.key] if kind.key else answer
        # A service may ignore parameters that it does not know.
        if tagged and not (at_creation and LINEAGE in tag_values(made)):
            self.tag(made[kind.id], tags)
        return made

    def tag(self, object_id: str, tags: list[dict[str, str]]) -> None:
        """Set tags of an object that may have been created just now."""
        self.connection.settled("create_tags", Resources=[object_id], Tags=tags)

    def groups(self, own: str) -> list[str]:
        """Return the groups of an interface in a cluster whose own group is ``own``."""
        return [*filter(None, (own, self.settings.security_group))]

    def owned(self, operation: str, key: str, lineage: str, address: str = "") -> Iterator[Answer]:
        """Yield the objects of a stack or of one resource; where tags may be missing, all objects."""
        if self.capabilities.has("tag_at_creation"):
            return self.connection.listed(operation, key, Filters=mark_filters(lineage, address))
        return self.connection.listed(operation, key)

    def wait(
        self, look: Callable[[], Found | None], done: Callable[[Found | None], bool], limit_s: float, what: str
    ) -> Found | None:
        """Wait until ``done`` of the object that ``look`` returns, and return it. Raises SiteError after ``limit_s`` seconds.

        ``what``: the object, as the begin of a sentence ("Instance i-0a").
        """
        clock = self.connection.clock
        until = clock.monotonic() + limit_s
        while not done(found := look()):
            if clock.monotonic() >= until:
                raise SiteError(
                    "An object did not change its state in time",
                    f"{what} is {found.state if found is not None else 'absent'} after {limit_s:g} s. Look at it at the "
                    "site, then apply again.",
                )
            clock.sleep(_PAUSE_S)
        return found

    def undo(self, operation: str, **parameters: Any) -> None:  # noqa: ANN401
        """Remove an object of a creation that is given up. One that cannot be removed now is removed later, by its mark."""
        with suppress(ClientError):
            self.remove(operation, **parameters)

    def remove(self, operation: str, **parameters: Any) -> None:  # noqa: ANN401
        """Remove an object, and wait while objects that are being removed still use it. Absent: no error."""
        clock = self.connection.clock
        until = clock.monotonic() + REMOVAL_S
        while True:
            try:
                with ignoring(MISSING):
                    self.connection.call(operation, repeatable=True, **parameters)
            except ClientError as error:
                if not has_code(IN_USE)(error) or clock.monotonic() >= until:
                    raise
                clock.sleep(_PAUSE_S)
            else:
                return
