"""Resources at a site: allocations, staged images and nodes. Values only."""

from hashlib import sha256
from typing import Any, Literal

from pragmaspec.frozen import Frozen

Role = Literal["frontend", "compute"]
ReadyWhen = Literal["cloud-init", "ssh", "none"]


class Nic(Frozen, frozen=True):
    """One network interface of a node. ``network`` is "private", "public" or the name of an extra network.

    ``segment`` says what it is plugged into (``vlan 20``, ``bridge br20``, ``network default``), for people and so that a move to
    another is seen; providers go by the allocation.
    """

    network: str
    mac: str
    address: str
    prefix: int
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int = 1500
    segment: str = ""


class Network(Frozen, frozen=True):
    """A network a site granted to one cluster. The first of an allocation is always "private".

    ``vlan`` is the number it carries, None on a network that is not ours to number; ``bridge`` is an existing host bridge that
    it stands on, None for an isolated network made for it.
    """

    name: str
    cidr: str
    vlan: int | None = None
    bridge: str | None = None
    mtu: int = 1500


class PublicGrant(Frozen, frozen=True):
    """A public address for one node, on the site's public ``network`` or a host ``bridge``. ``mtu`` None: 1500 bytes."""

    node: str
    address: str
    prefix: int
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    fqdn: str | None = None
    network: str | None = None
    bridge: str | None = None
    mtu: int | None = None


class Allocation(Frozen, frozen=True, tag_field="kind", tag="allocation"):
    """What a site granted a cluster as a whole. Addresses of nodes follow from it and stand in the nodes."""

    site: str
    cluster: str
    networks: tuple[Network, ...]
    public: tuple[PublicGrant, ...] = ()
    protect: bool = False

    @property
    def address(self) -> str:
        """``<site>/<cluster>/allocation``."""
        return f"{self.site}/{self.cluster}/allocation"

    @property
    def private(self) -> Network:
        """The network that joins frontend and computes."""
        return self.networks[0]


class Blob(Frozen, frozen=True):
    """A file by content: lower-case hexadecimal SHA-256 and length in bytes."""

    sha256: str
    size_bytes: int


class BootImage(Frozen, frozen=True, kw_only=True):
    """Everything a node boots from: a disk, and the kernel, initrd and command line of a disk without a boot loader."""

    format: Literal["qcow2", "raw"]
    virtual_size_bytes: int
    disk: Blob
    kernel: Blob | None = None
    initrd: Blob | None = None
    cmdline: str = ""

    @property
    def digest(self) -> str:
        """The digest of the image, 64 lower-case hexadecimal digits. Subclasses that record it have a field of this name.

        The SHA-256 of the disk if the disk has a boot loader. With a kernel, the SHA-256 of these ASCII lines, each terminated by
        a newline: ``pragmaspec image 1``, ``disk <sha256>``, ``kernel <sha256>``, ``initrd <sha256>`` or ``initrd -``, and
        ``cmdline <text>``.
        """
        if self.kernel is None:
            return self.disk.sha256
        lines = (
            "pragmaspec image 1",
            f"disk {self.disk.sha256}",
            f"kernel {self.kernel.sha256}",
            f"initrd {self.initrd.sha256 if self.initrd else '-'}",
            f"cmdline {self.cmdline}",
        )
        return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The files of the image."""
        return tuple(blob for blob in (self.disk, self.kernel, self.initrd) if blob)

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(blob.size_bytes for blob in self.blobs)


def image_fields(image: BootImage, kind: type[BootImage] = BootImage) -> dict[str, Any]:
    """Return the fields of ``image`` that ``kind`` has too, as keyword arguments for another kind of image."""
    return {name: getattr(image, name) for name in kind.__struct_fields__}


class StagedImage(BootImage, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """An image at a site, addressed by its digest."""

    site: str
    digest: str
    name: str

    @property
    def address(self) -> str:
        """``<site>/image/<first 16 digits of the digest>``."""
        return f"{self.site}/image/{self.digest[:16]}"

    @property
    def transfer_bytes(self) -> int:
        """Bytes to transfer to the site."""
        return self.size_bytes


class Readiness(Frozen, frozen=True, omit_defaults=False):
    """When a booted node counts as ready, and how long each stage of waiting may last.

    Written with its defaults: msgspec leaves a default out when it is the very same object, and whether two texts with a hyphen
    are one object depends on which module was imported first. A state must not read otherwise for that.
    """

    when: ReadyWhen = "cloud-init"
    timeout_s: int = 600


class Node(Frozen, frozen=True, tag_field="kind", tag="node"):
    """One machine of a cluster as it shall be.

    ``first_boot``, ``keys`` and ``peers`` are digests (16 hexadecimal digits) of what the guest is told: packages and user-data
    (read at first boot only), ssh keys (changed live), and the cluster's members (changed live). The contents come from the spec.
    """

    site: str
    cluster: str
    name: str
    role: Role
    index: int
    cpus: int
    memory_mib: int
    disk_bytes: int
    image: str
    """Digest of a :class:`StagedImage` of the same site."""
    nics: tuple[Nic, ...]
    running: bool = True
    protect: bool = False
    readiness: Readiness = Readiness()
    first_boot: str = ""
    keys: str = ""
    peers: str = ""
    cloud_init: bool = True
    """Whether its guest reads a seed. Otherwise what it is told is written into its disk before the first boot."""
    firmware: Literal["bios", "uefi"] = "bios"
    autostart: bool = False
    """True if the node starts with its host; always False for a node that is to be off."""

    @property
    def address(self) -> str:
        """``<site>/<cluster>/node/<name>``."""
        return f"{self.site}/{self.cluster}/node/{self.name}"

    def nic(self, network: str) -> Nic | None:
        """The interface on ``network``, or None."""
        return next((nic for nic in self.nics if nic.network == network), None)


Resource = Allocation | StagedImage | Node
Outputs = tuple[tuple[str, str], ...]
"""What only the site could tell (an id, a path), as sorted pairs; never a secret."""


class Mark(Frozen, frozen=True):
    """How an object made for us is found again without the state.

    ``address`` is the one under which it was made. ``op`` tells two objects of one address and generation apart, which a site
    can hold that lets nobody choose an identity: after a creation whose answer was lost, say.
    """

    lineage: str
    address: str
    generation: int = 0
    op: str = ""

    @property
    def uuid(self) -> str:
        """UUIDv5 (RFC 9562, section 5.5) of lineage, address and generation: the identity where a site lets us choose it."""
        from uuid import UUID, uuid5  # noqa: PLC0415 - costs 10 ms that a plan without changes need not pay

        return str(uuid5(UUID(self.lineage), f"{self.address}#{self.generation}"))

    @property
    def short(self) -> str:
        """The first 8 digits of the lineage: tells stacks apart in names."""
        return self.lineage[:8]
