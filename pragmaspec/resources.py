"""Resources at a site: allocations, staged images, nodes and volumes. Plain values."""

from hashlib import sha256
from typing import Any, Literal

from pragmaspec.frozen import Frozen

Role = Literal["frontend", "compute"]
ReadyWhen = Literal["cloud-init", "ssh", "none"]

STANDARD_MTU = 1500
"""MTU of Ethernet, in bytes."""


class Nic(Frozen, frozen=True):
    """A network interface of a node. ``network`` is "private", "public" or the name of an extra network.

    ``segment`` names the layer-2 segment (``vlan 20``, ``bridge br20``, ``network default``). It is displayed, and makes a change
    of segment show up in the diff; providers use the allocation instead.
    """

    network: str
    mac: str
    address: str
    prefix: int
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int = 1500
    segment: str = ""
    translated: bool = False
    """True if the site translates it to the node's private interface, whose MAC this is: there is no interface for it."""


class Network(Frozen, frozen=True):
    """A network granted to one cluster. The first network of an allocation is always "private".

    ``vlan`` is None for a network without a VLAN number of ours; ``bridge`` is an existing host bridge, None for an isolated
    network created for the cluster.
    """

    name: str
    cidr: str
    vlan: int | None = None
    bridge: str | None = None
    mtu: int = 1500
    gateway: str | None = None
    """Address of the site's router in it; None: the frontend is the gateway, if it has a public address."""
    dhcp: bool = False
    """True if the site configures the interfaces in it by DHCP, without a route through the frontend."""

    @property
    def is_made(self) -> bool:
        """True if the network is made for the cluster, false for an existing bridge."""
        return self.bridge is None


class PublicGrant(Frozen, frozen=True):
    """A public address of one node, on the site's public ``network`` or a host ``bridge``. ``mtu`` None means 1500 bytes.

    One that is ``translated`` by the site to the node's private interface has no interface of its own and the prefix 32;
    ``network`` is the one that it is an address of.
    """

    node: str
    address: str
    prefix: int
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    fqdn: str | None = None
    network: str | None = None
    bridge: str | None = None
    mtu: int | None = None
    translated: bool = False


class Allocation(Frozen, frozen=True, tag_field="kind", tag="allocation"):
    """The networks and public addresses granted to a cluster. Node addresses derive from it and are stored in the nodes."""

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
        """The network that connects the frontend and the computes."""
        return self.networks[0]


class Blob(Frozen, frozen=True):
    """A file identified by content: lower-case hexadecimal SHA-256, and size in bytes."""

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
        """The digest of the image, 64 lower-case hexadecimal digits. Subclasses that record it declare a field of this name.

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
        """Total size of all files."""
        return sum(blob.size_bytes for blob in self.blobs)


def image_fields(image: BootImage, kind: type[BootImage] = BootImage) -> dict[str, Any]:
    """Return the fields of ``image`` that ``kind`` has too, as keyword arguments for another kind of image."""
    return {name: getattr(image, name) for name in kind.__struct_fields__}


class StagedImage(BootImage, frozen=True, kw_only=True, tag_field="kind", tag="image"):
    """An image stored at a site, addressed by its digest.

    An image of the site itself has ``site_image``, the site's immutable id of it, and ``site_name``, its name there. The size of
    its disk is that of the copy that nodes boot from, 0 if they use it in place. It is never transferred from this machine.
    """

    site: str
    digest: str
    name: str
    site_image: str = ""
    site_name: str = ""
    checksum: str = ""
    """Its checksum as the site reported it when it was pinned, such as ``sha256:…``; empty: none."""

    @property
    def address(self) -> str:
        """``<site>/image/<first 16 digits of the digest>``."""
        return f"{self.site}/image/{self.digest[:16]}"

    @property
    def transfer_bytes(self) -> int:
        """Number of bytes to transfer to the site."""
        return 0 if self.site_image else self.size_bytes

    @property
    def in_place(self) -> bool:
        """True if nodes boot from an image of the site itself, of which no copy is made."""
        return bool(self.site_image) and not self.size_bytes


class Readiness(Frozen, frozen=True, omit_defaults=False):
    """The readiness condition of a booted node, and the timeout of each stage of waiting.

    Encoded with its defaults: msgspec omits a default only if the value is the identical object, and whether two strings that
    contain a hyphen are one object depends on import order, on which the encoded state must not depend.
    """

    when: ReadyWhen = "cloud-init"
    timeout_s: int = 600


class SizeRequest(Frozen, frozen=True):
    """The size that the spec requests for a node, from which its flavor follows. 0 and "": no request."""

    cpus: int = 0
    memory_mib: int = 0
    disk_bytes: int = 0
    flavor: str = ""
    devices: tuple[tuple[str, int], ...] = ()
    """Pairs of a device's alias and the number of these devices, by alias."""


ANY_SIZE = SizeRequest()


DiskFormat = Literal["ext4", "xfs", "none"]
"""File system of a disk; "none": the disk is left as it is."""


class Disk(Frozen, frozen=True):
    """A further disk of a node. The guest finds it by its serial number, which is ``name``."""

    name: str
    size_bytes: int
    format: DiskFormat = "ext4"
    mount: str = ""
    """Absolute path of its mount point; empty: not mounted."""
    volume: str = ""
    """Name of a :class:`Volume` of the same site; empty: the disk is created and removed with its node."""
    kept_format: DiskFormat = "none"
    """The file system that an earlier ``format`` of a disk of the node has made, if ``format`` is ``none`` now."""

    @property
    def made_format(self) -> DiskFormat:
        """The file system that pragmaspec has made; ``none``: the contents are unknown."""
        return self.kept_format if self.format == "none" else self.format


