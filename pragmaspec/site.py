"""What is known of a site before anyone asks it: the options a person wrote, as plain values."""

from typing import Literal

from pragmaspec.frozen import Frozen


class PublicNetwork(Frozen, frozen=True):
    """Where frontends get their public address.

    Exactly one of ``network`` (a libvirt network by name) and ``bridge`` (a host bridge) is set. ``addresses`` lists single
    addresses and inclusive ranges ("192.0.2.10", "192.0.2.20-192.0.2.40"); empty means every usable address of the network
    that the site reports. ``prefix``, ``gateway``, ``dns`` and ``mtu`` fall back to what the site reports.
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
    """What the host keeps for itself."""

    cpus: int = 0
    memory_mib: int = 0


class Overcommit(Frozen, frozen=True):
    """How often a physical unit may be promised: 1.0 is never more than there is."""

    cpus: float = 4.0
    memory: float = 1.0
    disk: float = 10.0


class SiteBase(Frozen, frozen=True, tag_field="provider"):
    """What every kind of site has."""

    name: str
    public: PublicNetwork | None = None
    vlans: tuple[tuple[int, int], ...] = ((20, 219),)
    """Inclusive ranges of VLAN numbers that clusters may take, 1 to 4094."""
    reserve: Reserve = Reserve()
    overcommit: Overcommit = Overcommit()
    parallel: int = 4
    """How many calls may be under way at the site at once."""

    @property
    def completes_late(self) -> bool:
        """Whether a call may take effect after its caller has given up, or what it made be missing from a listing for a while."""
        return False


class LibvirtSite(SiteBase, frozen=True, tag="libvirt"):
    """A hypervisor host driven through libvirt."""

    uri: str = "qemu:///system"
    virt_type: Literal["kvm", "qemu"] | None = None
    """None: probed."""
    pool: str = "default"
    bridge: str | None = None
    """A pattern such as ``br{vlan}``: private networks are these existing bridges; None: an isolated libvirt network each."""
    fetch: Literal["auto", "host", "stream"] = "auto"
    """Who downloads images from where everybody can have them: see :mod:`pragmaspec.planning.images.routes`."""
    neighbourhood: str | None = None
    """Sites with the same word are hosts of one administration on one network, which pass images on to each other."""

    @property
    def over_ssh(self) -> bool:
        """Whether the host is reached by the ssh command, so that commands can be run there too."""
        return self.uri.partition(":")[0].endswith("+ssh")


class SimulatedHost(Frozen, frozen=True):
    """One pretended hypervisor host."""

    cpus: int = 64
    memory_mib: int = 262144
    disk_bytes: int = 4 * 2**40


class Fault(Frozen, frozen=True):
    """An injected fault: the ``nth`` call (1-based; 0: every one) of ``call`` on an address that contains ``match`` fails so.

    ``refuse``: nothing happens, a :class:`~pragmaspec.errors.SiteError`; ``lost``: it happens but the answer is lost;
    ``hang``: it happens after ``delay_s``; ``unready``: the node boots but never answers.
    """

    call: Literal["inventory", "allocate", "stage", "boot", "shutdown", "clean", "observe"]
    kind: Literal["refuse", "lost", "hang", "unready"] = "refuse"
    match: str = ""
    nth: int = 0
    delay_s: float = 0.0


IdentityKind = Literal["ident", "token", "tag"]
"""How a site tells two creations of one node apart: we choose the object's identity; it makes one object a token (the op) however
often it is asked; or every request makes an object, and only its tags say whose it is."""


class SimulatedSite(SiteBase, frozen=True, tag="simulated"):
    """A whole site in memory, or in ``file`` when it should outlive the process.

    ``identity`` is the kind of site it pretends to be; ``window_s``, how long after its sending a call may still take effect, or
    what it made be missing from listings. Such faults come from tests; without them it is always prompt.
    """

    file: str | None = None
    host: SimulatedHost = SimulatedHost()
    latency_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    identity: IdentityKind = "ident"
    window_s: float = 0.0

    @property
    def completes_late(self) -> bool:
        """Whether it pretends to be slow."""
        return self.window_s > 0


Site = LibvirtSite | SimulatedSite
