"""Observed values: a site's inventory (capacity and its use by all owners) and our objects at the site."""

from typing import Literal, Self

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.frozen import Frozen
from pragmaspec.planning.wanted import Firmware
from pragmaspec.resources import Mark
from pragmaspec.site import Flavor, QuotaKind


class SiteIdentity(Frozen, frozen=True):
    """The site that answered."""

    id: str
    """Stable identifier, such as a libvirt host UUID."""
    title: str
    """Human-readable: ``libvirt, qemu:///system, emulated``."""
    virt_type: str = "kvm"
    """"qemu": emulated, without KVM."""
    arch: str = "x86_64"


class CapacityUse(Frozen, frozen=True):
    """Capacity that one machine of any owner uses. ``lineage`` and ``address`` are set for machines with our marks."""

    owner: str
    """Human-readable."""
    cpus: int = 0
    memory_mib: int = 0
    disk_bytes: int = 0
    lineage: str | None = None
    address: str | None = None
    flavor: str = ""
    """Name of the flavor of the machine; empty: not reported."""
    running_s: int = 0
    """Seconds since the machine was started last; 0: it is off, or the site does not report them."""

    @classmethod
    def by(cls, mark: Mark | None, unmarked: str = "", *, cpus: int = 0, memory_mib: int = 0, disk_bytes: int = 0) -> Self:
        """Return the use by an object with ``mark``; without a mark, the owner is ``unmarked``."""
        used = cls(owner=unmarked, cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_bytes)
        return used if mark is None else replace(used, owner=mark.owner, lineage=mark.lineage, address=mark.address)


class PoolUse(Frozen, frozen=True):
    """A pool value in use (a VLAN number, a public address, a private CIDR), as :class:`CapacityUse`."""

    value: str
    owner: str
    lineage: str | None = None
    address: str | None = None

    @classmethod
    def by(cls, value: str, mark: Mark | None, unmarked: str = "") -> Self:
        """Return the use of ``value`` by an object with ``mark``; without a mark, the owner is ``unmarked``."""
        if mark is None:
            return cls(value=value, owner=unmarked)
        return cls(value=value, owner=mark.owner, lineage=mark.lineage, address=mark.address)


class HostDevice(Frozen, frozen=True):
    """A device of the site's hosts that a machine can have for itself."""

    address: str
    """The site's identifier, such as the PCI address ``0000:41:00.0``."""
    aliases: tuple[str, ...] = ()
    """The names by which specs request it; none: the site no longer offers it."""
    description: str = ""
    """For people: the model of the device."""
    problem: str = ""
    """The reason why no machine can have it, as the end of a sentence ("has no IOMMU group"); empty: one can."""


class HostCpu(Frozen, frozen=True):
    """A CPU of a host, as its operating system counts them: a thread of a core."""

    id: int
    core: int
    """The smallest ``id`` of the threads of its core."""
    cell: int = 0
    """Its NUMA node."""


class ExclusiveUse(PoolUse, frozen=True):
    """A device or a host CPU that one machine has for itself; ``value`` is its address or number."""

    running: bool = True
    """False: the machine is off, and needs it to start."""


QuotaBasis = Literal[
    "cluster",
    "network",
    "address",
    "node",
    "cpu",
    "memory_mib",
    "disk_byte",
    "nic",
    "own_disk",
    "own_disk_byte",
    "volume",
    "volume_byte",
]
"""The kind of objects or amounts that a quota counts. ``network``: created for a cluster; ``address``: public; ``nic``: except
those of public addresses; ``disk_byte``: of the first disk; ``own_disk``: further disks that are removed with their node, in
contrast to a ``volume``."""


class QuotaUse(Frozen, frozen=True):
    """The part of a quota that one owner uses. ``lineage`` is set for objects with our marks."""

    owner: str
    """Human-readable."""
    amount: int
    lineage: str | None = None


class Quota(Frozen, frozen=True):
    """A limit of what this user may have at a site."""

    kind: QuotaKind
    limit: int | None
    """None: unlimited."""
    used: int = 0
    """Used by all who share the limit, this stack included."""
    users: tuple[QuotaUse, ...] = ()
    """The parts of ``used`` by owner; empty: the site reports only the total."""
    rates: tuple[tuple[QuotaBasis, int], ...] | None = None
    """The amount that each object of this project takes at this site; None: the usual one of the kind
    (:data:`pragmaspec.planning.allocation.quotas.USUAL_RATES`)."""
    counts_stopped: bool = True
    """True if nodes that are off count."""


class PublicPool(Frozen, frozen=True):
    """The public network as reported by the site: exactly one of ``network`` and ``bridge`` is set."""

    network: str | None = None
    bridge: str | None = None
    cidr: str | None = None
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int = 1500


class StoredImage(Frozen, frozen=True):
    """An image file set in a site's storage, complete or not, staged by any stack."""

    digest: str
    """64 hexadecimal digits; only the first 16 for an incomplete image whose full digest is not stored."""
    size_bytes: int
    users: tuple[str, ...] = ()
    """First 8 digits of the lineages that are registered as users."""
    held: bool = False
    """True if a machine or a disk is based on it."""


