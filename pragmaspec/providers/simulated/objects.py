"""What stands at a simulated site, as plain values; one line of its file each.

The file is JSON Lines (one object a line, UTF-8). The first line is a :class:`Header`; every other line puts an object in the
place of what had its key, or takes it away (:class:`RemovedObject`). The last line for a key is the truth.
"""

from typing import Literal

import msgspec

from pragmaspec.frozen import Frozen

FILE_FORMAT = 1

Key = tuple[str, str, str]
"""Kind of object, lineage (empty: somebody without marks), address or digest."""


class Header(Frozen, frozen=True, tag_field="kind", tag="site"):
    """First line of a site's file. ``format`` is 1."""

    format: int
    name: str


class SimulatedMachine(Frozen, frozen=True, tag_field="kind", tag="machine"):
    """A machine: its definition, its power, and its disk.

    ``lineage`` is empty on a machine without marks; then ``address`` is what its owner calls it. ``definition`` is a digest of
    what it was booted with, ``image`` the digest its disk was made from, ``booted_at`` in seconds since 1970. ``unready``: its
    guest never answers. Status "undefined": only the disk is left. ``op`` names its creation, ``made`` counts everything that was
    made at the site, ``asked`` is a digest of the order that made it. ``alone``: no other machine has its address (kind "ident").
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

    @property
    def id(self) -> str:
        """What the site calls it."""
        return f"m-{self.made}"

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("machine", self.lineage, self.address if self.alone else f"{self.address}#{self.made}")


class GrantedNetwork(Frozen, frozen=True):
    """A network of a grant; ``vlan`` None: nothing to claim. ``up`` False: somebody took it down, the claim stands."""

    name: str
    cidr: str
    vlan: int | None = None
    up: bool = True


class Grant(Frozen, frozen=True, tag_field="kind", tag="grant"):
    """What one cluster (or somebody without marks) holds of the site's pools."""

    address: str
    lineage: str = ""
    networks: tuple[GrantedNetwork, ...] = ()
    public: tuple[str, ...] = ()
    op: str = ""
    made: int = 0

    @property
    def id(self) -> str:
        """What the site calls it."""
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


class CallCount(Frozen, frozen=True, tag_field="kind", tag="calls"):
    """How many calls an injected fault has seen: outlives the process, so that the third call is the third call of all."""

    fault: str
    count: int

    @property
    def key(self) -> Key:
        """Unique at the site."""
        return ("calls", "", self.fault)


class RemovedObject(Frozen, frozen=True, tag_field="kind", tag="gone"):
    """The object with this key is no more."""

    key: Key


SiteObject = SimulatedMachine | Grant | Image | CallCount
Line = Header | SiteObject | RemovedObject

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode_line(line: Line) -> bytes:
    """``line`` as it stands in the file, with its newline."""
    return _ENCODER.encode(line) + b"\n"


def decode_line(data: bytes) -> Line:
    """The line in ``data``. Raises ``msgspec.MsgspecError`` when it is none."""
    return _DECODER.decode(data)


def describe_owner(thing: SimulatedMachine | Grant) -> str:
    """Who holds it, for people: ``lab/hello/allocation of stack 3f9a1c2b``, or the name a stranger gave."""
    return f"{thing.address} of stack {thing.lineage[:8]}" if thing.lineage else thing.address
