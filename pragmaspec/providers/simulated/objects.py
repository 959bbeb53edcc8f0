"""The objects of a simulated site, one line of its file each.

The file is JSON Lines (one object per line, UTF-8). The first line is a :class:`Header`; every other line adds an object,
replaces the one with its key, or removes it (:class:`RemovedObject`). The last line for a key is valid.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from pragmaspec.frozen import Frozen
from pragmaspec.planning.observed import QuotaBasis

FILE_FORMAT = 1

Key = tuple[str, str, str]
"""Kind of object, lineage (empty: a foreign owner), address or digest."""


class Header(Frozen, frozen=True, tag_field="kind", tag="site"):
    """The first line of a site's file. ``format`` is 1."""

    format: int
    name: str


class MachineDisk(Frozen, frozen=True):
    """A further disk of a machine; ``volume``: the name of the volume that it is, empty if it is removed with the machine."""

    name: str
    size_bytes: int
    volume: str = ""


class MachineInterface(Frozen, frozen=True):
    """The MAC and the address of a machine in one network, at a site that chooses such values."""

    network: str
    mac: str
    address: str


class SimulatedMachine(Frozen, frozen=True, tag_field="kind", tag="machine"):
    """A machine: its definition, its power state, and its disk.

    ``lineage`` is empty for a foreign machine, whose ``address`` is any name. ``definition`` is a digest of its boot request,
    ``image`` that of its disk's image, ``booted_at`` in seconds since 1970. ``unready``: its guest never answers. Status
    "undefined": only the disk is left. ``op`` identifies its creation, ``made`` is its number among all objects created at the
    site, ``asked`` a digest of the request that created it. ``alone``: no other machine has its address (kind "ident").
    ``autostart``: it starts with its host.
    """

    address: str
    lineage: str = ""
    generation: int = 0
    status: Literal["running", "off", "undefined"] = "running"
    cpus: int = 0
    memory_mib: int = 0
    disk_bytes: int = 0
    disk: bool = True
    image: str = ""
    definition: str = ""
    booted_at: float = 0.0
    unready: bool = False
    op: str = ""
    made: int = 0
    asked: str = ""
    alone: bool = True
    autostart: bool = False
    flavor: str = ""
    nics: int = 0
    """Number of interfaces, without those of public addresses."""
    disks: tuple[MachineDisk, ...] = ()
    firmware: Literal["bios", "uefi"] = "bios"

    cpu: str = ""
    """Its processor; empty: not named."""
    devices: tuple[str, ...] = ()
    """Addresses of the host's devices that it has for itself, sorted."""
    interfaces: tuple[MachineInterface, ...] = ()
    """Its interfaces, if the site chooses their MACs or addresses."""
    user_data_bytes: int = 0
    """Size of the user-data that it was created with. Its contents are secret, and not stored."""
    received: str = ""
    """Digest of the cluster's members that its guest received last over ssh, where the site limits user-data."""
    pinned: tuple[int, ...] = ()
    """The host CPUs that it has for itself, by virtual CPU."""

    @property
    def total_disk_bytes(self) -> int:
        """Capacity of all disks that are removed with the machine."""
        return (self.disk_bytes if self.disk else 0) + sum(disk.size_bytes for disk in self.disks if not disk.volume)

    @property
    def id(self) -> str:
        """The site's id of the object."""
        return f"m-{self.made}"

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("machine", self.lineage, self.address if self.alone else f"{self.address}#{self.made}")


class GrantedNetwork(Frozen, frozen=True):
    """A network of a grant; ``vlan`` None: no claim. ``up`` False: it was stopped, but is still claimed.

    ``bridge``: an existing one; None: the network was made for the cluster.
    """

    name: str
    cidr: str
    vlan: int | None = None
    up: bool = True
    bridge: str | None = None


class Grant(Frozen, frozen=True, tag_field="kind", tag="grant"):
    """The claims of one cluster, or of a foreign owner."""

    address: str
    lineage: str = ""
    networks: tuple[GrantedNetwork, ...] = ()
    public: tuple[str, ...] = ()
    op: str = ""
    made: int = 0

    @property
    def id(self) -> str:
        """The site's id of the object."""
        return f"g-{self.made}"

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("grant", self.lineage, self.address)


class Image(Frozen, frozen=True, tag_field="kind", tag="image"):
    """An image at the site and the lineages of the stacks that use it."""

    digest: str
    name: str
    size_bytes: int
    users: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("image", "", self.digest)


class SimulatedVolume(Frozen, frozen=True, tag_field="kind", tag="volume"):
    """A volume. ``lineage`` is empty for a foreign one, whose ``address`` is any name. ``op`` and ``made`` are as in machines."""

    name: str
    address: str
    size_bytes: int
    lineage: str = ""
    op: str = ""
    made: int = 0

    @property
    def id(self) -> str:
        """The site's id of the object."""
        return f"v-{self.made}"

    @property
    def key(self) -> Key:
        """Unique at the site: the name is the claim."""
        return ("volume", "", self.name)


class CallCount(Frozen, frozen=True, tag_field="kind", tag="calls"):
    """The number of calls that an injected fault has counted, across processes."""

    fault: str
    count: int

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("calls", "", self.fault)


class RemovedObject(Frozen, frozen=True, tag_field="kind", tag="gone"):
    """The removal of the object with this key."""

    key: Key


SiteObject = SimulatedMachine | Grant | Image | CallCount | SimulatedVolume
Line = Header | SiteObject | RemovedObject

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    """Return ``line`` as in the file, with its newline."""
    return _ENCODER.encode(line) + b"\n"


def decode_line(data: bytes) -> Line:
    """Return the line in ``data``. Raises ``msgspec.MsgspecError`` when it is invalid."""
    return _DECODER.decode(data)


def machine_amounts(machine: SimulatedMachine) -> Mapping[QuotaBasis, int]:
    """The amounts of a machine that quotas count. Without a definition only its disks are left."""
    own = [disk.size_bytes for disk in machine.disks if not disk.volume]
    disks: Mapping[QuotaBasis, int] = {
        "disk_byte": machine.disk_bytes if machine.disk else 0,
        "own_disk": len(own),
        "own_disk_byte": sum(own),
    }
    if machine.status == "undefined":
        return disks
    return {**disks, "node": 1, "cpu": machine.cpus, "memory_mib": machine.memory_mib, "nic": machine.nics}


def grant_amounts(grant: Grant) -> Mapping[QuotaBasis, int]:
    """The amounts of a grant that quotas count."""
    created = sum(network.bridge is None for network in grant.networks)
    return {"cluster": 1, "network": created, "address": len(grant.public)}


def volume_amounts(volume: SimulatedVolume) -> Mapping[QuotaBasis, int]:
    """The amounts of a volume that quotas count."""
    return {"volume": 1, "volume_byte": volume.size_bytes}


def describe_owner(owned: SimulatedMachine | Grant | SimulatedVolume) -> str:
    """The human-readable owner: ``lab/hello/allocation of stack 3f9a1c2b``, or the name of a foreign one."""
    return f"{owned.address} of stack {owned.lineage[:8]}" if owned.lineage else owned.address
