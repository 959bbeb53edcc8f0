"""Instances as values, and the search for those with our marks."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.guest.setup.disks import SERIAL_TAG
from pragmaspec.planning.observed import MachineStatus
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import MISSING, has_code
from pragmaspec.providers.ec2.marks import Marked, marked_by_note, marked_by_tags, tag_values
from pragmaspec.providers.ec2.service import Service
from pragmaspec.resources import Mark

DISK = "pragmaspec-disk"
"""Key of the tag with the size of the first disk as it was requested: the service rounds it up to GiB."""
IMAGE = "pragmaspec-image"
_BYTES = "bytes-"
_GONE = ("shutting-down", "terminated", "error")
_STATUS: dict[str, MachineStatus] = {"pending": "running", "running": "running"}
_PAUSE_S = 1.0


class Interface(NamedTuple):
    """An interface of a machine; ``network``: the name of the network that it is in, if it was created for a node."""

    id: str
    mac: str
    address: str
    subnet: str
    network: str = ""
    groups: tuple[str, ...] = ()
    checked: bool = True
    """True if the site drops packets that are not from or to its own address."""


class Machine(NamedTuple):
    """An instance. ``mark`` None: it is not ours."""

    id: str
    state: str
    reason: str
    """The service's reason of the state."""
    type: str
    image: str
    token: str
    mark: Mark | None
    interfaces: tuple[Interface, ...]
    root_volume: str = ""
    volumes: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Device names of the volumes."""
    serials: tuple[tuple[str, str], ...] = ()
    """The tags with serial numbers of further disks."""
    tells_tags: bool = False
    """True if the guest can read the tags."""
    made: float = 0.0
    launched: float = 0.0
    """Time of its last start (seconds since 1970); 0: unknown."""
    disk_bytes: int = 0
    """Size of the first disk as requested; 0: unknown."""
    spot_request: str = ""
    name: str = ""
    is_tagged: bool = False
    """True if the tags have its mark."""

    @property
    def exists(self) -> bool:
        """False for one that is removed, or being removed."""
        return self.state not in _GONE

    @property
    def status(self) -> MachineStatus:
        """Its power state."""
        return _STATUS.get(self.state, "off")


def all_machines(service: Service) -> Iterator[Machine]:
    """Yield the existing instances of any owner."""
    return filter(
        lambda each: each.exists, map(machine_of, _instances(service.connection.listed("describe_instances", "Reservations")))
    )


def machines_of(service: Service, lineage: str, address: str = "") -> list[Machine]:
    """Return the existing instances of a stack, or of one node."""
    listed = map(machine_of, _instances(service.owned("describe_instances", "Reservations", lineage, address)))
    return [
        each
        for each in listed
        if each.exists and each.mark and each.mark.lineage == lineage and address in ("", each.mark.address)
    ]


def find_machine(service: Service, machine_id: str) -> Machine | None:
    """Return the existing instance with this id, read by the id; None: there is none."""
    machine = described_machine(service, machine_id)
    return machine if machine and machine.exists else None


def described_machine(service: Service, machine_id: str) -> Machine | None:
    """Return the instance with this id as the service describes it, also one that is being removed."""
    try:
        answer = service.connection.call("describe_instances", InstanceIds=[machine_id])
    except ClientError as error:
        if has_code(MISSING)(error) or has_code(r"InvalidInstanceID\.Malformed")(error):
            return None
        raise
    return next(map(machine_of, _instances(answer["Reservations"])), None)


def wait_for(service: Service, machine_id: str, done: Callable[[Machine | None], bool], limit_s: float) -> Machine | None:
    """Wait until ``done`` of the instance as described, at most ``limit_s``, and return it. Raises SiteError after the limit."""
    return service.wait(lambda: described_machine(service, machine_id), done, limit_s, f"Instance {machine_id}")


def machine_of(described: Answer) -> Machine:
    """Return the instance that the service describes."""
    interfaces = sorted(described.get("NetworkInterfaces", ()), key=lambda each: each["Attachment"]["DeviceIndex"])
    devices = described.get("BlockDeviceMappings", ())
    volumes = {each["DeviceName"]: str(each["Ebs"]["VolumeId"]) for each in devices if "Ebs" in each}
    tags = tag_values(described)
    token = described.get("ClientToken", "")
    attached = interfaces[0]["Attachment"].get("AttachTime") if interfaces else None
    return Machine(
        id=described["InstanceId"],
        state=described["State"]["Name"],
        reason=described.get("StateReason", {}).get("Message") or described.get("StateTransitionReason", ""),
        type=described.get("InstanceType", ""),
        image=described.get("ImageId", ""),
        token=token,
        mark=_mark_of(described, interfaces, token),
        interfaces=tuple(map(interface_of, interfaces)),
        root_volume=volumes.get(described.get("RootDeviceName", ""), ""),
        volumes=tuple(volumes.values()),
        devices=tuple(volumes),
        serials=tuple((key, value) for key, value in tags.items() if key.startswith(SERIAL_TAG)),
        tells_tags=described.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled",
        made=seconds_of(attached or described.get("LaunchTime")),
        launched=seconds_of(described.get("LaunchTime")),
        disk_bytes=requested_bytes(tags),
        spot_request=described.get("SpotInstanceRequestId", ""),
        name=tags.get("Name", ""),
        is_tagged=marked_by_tags(described) is not None,
    )


def is_of(found: Mark, mark: Mark) -> bool:
    """True if a removal for ``mark`` includes an object with the mark ``found``."""
    same = found.is_for(mark) and found.generation == mark.generation
    return same and (not (found.op and mark.op) or found.op == mark.op)


def disk_tag(size_bytes: int) -> tuple[str, str]:
    """Return the tag that records the requested size of a disk."""
    return DISK, f"{_BYTES}{size_bytes}"


def requested_bytes(tags: Mapping[str, str]) -> int:
    """Return the requested size of a disk that its tags record; 0: unknown."""
    size = tags.get(DISK, "").removeprefix(_BYTES)
    return int(size) if size.isdecimal() else 0


def interface_of(described: Answer) -> Interface:
    """Return the interface that the service describes."""
    marked = marked_by_note(described.get("Description", ""))
    return Interface(
        id=described["NetworkInterfaceId"],
        mac=described.get("MacAddress", ""),
        address=described.get("PrivateIpAddress", ""),
        subnet=described.get("SubnetId", ""),
        network=marked.part if marked else "",
        groups=tuple(each["GroupId"] for each in described.get("Groups", ())),
        checked=described.get("SourceDestCheck", True),
    )


def token_of(op: str, attempt: int) -> str:
    """Return the client token of a creation: the op, and a number for one whose earlier instances were removed."""
    return f"{op}-{attempt}" if op else ""


def _mark_of(described: Answer, interfaces: list[Answer], token: str) -> Mark | None:
    """Return the mark in the tags, else that of the first interface, with the op of the token that created the instance."""
    marked = marked_by_tags(described)
    if marked is not None:
        return marked.mark
    noted = _noted(interfaces)
    if noted is None:
        return None
    op = token.rpartition("-")[0] or noted.mark.op
    return Mark(lineage=noted.mark.lineage, address=noted.mark.address, generation=noted.mark.generation, op=op)


def _noted(interfaces: list[Answer]) -> Marked | None:
    return next(filter(None, (marked_by_note(each.get("Description", "")) for each in interfaces)), None)


def _instances(reservations: Iterator[Answer]) -> Iterator[Answer]:
    return (each for reservation in reservations for each in reservation["Instances"])


def seconds_of(time: object) -> float:
    """Return a time of the API in seconds since 1970; 0: there is none."""
    return time.timestamp() if isinstance(time, datetime) else 0.0