class NodeDevice(Frozen, frozen=True):
    """A device of the site's hosts that a node has for itself."""

    alias: str
    """The name by which the spec requests such devices."""
    address: str = ""
    """The site's identifier of the device, such as the PCI address ``0000:41:00.0``; empty: it comes with the node's flavor, or
    is chosen once the node is to run."""


UNCHOSEN = -1
"""A host CPU of a pinned node that is yet to be chosen."""


class Volume(Frozen, frozen=True, tag_field="kind", tag="volume"):
    """A disk that outlives the nodes and the cluster that use it.

    ``cluster`` is the one that wants it, or that wanted it last. ``node`` is the node that its name is derived from; empty if the
    spec names it. ``kept_format`` is the file system that an earlier ``format`` has made, if ``format`` is ``none`` now.
    """

    site: str
    name: str
    size_bytes: int
    format: DiskFormat = "ext4"
    cluster: str = ""
    node: str = ""
    kept_format: DiskFormat = "none"

    @property
    def made_format(self) -> DiskFormat:
        """The file system that pragmaspec has made; ``none``: the contents are unknown."""
        return self.kept_format if self.format == "none" else self.format

    @property
    def address(self) -> str:
        """``<site>/volume/<name>``."""
        return f"{self.site}/volume/{self.name}"


class Node(Frozen, frozen=True, tag_field="kind", tag="node"):
    """The desired configuration of one machine of a cluster.

    ``cpus``, ``memory_mib`` and ``disk_bytes`` are those of the machine: of its flavor, if it has one.

    ``first_boot``, ``keys`` and ``peers`` are digests (16 hexadecimal digits) of the guest's configuration: packages and
    user-data (read at first boot only), ssh keys (updated live), and the cluster's members (updated live). The contents come from
    the spec.
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
    """True if the guest reads a cloud-init seed; otherwise its files are written to its disk before the first boot."""
    firmware: Literal["bios", "uefi"] = "bios"
    autostart: bool = False
    """True if the node starts with its host; always False for a node that is kept off."""
    group: str = ""
    """Name of its group, whose role is ``compute``; empty for the frontend and the computes."""
    machinefile: bool = True
    """True if MPI's machine file lists the node, unless it is a frontend."""
    flavor: str = ""
    """Name of the site's flavor; empty: its size is free."""
    requested: SizeRequest = ANY_SIZE
    """The request for which the flavor was chosen; of a node without one always ``ANY_SIZE``."""
    disks: tuple[Disk, ...] = ()
    """Further disks, by name."""

    users: tuple[tuple[str, str], ...] = ()
    """Names and digests (16 hexadecimal digits) of the users of the guest, updated live."""
    cpu: str = ""
    """Its processor: ``host``, a level such as ``x86-64-v2``, or a model of the site; empty: the site decides, as it did before
    processors were recorded."""
    devices: tuple[NodeDevice, ...] = ()
    """Devices of the site's hosts, by alias."""
    pinned: tuple[int, ...] = ()
    """The host CPU of each virtual CPU, which no other pinned node has; none: its CPUs are not pinned. ``UNCHOSEN``: it is chosen
    once the node is to run."""

    @property
    def address(self) -> str:
        """``<site>/<cluster>/node/<name>``."""
        return f"{self.site}/{self.cluster}/node/{self.name}"

    @property
    def group_name(self) -> str:
        """``frontend``, ``compute``, or the name of its group."""
        return self.group or self.role

    def nic(self, network: str) -> Nic | None:
        """Return the interface on ``network``, or None."""
        return next((nic for nic in self.nics if nic.network == network), None)

    @property
    def interfaces(self) -> tuple[Nic, ...]:
        """The NICs that are interfaces of the machine: all but translated addresses."""
        return tuple(nic for nic in self.nics if not nic.translated)

    @property
    def own_disks(self) -> tuple[Disk, ...]:
        """The further disks that are created and removed with the node."""
        return tuple(disk for disk in self.disks if not disk.volume)

    @property
    def volumes(self) -> tuple[str, ...]:
        """Names of the volumes that the node uses."""
        return tuple(disk.volume for disk in self.disks if disk.volume)


Resource = Allocation | StagedImage | Node | Volume
Outputs = tuple[tuple[str, str], ...]
"""Values assigned by the site (an id, a path) as sorted pairs; never a secret."""


class Mark(Frozen, frozen=True):
    """Identifies an object created by pragmaspec, without the recorded state.

    ``address`` is the address at creation. ``op`` distinguishes two objects of one address and generation, which can exist at a
    site that assigns identities itself, for example after a creation whose response was lost.
    """

    lineage: str
    address: str
    generation: int = 0
    op: str = ""

    @property
    def uuid(self) -> str:
        """UUIDv5 (RFC 9562, section 5.5) of lineage, address and generation: the identity at sites that let us choose it."""
        from uuid import UUID, uuid5  # noqa: PLC0415 - costs 10 ms, which a plan without changes does not need

        return str(uuid5(UUID(self.lineage), f"{self.address}#{self.generation}"))

    @property
    def short(self) -> str:
        """The first 8 digits of the lineage, which distinguish stacks in names."""
        return self.lineage[:8]

    @property
    def owner(self) -> str:
        """The owner of the object for people: ``lab/hello/allocation of stack 3f9a1c2b``."""
        return f"{self.address} of stack {self.short}"

    @property
    def name(self) -> str:
        """The name of the resource at its creation: the last part of the address."""
        return self.address.rpartition("/")[2]

    def is_for(self, mark: "Mark") -> bool:
        """True if both are marks of one resource, in any generation and of any creation."""
        return (self.lineage, self.address) == (mark.lineage, mark.address)
