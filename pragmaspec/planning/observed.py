"""What a site says of itself, as plain values: its inventory (capacity, what is taken by anyone) and our objects there."""

from typing import Literal

from pragmaspec.errors import Problem
from pragmaspec.frozen import Frozen
from pragmaspec.planning.wanted import Firmware


class SiteIdentity(Frozen, frozen=True):
    """Which site answered. ``id`` is stable (a libvirt host UUID); ``virt_type`` "qemu" means emulated, without KVM."""

    id: str
    title: str
    """For people: ``libvirt, qemu:///system, emulated``."""
    virt_type: str = "kvm"
    arch: str = "x86_64"


class CapacityUse(Frozen, frozen=True):
    """Capacity that somebody's machine holds. ``owner`` is for people; ``lineage`` and ``address`` are set on what is marked."""

    owner: str
    cpus: int = 0
    memory_mib: int = 0
    disk_bytes: int = 0
    lineage: str | None = None
    address: str | None = None


class PoolUse(Frozen, frozen=True):
    """A pool value (a VLAN number, a public address, a private CIDR) in use by ``owner``."""

    value: str
    owner: str
    lineage: str | None = None
    address: str | None = None


class PublicPool(Frozen, frozen=True):
    """The public network as the site reports it: exactly one of ``network`` and ``bridge`` is set."""

    network: str | None = None
    bridge: str | None = None
    cidr: str | None = None
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    mtu: int = 1500


class StoredImage(Frozen, frozen=True):
    """An image that takes up room at a site, whole or not, whoever brought it there.

    ``digest`` has 64 hexadecimal digits, or only the first 16 where nothing at the site tells the others: then it is not whole.
    ``users`` are the first 8 digits of the lineages that say they use it. ``held``: a machine or a disk stands on it.
    """

    digest: str
    size_bytes: int
    users: tuple[str, ...] = ()
    held: bool = False


class SiteNetwork(Frozen, frozen=True):
    """A network of the site itself, which frontends may be plugged into: one that it runs, or a bridge of its host.

    ``state`` "other": there is something of that name that is no bridge. ``mtu`` is in bytes.
    """

    name: str
    state: Literal["up", "stopped", "absent", "other"] = "up"
    mtu: int = 1500


class ObservedImage(Frozen, frozen=True):
    """An image that the stack uses, as found at a site.

    ``digest`` has 64 hexadecimal digits, or only the first 16 where the site does not keep the rest. ``whole``: the site marks
    every part as complete. ``parts`` pairs each part present ("disk", "kernel", "initrd") with the length of its file in bytes,
    None where the site cannot tell.
    """

    digest: str
    whole: bool = True
    parts: tuple[tuple[str, int | None], ...] = ()


class Inventory(Frozen, frozen=True):
    """Capacity of a site and what is taken there, by anyone. Totals are physical; overcommit is planning's business."""

    identity: SiteIdentity
    cpus: int
    memory_mib: int
    disk_bytes: int
    """Size of the storage pool."""
    disk_free_bytes: int
    cpus_per_node: int
    """The most virtual CPUs that one node may have."""
    holdings: tuple[CapacityUse, ...] = ()
    public: PublicPool | None = None
    addresses: tuple[PoolUse, ...] = ()
    vlans: tuple[PoolUse, ...] = ()
    cidrs: tuple[PoolUse, ...] = ()
    images: tuple[str, ...] = ()
    """Digests (64 hexadecimal digits) that are at the site, whoever staged them."""
    networks: tuple[str, ...] | None = None
    """Names of the networks that the site itself has; None: it cannot tell."""
    devices: tuple[str, ...] | None = None
    """Names of the host's network devices, among them its bridges; None: it cannot tell."""
    firmware: tuple[Firmware, ...] | None = None
    """Firmware that can start machines there; None: it cannot tell."""


Repair = Literal["define", "live", "restart"]
"""How a difference ends: by a new definition alone; by a change of the machine while it runs; by a restart."""


