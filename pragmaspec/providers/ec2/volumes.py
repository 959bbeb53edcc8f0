"""EBS volumes: further disks of nodes, and volumes that outlive them. Found by their tags, created once, grown and removed."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteConflictError, SiteError, SiteInUseError
from pragmaspec.providers.ec2.client import SETTLE_S, Answer
from pragmaspec.providers.ec2.errors import MISSING, has_code
from pragmaspec.providers.ec2.machines import disk_tag, find_machine, requested_bytes, seconds_of
from pragmaspec.providers.ec2.marks import PART, Marked, marked_by_tags, tag_values, tags_of
from pragmaspec.providers.ec2.service import VOLUME, Service
from pragmaspec.providers.gibibytes import GIB, whole_gib
from pragmaspec.resources import Mark, Outputs, Volume

_DISK, _KEPT = "disk-", "volume-"
"""Prefixes of parts, before the name of a disk of a node or of a volume. Root disks have no part."""
DISK_TYPE = "gp3"
"""Type of volumes that are made here."""
_GONE = ("deleting", "deleted", "error")
_TOKENS = 10
"""Creations of one op, each of whose volumes was removed at the site."""
_OTHER_SIZE = "IdempotentParameterMismatch"
_CHANGE_S = 120.0
_PAUSE_S = 1.0


class EbsVolume(NamedTuple):
    """A volume of any owner. ``mark`` None: it is not ours."""

    id: str
    size_bytes: int
    """As it was requested, unless the volume has been changed since: the service rounds sizes up to GiB."""
    gib: int
    zone: str
    state: str
    mark: Mark | None
    disk: str = ""
    """Name of the further disk of a node that it is; empty: it is none."""
    kept: str = ""
    """Name of the volume that outlives its nodes; empty: it does not."""
    machine: str = ""
    """Id of the instance that has it attached; empty: none has."""
    attached: bool = False
    """False while it is being attached or detached, and without a machine."""
    made: float = 0.0
    name: str = ""
    type: str = ""

    @property
    def serial(self) -> str:
        """The serial number that guests see."""
        return self.id.replace("-", "")


def all_volumes(service: Service) -> list[EbsVolume]:
    """Return the existing volumes of any owner."""
    return _existing(service.connection.listed("describe_volumes", "Volumes"))


def volumes_of(service: Service, lineage: str, address: str = "") -> list[EbsVolume]:
    """Return the existing volumes of a stack, or of one node."""
    listed = _existing(service.owned("describe_volumes", "Volumes", lineage, address))
    return [each for each in listed if each.mark and each.mark.lineage == lineage and address in ("", each.mark.address)]


def kept_volumes(service: Service, name: str) -> list[EbsVolume]:
    """Return the volumes with a name, of any stack, the oldest first."""
    named = [{"Name": f"tag:{PART}", "Values": [f"{_KEPT}{name}"]}]
    found = _existing(service.connection.listed("describe_volumes", "Volumes", Filters=named))
    return sorted((each for each in found if each.kept == name), key=lambda each: (each.made, each.id))


def create_disk(service: Service, mark: Mark, node: str, disk: str, size_bytes: int, zone: str) -> EbsVolume:
    """Create a further disk of a node, empty."""
    return _create(service, Marked(mark, f"{_DISK}{disk}"), f"{node} {disk}", size_bytes, zone)


def allocate_volume(service: Service, volume: Volume, mark: Mark) -> Outputs:
    """Create a volume, or grow it. Raises SiteConflictError if another stack has one of its name.

    Of two stacks that create one at the same time, the older one stays.
    """
    name = mark.name
    named = kept_volumes(service, name)
    found = next((each for each in named if each.mark and each.mark.lineage == mark.lineage), None)
    if found is not None:
        grow(service, found, volume.size_bytes)
        remark(service, found, mark)
        return (("id", found.id),)
    _refuse_others(named, mark)
    found = _create(service, Marked(mark, f"{_KEPT}{name}"), name, volume.size_bytes, service.new_zone())
    try:
        _refuse_others(kept_volumes(service, name), mark)
    except SiteConflictError:
        service.remove("delete_volume", VolumeId=found.id)
        raise
    return (("id", found.id),)


def grow(service: Service, volume: EbsVolume, size_bytes: int) -> None:
    """Grow a volume, also while it is attached. Large enough: no effect."""
    wanted = whole_gib(size_bytes)
    if wanted > volume.gib:
        service.connection.call("modify_volume", VolumeId=volume.id, Size=wanted)
        wait_for_volume(service, volume.id, lambda each: each is None or each.gib >= wanted)
    if size_bytes > volume.size_bytes:
        key, value = disk_tag(size_bytes)
        service.tag(volume.id, [{"Key": key, "Value": value}])


def remark(service: Service, volume: EbsVolume, mark: Mark) -> None:
    """Let a volume of an earlier creation carry the op of this one."""
    if volume.mark and mark.op and volume.mark.op != mark.op:
        part = f"{_DISK}{volume.disk}" if volume.disk else f"{_KEPT}{volume.kept}"
        service.tag(volume.id, tags_of(Marked(mark, part), volume.name))


def remove_volume(service: Service, mark: Mark) -> None:
    """Remove a volume, unless it belongs to another creation. Raises SiteInUseError while a machine has it attached."""
    for each in kept_volumes(service, mark.name):
        if each.mark is None or each.mark.lineage != mark.lineage or (each.mark.op and mark.op and each.mark.op != mark.op):
            continue
        if each.machine:
            raise SiteInUseError("A volume is in use", f"{user_of(service, each)} has volume {each.kept} attached.")
        service.remove("delete_volume", VolumeId=each.id)


def remove_duplicate_volume(service: Service, volume_id: str, mark: Mark) -> None:
    """Remove the volume with an id, if it is that of the creation that ``mark`` names."""
    found = described_volume(service, volume_id)
    if found and found.mark and (found.mark.lineage, found.mark.op) == (mark.lineage, mark.op):
        service.remove("delete_volume", VolumeId=volume_id)


def user_of(service: Service, volume: EbsVolume) -> str:
    """Return the machine that has a volume attached, for people."""
    machine = find_machine(service, volume.machine)
    return machine.mark.owner if machine and machine.mark else f"instance {volume.machine}"


def described_volume(service: Service, volume_id: str) -> EbsVolume | None:
    """Return the existing volume with this id, read by the id; None: there is none."""
    try:
        answer = service.connection.call("describe_volumes", VolumeIds=[volume_id])
    except ClientError as error:
        if has_code(MISSING)(error):
            return None
        raise
    return next(iter(_existing(iter(answer["Volumes"]))), None)


def wait_for_volume(
    service: Service, volume_id: str, done: Callable[[EbsVolume | None], bool], limit_s: float = _CHANGE_S
) -> EbsVolume | None:
    """Wait until ``done`` of a volume as described, at most ``limit_s``, and return it. Raises SiteError after the limit."""
    return service.wait(lambda: described_volume(service, volume_id), done, limit_s, f"Volume {volume_id}")


def _refuse_others(named: list[EbsVolume], mark: Mark) -> None:
    """Raise SiteConflictError if the oldest of the volumes with one name is another stack's."""
    first = named[0] if named else None
    if first and first.mark and first.mark.lineage != mark.lineage:
        raise SiteConflictError(
            "Volume in use",
            f"{first.mark.owner} has the name {first.kept} at the site; it was not touched. Write another name after `keep:`.",
        )


