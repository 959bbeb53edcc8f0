"""The options of a site, as written in the spec. Plain values."""

from typing import Literal, TypeVar

import msgspec

from pragmaspec.delivery import SEED_AND_FILES, Delivery
from pragmaspec.frozen import Frozen
from pragmaspec.networking import HYPERVISOR_NETWORKING, LateValue, Networking
from pragmaspec.typing import override

Options = TypeVar("Options", bound=Frozen)


class PublicNetwork(Frozen, frozen=True):
    """The network that provides public addresses to frontends.

    Exactly one of ``network`` (the name of a libvirt network) and ``bridge`` (a host bridge) is set. ``addresses`` lists single
    addresses and inclusive ranges ("192.0.2.10", "192.0.2.20-192.0.2.40"); if empty, every usable address of the network reported
    by the site may be taken. ``prefix``, ``gateway``, ``dns`` and ``mtu`` default to the values reported by the site.
    ``names`` pairs an address with its reverse (fully qualified) name.
    """

    network: str | None = None
    bridge: str | None = None
    addresses: tuple[str, ...] = ()
    prefix: int | None = None
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    mtu: int | None = None


class Reserve(Frozen, frozen=True):
    """Capacity reserved for the host itself."""

    cpus: int = 0
    memory_mib: int = 0


class Overcommit(Frozen, frozen=True):
    """Ratios of allocatable to physical capacity; 1.0 means no overcommitment."""

    cpus: float = 4.0
    memory: float = 1.0
    disk: float = 10.0


class Flavor(Frozen, frozen=True):
    """A size of machines that a site offers."""

    name: str
    cpus: int
    memory_mib: int
    disk_bytes: int = 0
    """Size of the machine's disk; 0: any."""
    devices: tuple[tuple[str, int], ...] = ()
    """Pairs of a device's alias and the number of these devices that a machine gets."""
    description: str = ""
    """The site's own remarks, for people."""


QuotaKind = Literal[
    "instances",
    "cores",
    "memory",
    "disk",
    "addresses",
    "networks",
    "ports",
    "volumes",
    "volume_storage",
    "security_groups",
    "security_rules",
    "subnets",
    "routers",
    "keys",
]
"""Kinds of quotas. ``memory`` is in MiB; ``disk`` and ``volume_storage`` are in bytes; the others are numbers of objects."""


class SiteBase(Frozen, frozen=True, tag_field="provider"):
    """Options common to all providers."""

    name: str
    public: PublicNetwork | None = None
    vlans: tuple[tuple[int, int], ...] = ((20, 219),)
    """Inclusive ranges of VLAN numbers that clusters may take, 1 to 4094; none where networks have no VLAN numbers."""
    reserve: Reserve = Reserve()
    overcommit: Overcommit = Overcommit()
    parallel: int = 4
    """Maximum number of concurrent calls to the site."""

    @property
    def provider_name(self) -> str:
        """The value of ``provider:`` in the spec."""
        return str(self.__struct_config__.tag)

    @property
    def has_disks(self) -> bool:
        """True if nodes can have further disks and volumes there."""
        return True

    @property
    def late_values(self) -> tuple[LateValue, ...]:
        """The values that only the site can choose, so that no plan can name them."""
        return ()

    @property
    def delivery(self) -> Delivery:
        """The ways in which a new node is told about itself and its cluster."""
        return SEED_AND_FILES

    @property
    def networking(self) -> Networking:
        """How the nodes of a cluster are connected."""
        return HYPERVISOR_NETWORKING

    @property
    def completes_late(self) -> bool:
        """True if a call may take effect after its timeout, or a new object may be missing from listings for some time."""
        return False


