"""The differences between EC2 services, in one table. Each is probed once per process, by a call that changes nothing.

A probe either lists objects, or asks for a change of an object that cannot exist: a service that has the call reports that the
object is missing, any other that it does not know the call or a parameter.
"""

import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.errors import MISSING, UNSUPPORTED, has_code, is_server_error

CapabilityName = Literal["vpcs", "tag_at_creation", "instance_types", "further_ranges", "volume_growth", "disk_upload", "quotas"]

_NO_VPC, _NO_VOLUME, _NO_SNAPSHOT = "vpc-00000000", "vol-00000000", "snap-00000000000000000"
_UNKNOWN = rf"{UNSUPPORTED}|UnknownParameter|InvalidParameterCombination|MalformedQueryString"
"""Codes of services that do not know a call or one of its parameters."""
_PLATFORMS = "supported-platforms"
"""The account's attribute with the values ``EC2`` (machines outside of VPCs) and ``VPC``."""
_PROBED_RANGE = "10.255.255.0/28"


class Capability(NamedTuple):
    """A difference between services: ``without`` is the consequence where a service lacks it."""

    name: CapabilityName
    meaning: str
    without: str
    probe: Callable[[Ec2Client], bool]


def _vpcs(connection: Ec2Client) -> bool:
    """True unless the service does not know VPCs, or has none and declares that it only runs machines outside of them."""
    try:
        if connection.call("describe_vpcs").get("Vpcs"):
            return True
        described = connection.call("describe_account_attributes", AttributeNames=[_PLATFORMS])
    except ClientError as error:
        if has_code(_UNKNOWN)(error):
            return False
        raise
    found = [each for each in described.get("AccountAttributes", ()) if each.get("AttributeName") == _PLATFORMS]
    values = {value.get("AttributeValue") for each in found for value in each.get("AttributeValues", ())}
    return not values or "VPC" in values


def _tags_at_creation(connection: Ec2Client) -> bool:
    tags = [{"ResourceType": "subnet", "Tags": [{"Key": "pragmaspec", "Value": "probe"}]}]
    return _knows(connection, "create_subnet", VpcId=_NO_VPC, CidrBlock=_PROBED_RANGE, TagSpecifications=tags)


def _instance_types(connection: Ec2Client) -> bool:
    try:
        connection.call("describe_instance_types", InstanceTypes=["pragmaspec.probe"])
    except ClientError as error:
        return has_code(f"{MISSING}|InvalidInstanceType|InvalidParameterValue")(error)
    return True


def _further_ranges(connection: Ec2Client) -> bool:
    return _knows(connection, "associate_vpc_cidr_block", VpcId=_NO_VPC, CidrBlock=_PROBED_RANGE)


def _volume_growth(connection: Ec2Client) -> bool:
    return _knows(connection, "modify_volume", VolumeId=_NO_VOLUME, Size=1)


def _disk_upload(connection: Ec2Client) -> bool:
    try:
        connection.call("list_snapshot_blocks", service="ebs", repeatable=False, SnapshotId=_NO_SNAPSHOT)
    except ClientError as error:
        # A service that fails has the call: the upload then reports the failure.
        return is_server_error(error) or has_code("ResourceNotFoundException|ValidationException|AccessDeniedException")(error)
    except (BotoCoreError, ResponseParserError):
        return False
    return True


def _quotas(connection: Ec2Client) -> bool:
    return connection.is_aws


CAPABILITIES: tuple[Capability, ...] = (
    Capability(
        "vpcs",
        "networks are VPCs, in which interfaces have chosen addresses",
        "a plan is refused",
        _vpcs,
    ),
    Capability(
        "tag_at_creation",
        "objects are tagged by the call that creates them",
        "they are tagged by a second call; until then the description of their interface or group tells the owner",
        _tags_at_creation,
    ),
    Capability(
        "instance_types",
        "instance types are described",
        "`sizes` of the site describes them; a plan without it is refused",
        _instance_types,
    ),
    Capability(
        "further_ranges",
        "a VPC can get further ranges of addresses",
        "extra networks outside of the private one's range are refused at apply",
        _further_ranges,
    ),
    Capability(
        "volume_growth",
        "volumes can grow",
        "there are no further disks or volumes, and a larger first disk comes with a larger instance type only",
        _volume_growth,
    ),
    Capability(
        "disk_upload",
        "snapshots can be written block by block (EBS direct API)",
        "nodes boot from images of the site (`at:`) only",
        _disk_upload,
    ),
    Capability("quotas", "quotas can be read (Service Quotas)", "a shortage is reported at apply", _quotas),
)
"""The table. docs/ec2.md contains it too."""

_PROBES = {each.name: each.probe for each in CAPABILITIES}


class Capabilities:
    """The capabilities of one service, each probed once. Thread-safe."""

    def __init__(self, connection: Ec2Client) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._found: dict[CapabilityName, bool] = {}

    def has(self, name: CapabilityName) -> bool:
        """True if the service has the capability."""
        with self._lock:
            if name not in self._found:
                self._found[name] = _PROBES[name](self._connection)
            return self._found[name]


def _knows(connection: Ec2Client, operation: str, **parameters: Any) -> bool:  # noqa: ANN401
    """True if the service knows the call and its parameters, so that only the object is missing."""
    try:
        connection.call(operation, **parameters)
    except ClientError as error:
        # One that may not be called by these credentials, is known as well.
        return not (is_server_error(error) or has_code(_UNKNOWN)(error))
    return True