class Difference(Frozen, frozen=True):
    """A difference between a machine at its site and its record.

    ``detail``: ``memory is 256 MiB in its definition, recorded 128 MiB``. ``defined``: its definition differs, and so
    will its next start; otherwise only the running machine does.
    """

    detail: str
    repair: Repair = "define"
    defined: bool = True


class Layer(Frozen, frozen=True):
    """A file that holds data of a node beside its recorded disk.

    ``snapshot`` names the snapshot that made it, if one did. ``above``: the machine writes to it instead of to its disk, which
    stands below it; otherwise the file has taken the disk's place. ``stays``: it lies where cleaning the node does not remove it.
    """

    file: str
    snapshot: str = ""
    above: bool = True
    stays: bool = False


MachineStatus = Literal["running", "paused", "crashed", "off", "undefined"]


class ObservedNode(Frozen, frozen=True):
    """A machine that carries our marks. ``address`` is the one it was made under; ``disk``: whether its disk is there.

    ``cpus`` and ``memory_mib`` are those of the machine that runs, else of its definition. ``why`` explains the status: why a
    machine is paused. ``saved``: it is off, and its memory is kept on disk, so that its next start goes on from there.
    ``differences``: those of its definition and of the running machine from the record. ``layers``: files that hold its data
    beside its disk, the newest first. ``additions``: those made to its definition by hand, in words; ``passing``: those made to
    the running machine alone. ``remedy``: how to merge the layers by hand without loss.

    ``autostart``: whether it starts with its host; None: the site does not tell. ``op`` names its creation, ``id`` is what the
    site calls it, and ``made`` orders the objects of one site by their age (seconds since 1970, or a count); each is empty where
    a site has no such thing.
    """

    address: str
    generation: int
    status: MachineStatus
    cpus: int = 0
    memory_mib: int = 0
    disk: bool = True
    autostart: bool | None = None
    why: str = ""
    saved: bool = False
    differences: tuple[Difference, ...] = ()
    layers: tuple[Layer, ...] = ()
    additions: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    remedy: str = ""
    unplugged: tuple[str, ...] = ()
    """MACs, in lower case, of its interfaces that hang on nothing although their network is up."""
    op: str = ""
    id: str = ""
    made: float = 0.0


class ObservedAllocation(Frozen, frozen=True):
    """Which parts of an allocation are there: names of networks up, public addresses claimed.

    ``vlans`` are the numbers its networks carry, by network name, where the site tells them. ``op``, ``id`` and ``made`` are
    as of an :class:`ObservedNode`.
    """

    address: str
    networks: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    vlans: tuple[tuple[str, int], ...] = ()
    op: str = ""
    id: str = ""
    made: float = 0.0


Observed = ObservedNode | ObservedAllocation


class Observations(Frozen, frozen=True):
    """Everything at one site that carries the marks of one stack, from one listing.

    Where nobody can choose the identity of a machine, one address may have several: see
    :mod:`pragmaspec.engine.reconcile.recovery`.
    """

    site: str
    identity: SiteIdentity
    nodes: tuple[ObservedNode, ...] = ()
    allocations: tuple[ObservedAllocation, ...] = ()
    images: tuple[str, ...] = ()
    """Digests of the images that are staged for this stack."""
    image_parts: tuple[ObservedImage, ...] = ()
    """The same images and those that are no longer whole, part by part, where the site can tell."""
    store: str = "the site"
    """For people: where images and disks are kept there, such as ``pool default``."""
    warnings: tuple[Problem, ...] = ()
    """Warnings about the site, for people."""
    site_networks: tuple[SiteNetwork, ...] | None = None
    """All networks of the site itself; None: it cannot tell."""
    public_bridge: SiteNetwork | None = None
    """The bridge of the host that the site's options name as public network; None: they name none."""

    @property
    def marked(self) -> tuple[Observed, ...]:
        """Everything here that carries an address."""
        return (*self.nodes, *self.allocations)