class SiteNetwork(Frozen, frozen=True):
    """A network of the site itself that frontends can be attached to: a virtual network, or a bridge of its host."""

    name: str
    state: Literal["up", "stopped", "absent", "other"] = "up"
    """"other": the device of that name is not a bridge."""
    mtu: int = 1500


class SiteImage(Frozen, frozen=True):
    """An image that lives at a site, as the site describes it."""

    id: str
    """The site's identifier of exactly these bytes: it never denotes another image."""
    name: str
    virtual_size_bytes: int
    """Size of the disk, the least that nodes need."""
    checksum: str = ""
    """``sha256:`` or another algorithm, and hexadecimal digits; empty: the site reports none."""
    created: str = ""
    """Time of its creation in ISO 8601; empty: not reported."""
    format: Literal["qcow2", "raw"] = "raw"
    """Format of the disk that nodes boot from."""
    copy_bytes: int = 0
    """Size of the copy that the site makes for our nodes; 0: nodes boot from the image itself."""
    min_memory_mib: int = 0
    """Least memory of its nodes."""
    firmware: Firmware | None = None
    """The firmware that boots it; None: not reported."""


class ObservedImage(Frozen, frozen=True):
    """An image of the stack, as found at a site."""

    digest: str
    """64 hexadecimal digits; only the first 16 if the site does not store the rest."""
    whole: bool = True
    """True if the site marks every part as complete."""
    parts: tuple[tuple[str, int | None], ...] = ()
    """Each existing part ("disk", "kernel", "initrd") with its file length in bytes, None if the site does not report it."""


class ObservedVolume(Frozen, frozen=True):
    """A volume with our marks. ``op``, ``id`` and ``made`` are as in :class:`ObservedNode`."""

    address: str
    size_bytes: int
    op: str = ""
    id: str = ""
    made: float = 0.0


class ObservedDisk(Frozen, frozen=True):
    """A further disk of a machine that is removed with it."""

    name: str
    size_bytes: int


class ObservedInterface(Frozen, frozen=True):
    """The MAC and the address that a machine has in one network; empty: not reported."""

    network: str
    mac: str = ""
    address: str = ""


class DiskOffer(Frozen, frozen=True):
    """The further disks and volumes that a site offers."""

    missing: str = ""
    """The reason, as a sentence, why there are none; empty: there are."""
    unit_bytes: int = 1
    """Their sizes are multiples of it."""
    max_bytes: int | None = None
    """Largest size; None: only other limits apply."""


Refused = Literal["upload", "kernel", "uefi"]
"""A kind of image that a site cannot take from us: any; one with a kernel beside its disk; one that boots with UEFI."""


class Inventory(Frozen, frozen=True):
    """Capacity of a site and its use by all owners. Totals are physical; planning applies overcommit."""

    identity: SiteIdentity
    cpus: int
    memory_mib: int
    disk_bytes: int
    """Size of the storage pool."""
    disk_free_bytes: int
    cpus_per_node: int
    """Maximum number of virtual CPUs per node."""
    holdings: tuple[CapacityUse, ...] = ()
    public: PublicPool | None = None
    addresses: tuple[PoolUse, ...] = ()
    vlans: tuple[PoolUse, ...] = ()
    cidrs: tuple[PoolUse, ...] = ()
    images: tuple[str, ...] = ()
    """Digests (64 hexadecimal digits) of the complete images at the site, staged by any stack."""
    networks: tuple[str, ...] | None = None
    """Names of the site's own networks; None: not reported."""
    devices: tuple[str, ...] | None = None
    """Names of the host's network devices, including bridges; None: not reported."""
    firmware: tuple[Firmware, ...] | None = None
    """Firmware available to machines; None: not reported."""
    flavors: tuple[Flavor, ...] | None = None
    """The offered sizes of machines; None: any size."""
    quotas: tuple[Quota, ...] = ()
    """Limits of what this user may have at the site."""
    reports_capacity: bool = True
    """False: the site does not report the capacity of its hosts, and the totals above are 0. Quotas are then the only limit."""
    volumes: tuple[PoolUse, ...] = ()
    """Names of volumes in use, of any owner."""
    disks: DiskOffer = DiskOffer()
    processors: tuple[str, ...] | None = None
    """The processors that machines may have; None: not reported."""
    default_processor: str = ""
    """The processor of new machines whose spec names none; empty: the site decides."""
    device_aliases: tuple[str, ...] = ()
    """The names by which specs request devices of hosts; none: the site passes none through, except with flavors."""
    host_devices: tuple[HostDevice, ...] = ()
    """The devices with these names, and those that machines with our marks use, by address."""
    device_uses: tuple[ExclusiveUse, ...] = ()
    """The uses of all devices of hosts, by machines of any owner that are running or off."""
    host_cpus: tuple[HostCpu, ...] | None = None
    """The CPUs of the host, to which nodes can be pinned; None: they cannot, or the site has several hosts."""
    cpu_uses: tuple[ExclusiveUse, ...] = ()
    """The uses of host CPUs by pinned machines of any owner that are running or off."""
    refused: tuple[tuple[Refused, str], ...] = ()
    """Kinds of images that cannot be put at the site, each with the reason, as the end of a sentence ("whose service takes no
    disks"). Images of the site itself are not concerned, nor is ``upload`` for those that are already there."""