def _create(service: Service, marked: Marked, name: str, size_bytes: int, zone: str) -> EbsVolume:
    """Create a volume once: a lost answer is repeated with its token. A token whose volume was removed is not used again."""
    mark = marked.mark
    for attempt in range(_TOKENS):
        named = f"{mark.lineage} {mark.address} {mark.generation} {mark.op} {marked.part} {attempt}"
        token = sha256(named.encode()).hexdigest()
        try:
            made = service.create(
                VOLUME,
                marked,
                name,
                extra=(disk_tag(size_bytes),),
                repeatable=True,
                ClientToken=token,
                Size=whole_gib(size_bytes),
                AvailabilityZone=zone,
                VolumeType=DISK_TYPE,
            )
        except ClientError as error:
            if not has_code(_OTHER_SIZE)(error):
                raise
            continue
        found = _listed_soon(service, made["VolumeId"])
        if found is not None:
            return found
    raise SiteError(
        "A volume was removed again and again",
        f"{mark.address}: {_TOKENS} volumes of the op {mark.op} were removed at the site. Plan again.",
    )


def _listed_soon(service: Service, volume_id: str) -> EbsVolume | None:
    """Return a new volume once it can be attached; None: it is not there, because an earlier call of the token created it."""
    clock = service.connection.clock
    until = clock.monotonic() + (SETTLE_S if service.connection.is_aws else 0)
    while True:
        found = described_volume(service, volume_id)
        if found is not None and found.state == "creating":
            return wait_for_volume(service, volume_id, lambda each: each is None or each.state != "creating")
        if found is not None or clock.monotonic() >= until:
            return found
        clock.sleep(_PAUSE_S)


def _existing(described: Iterator[Answer]) -> list[EbsVolume]:
    return [each for each in map(_volume_of, described) if each.state not in _GONE]


def _volume_of(described: Answer) -> EbsVolume:
    marked, tags = marked_by_tags(described), tag_values(described)
    part = marked.part if marked else ""
    uses = [each for each in described.get("Attachments", ()) if each.get("State") != "detached"]
    gib, requested = int(described["Size"]), requested_bytes(tags)
    return EbsVolume(
        id=described["VolumeId"],
        size_bytes=requested if requested and whole_gib(requested) == gib else gib * GIB,
        gib=gib,
        zone=described.get("AvailabilityZone", ""),
        state=described.get("State", ""),
        mark=marked.mark if marked else None,
        disk=part.removeprefix(_DISK) if part.startswith(_DISK) else "",
        kept=part.removeprefix(_KEPT) if part.startswith(_KEPT) else "",
        machine=uses[0]["InstanceId"] if uses else "",
        attached=bool(uses) and uses[0].get("State") == "attached",
        made=seconds_of(described.get("CreateTime")),
        name=tags.get("Name", ""),
        type=described.get("VolumeType", ""),
    )