class LibvirtSite(SiteBase, frozen=True, tag="libvirt"):
    """A hypervisor host controlled through libvirt."""

    uri: str = "qemu:///system"
    virt_type: Literal["kvm", "qemu"] | None = None
    """None: probed at the host."""
    pool: str = "default"
    bridge: str | None = None
    """A pattern such as ``br{vlan}`` for existing bridges used as private networks; None: an isolated libvirt network per
    cluster."""
    fetch: Literal["auto", "host", "stream"] = "auto"
    """The machine that downloads publicly available images: see :mod:`pragmaspec.planning.images.routes`."""
    neighbourhood: str | None = None
    """Sites with the same value are hosts of one administration on one network, which copy images from each other."""
    devices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By alias: PCI addresses (``0000:41:00.0``), and kinds of PCI devices as ``vendor:product`` (``10de:20b0``)."""

    @property
    def over_ssh(self) -> bool:
        """True if the host is reached with the ssh command, so that commands can be run on it as well."""
        return self.uri.partition(":")[0].endswith("+ssh")


class SimulatedHost(Frozen, frozen=True):
    """The simulated hypervisor host."""

    cpus: int = 64
    memory_mib: int = 262144
    disk_bytes: int = 4 * 2**40
    visible: bool = True
    """False: the site does not report it, as clouds do not."""
    uefi: bool = True
    """False: its machines boot with BIOS only."""
    threads: int = 0
    """Number of CPUs of each core; 0: machines cannot be pinned to CPUs."""
    cells: int = 1
    """Number of NUMA nodes, to which the CPUs belong in equal parts."""


class Fault(Frozen, frozen=True):
    """An injected fault in the ``nth`` call (1-based; 0: all) of ``call`` with an address that contains ``match``.

    ``refuse``: the call fails with a :class:`~pragmaspec.errors.SiteError` and has no effect; ``lost``: it takes effect, but the
    response is lost; ``hang``: it takes effect after ``delay_s``; ``unready``: the node boots but never responds.
    """

    call: Literal["inventory", "allocate", "stage", "boot", "shutdown", "clean", "observe"]
    kind: Literal["refuse", "lost", "hang", "unready"] = "refuse"
    match: str = ""
    nth: int = 0
    delay_s: float = 0.0


IdentityKind = Literal["ident", "token", "tag"]
"""How two creations of one node are distinguished: we choose the object's identity (``ident``); the site creates at most one
object per idempotency token, the op (``token``); or every request creates an object that only its tags identify (``tag``)."""


class SimulatedImage(Frozen, frozen=True):
    """An image that lives at a simulated site."""

    name: str
    id: str
    size_bytes: int = 4 * 2**30
    checksum: str = ""
    created: str = ""
    firmware: Literal["bios", "uefi"] | None = None
    min_memory_mib: int = 0


PROCESSOR_LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
"""The levels of the x86-64 psABI, each with the instructions of those before it."""
DEFAULT_PROCESSOR = "x86-64-v2"
"""The level that current distributions need, and that every host since 2009 has."""


class SimulatedSite(SiteBase, frozen=True, tag="simulated"):
    """A simulated site, in memory or persisted in ``file``.

    ``identity`` is the identity scheme it simulates. ``window_s`` is the time after which a call has certainly taken effect and
    its objects are listed; delays within this window are injected by tests only.
    """

    file: str | None = None
    host: SimulatedHost = SimulatedHost()
    latency_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    identity: IdentityKind = "ident"
    window_s: float = 0.0
    flavors: tuple[Flavor, ...] | None = None
    """The offered sizes; None: any size."""
    quotas: tuple[tuple[QuotaKind, int], ...] = ()
    """Limits by kind."""
    images: tuple[SimulatedImage, ...] = ()
    processors: tuple[str, ...] = PROCESSOR_LEVELS
    """The processors that machines may have; empty: not reported."""
    devices: tuple[tuple[str, int], ...] = ()
    """Pairs of a device's alias and the number of these devices; those of flavors are not limited."""
    late: tuple[LateValue, ...] = ()
    """See :attr:`late_values`."""
    user_data_limit: int | None = None
    """Size of the largest user-data of a machine in bytes, the only information that it can have, as at clouds; None: guests are
    told nothing, as they need nothing."""
    connects: Networking = HYPERVISOR_NETWORKING
    """See :attr:`networking`."""

    @property
    @override
    def late_values(self) -> tuple[LateValue, ...]:
        return self.late

    @property
    def default_processor(self) -> str:
        """The processor of new machines; empty: not reported."""
        return DEFAULT_PROCESSOR if DEFAULT_PROCESSOR in self.processors else next(iter(self.processors), "")

    @property
    @override
    def completes_late(self) -> bool:
        return self.window_s > 0

    @property
    @override
    def delivery(self) -> Delivery:
        return SEED_AND_FILES if self.user_data_limit is None else Delivery(user_data_limit=self.user_data_limit)

    @property
    @override
    def networking(self) -> Networking:
        return self.connects


class ExternalSite(SiteBase, frozen=True, kw_only=True, tag="external"):
    """A site whose own options only its provider reads, such as one of another package.

    It can be decoded where the provider is not installed. ``plugin`` is the value of ``provider:`` in the spec.
    """

    plugin: str
    options: str = "{}"
    """A JSON object with sorted keys, as text: immutable, like all values."""
    late_effects: bool = False
    """The value of :attr:`completes_late`, as the provider's description declares it."""
    further_disks: bool = False
    """The value of :attr:`has_disks`, as the provider's description declares it."""
    late: tuple[LateValue, ...] = ()
    """The value of :attr:`late_values`, as the provider's description or the site's options declare it."""
    declared_delivery: Delivery = SEED_AND_FILES
    """The value of :attr:`delivery`, as the provider's description or the site's options declare it."""
    declared_networking: Networking = HYPERVISOR_NETWORKING
    """The value of :attr:`networking`, as the provider's description or the site's options declare it."""
    fetches_images: bool = False
    """True if the site downloads public images by itself, as its options declare."""

    @property
    @override
    def late_values(self) -> tuple[LateValue, ...]:
        return self.late

    @property
    @override
    def provider_name(self) -> str:
        return self.plugin

    @property
    @override
    def completes_late(self) -> bool:
        return self.late_effects

    @property
    @override
    def has_disks(self) -> bool:
        return self.further_disks

    @property
    @override
    def delivery(self) -> Delivery:
        return self.declared_delivery

    @property
    @override
    def networking(self) -> Networking:
        return self.declared_networking

    def read_options(self, kind: type[Options]) -> Options:
        """Return the options as a value of ``kind``. Raises msgspec.ValidationError when they do not fit."""
        return msgspec.json.decode(self.options, type=kind)


Site = LibvirtSite | SimulatedSite | ExternalSite