Repair = Literal["define", "live", "restart"]
"""Repair of a difference: a new definition only; a change of the running machine; a restart."""


class Difference(Frozen, frozen=True):
    """A difference between a machine at its site and its record."""

    detail: str
    """Human-readable: ``memory is 256 MiB in its definition, recorded 128 MiB``."""
    repair: Repair = "define"
    defined: bool = True
    """True if the definition differs, and so the next start; False if only the running machine does."""


class Layer(Frozen, frozen=True):
    """A file that holds data of a node besides its recorded disk."""

    file: str
    snapshot: str = ""
    """Name of the snapshot that created it, if any."""
    above: bool = True
    """True if it is an overlay of the recorded disk, which the machine writes to; False if it has replaced the disk."""
    stays: bool = False
    """True if cleaning the node does not remove it."""


MachineStatus = Literal["running", "paused", "crashed", "off", "undefined"]


class ObservedNode(Frozen, frozen=True):
    """A machine with our marks. Its JSON is part of fingerprints in saved plans."""

    address: str
    """The address that it was created under."""
    generation: int
    status: MachineStatus
    cpus: int = 0
    """CPUs of the running machine, else of its definition; ``memory_mib`` likewise."""
    memory_mib: int = 0
    disk: bool = True
    """True if its disk exists."""
    autostart: bool | None = None
    """True if it starts with its host; None: not reported."""
    why: str = ""
    """Human-readable reason of the status: why a machine is paused."""
    saved: bool = False
    """True if it is off and its memory is saved on disk, so that its next start resumes."""
    differences: tuple[Difference, ...] = ()
    """Differences of its definition and of the running machine from the record."""
    layers: tuple[Layer, ...] = ()
    """Files that hold its data besides its disk, the newest first."""
    additions: tuple[str, ...] = ()
    """Human-readable manual additions to its definition."""
    passing: tuple[str, ...] = ()
    """Human-readable manual additions to the running machine only."""
    remedy: str = ""
    """How to merge the layers by hand without loss."""
    unplugged: tuple[str, ...] = ()
    """Lower-case MACs of its interfaces that are detached although their network is up."""
    op: str = ""
    """Identifier of its creation; empty if the site does not store one."""
    id: str = ""
    """The site's own identifier; empty if it has none."""
    made: float = 0.0
    """Creation time (seconds since 1970, or a count that orders the objects of one site); 0 if unknown."""
    flavor: str | None = None
    """Name of its flavor; None: not reported, or its size is free."""
    disks: tuple[ObservedDisk, ...] = ()
    """The further disks that exist and are removed with it."""
    volumes: tuple[str, ...] | None = None
    """The names at the site of the attached volumes; None: not reported, or compared with ``differences``."""
    interfaces: tuple[ObservedInterface, ...] = ()
    """Its interfaces with the values that the site chooses; empty: not reported."""


class ObservedAllocation(Frozen, frozen=True):
    """The existing parts of an allocation. ``op``, ``id`` and ``made`` are as in :class:`ObservedNode`."""

    address: str
    networks: tuple[str, ...] = ()
    """Names of its networks that are up."""
    public: tuple[str, ...] = ()
    """Claimed public addresses."""
    vlans: tuple[tuple[str, int], ...] = ()
    """VLAN number by network name, if the site reports it."""
    faults: tuple[str, ...] = ()
    """Human-readable: what else is missing, which a repeated allocation repairs (``has lost its router``)."""
    op: str = ""
    id: str = ""
    made: float = 0.0


Observed = ObservedNode | ObservedAllocation | ObservedVolume


class Observations(Frozen, frozen=True):
    """All objects of one site that carry one stack's marks, from one listing.

    At a site that assigns the identities of machines itself, one address may have several: see
    :mod:`pragmaspec.engine.reconcile.recovery`.
    """

    site: str
    identity: SiteIdentity
    nodes: tuple[ObservedNode, ...] = ()
    allocations: tuple[ObservedAllocation, ...] = ()
    images: tuple[str, ...] = ()
    """Digests of the images that are staged for this stack."""
    image_parts: tuple[ObservedImage, ...] = ()
    """The same images and damaged ones, part by part, if the site reports parts."""
    store: str = "the site"
    """Human-readable location of images and disks, such as ``pool default``."""
    warnings: tuple[Problem, ...] = ()
    """Warnings about the site."""
    site_networks: tuple[SiteNetwork, ...] | None = None
    """All networks of the site itself; None: not reported."""
    public_bridge: SiteNetwork | None = None
    """The host bridge that the site's options name as public network; None: they name none."""
    volumes: tuple[ObservedVolume, ...] = ()

    @property
    def marked(self) -> tuple[Observed, ...]:
        """Every object with an address."""
        return (*self.nodes, *self.allocations, *self.volumes)
