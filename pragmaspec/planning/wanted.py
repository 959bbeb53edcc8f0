"""The expanded spec: plain values with every default filled in, which planning and applying read instead of YAML or models."""

from typing import Literal

from pragmaspec.errors import Problem, Where
from pragmaspec.frozen import Frozen
from pragmaspec.guest.setup.users import ClusterUser
from pragmaspec.resources import BootImage, DiskFormat, Node, Readiness
from pragmaspec.site import Site

Firmware = Literal["bios", "uefi"]
"""Firmware of a machine: BIOS (including direct kernel boot by QEMU) or UEFI."""


class WantedImage(BootImage, frozen=True, kw_only=True):
    """An image of the spec, resolved to its digest."""

    name: str
    origin: str
    """Human-readable: "built from Debian bookworm packages", a URL without credentials, a path."""
    digest: str
    cloud_init: bool = True
    """True if its nodes read a cloud-init seed. Otherwise files are written into their disks before the first boot."""
    firmware: Firmware = "bios"
    """Firmware of its nodes: as in the spec, else as detected from the disk."""
    archs: tuple[str, ...] = ()
    """The architectures that can boot the disk by UEFI; empty: any, or unknown."""
    unbootable: str = ""
    """Why the disk cannot boot although it has an EFI system partition; empty: it can, or was not examined."""
    where: Where | None = None
    site: str = ""
    """The only site where it can be used: it lives there. Empty: any site."""
    site_image: str = ""
    """The site's id of it; ``site_name`` and ``checksum`` are as in :class:`~pragmaspec.resources.StagedImage`."""
    site_name: str = ""
    checksum: str = ""
    min_memory_mib: int = 0
    """Least memory of its nodes, as the site demands."""
    named_by_id: bool = False
    """True if the spec names it by the site's id, not by its name there."""


class PublicCopy(Frozen, frozen=True):
    """A public URL that serves exactly the bytes of an image's disk. ``here``: this machine has the image too."""

    url: str
    here: bool = False

    @property
    def server(self) -> str:
        """The server's host name."""
        from pragmaspec.net.urls import parse_url  # noqa: PLC0415 - most plans stage nothing

        return parse_url(self.url).host


class WantedDisk(Frozen, frozen=True):
    """A further disk of every node of a role."""

    name: str
    size_bytes: int
    format: DiskFormat = "ext4"
    mount: str = ""
    keep: bool = False
    """True if it is a volume."""
    volume: str = ""
    """Name of the volume, without the index of the node; empty: derived from node and disk."""


class WantedNodes(Frozen, frozen=True):
    """A set of nodes of a cluster: its frontend (``count`` 1), its computes or a group (0 or more)."""

    count: int
    cpus: int
    memory_mib: int
    image: str
    """Name of a :class:`WantedImage`."""
    disk_bytes: int | None = None
    """None: the image's size."""
    packages: tuple[str, ...] = ()
    user_data: str = ""
    """A cloud-config document to merge; empty: none."""
    user_data_where: Where | None = None
    """The most specific ``user_data`` in the spec that is a part of it."""
    where: Where | None = None
    group: str = ""
    """Name of the group; empty for the frontend and the computes."""
    readiness: Readiness | None = None
    """None: the cluster's."""
    wait_for: tuple[str, ...] = ()
    """Sets of nodes that have to be ready before these boot: ``frontend``, ``compute`` or names of groups."""
    overrides: tuple[tuple[int, "WantedNodes"], ...] = ()
    """Complete settings of the nodes that differ, by index."""
    machinefile: bool = True
    """True if MPI's machine file lists these nodes."""
    flavor: str = ""
    """Name of a flavor of the site, with which ``cpus`` and ``memory_mib`` may be 0 (not requested); empty: the site's smallest
    flavor that fits, or a free size."""
    disks: tuple[WantedDisk, ...] = ()

    cpu: str = ""
    """Its processor; empty: the recorded one, or the site's default."""
    devices: tuple[tuple[str, int], ...] = ()
    """Pairs of a device's alias and the number of these devices, by alias."""
    pin: bool = False
    """True if each virtual CPU has a host CPU of its own."""
    keys_where: tuple[tuple[str, Where], ...] = ()
    """The places in the spec where ``flavor``, ``cpu``, ``devices`` and ``pin`` are written, if they are."""

    def where_of(self, key: str) -> Where | None:
        """Return the place of ``key``, if it is not written that of these nodes."""
        return dict(self.keys_where).get(key, self.where)

    def at(self, index: int) -> "WantedNodes":
        """Return the settings of one node."""
        return next((nodes for own, nodes in self.overrides if own == index), self)

    @property
    def variants(self) -> tuple["WantedNodes", ...]:
        """The different settings of these nodes; none if there are no nodes."""
        own = [nodes for index, nodes in self.overrides if index < self.count]
        return (*((self,) if len(own) < self.count else ()), *own)


class WantedPublic(Frozen, frozen=True):
    """The frontend's public address: the first free one of the site's pool, a named one, or none."""

    kind: Literal["pool", "address", "none"] = "pool"
    address: str | None = None
    where: Where | None = None


class WantedNetwork(Frozen, frozen=True):
    """An extra network of a cluster (PRAGMA's ``add-iface``): isolated with its own VLAN, or an existing host ``bridge``."""

    name: str
    cidr: str
    bridge: str | None = None
    roles: tuple[str, ...] = ("frontend", "compute")
    """Sets of nodes that are connected to it: ``frontend``, ``compute`` and names of groups."""
    mtu: int = 1500
    where: Where | None = None


class WantedCluster(Frozen, frozen=True):
    """A cluster of the spec."""

    name: str
    site: str
    frontend: WantedNodes
    computes: WantedNodes
    ssh_keys: tuple[str, ...] = ()
    users: tuple[ClusterUser, ...] = ()
    public: WantedPublic = WantedPublic()
    cidr: str | None = None
    """Range of the private network; None: chosen with the VLAN."""
    vlan: int | None = None
    """None: the site's first free one."""
    mtu: int = 1500
    networks: tuple[WantedNetwork, ...] = ()
    readiness: Readiness = Readiness()
    protect: bool = False
    autostart: bool = False
    running: bool = True
    domain: str = "local"
    """DNS domain of the private network, as in PRAGMA's ``vc-out.xml``."""
    unknown: tuple[str, ...] = ()
    """Fields of its nodes whose wanted values are unknown, because an image or a file was not read."""
    where: Where | None = None
    groups: tuple[WantedNodes, ...] = ()

    @property
    def sets(self) -> tuple[tuple[str, WantedNodes], ...]:
        """All sets of nodes by name: ``frontend``, ``compute``, and the groups."""
        return (("frontend", self.frontend), ("compute", self.computes), *((each.group, each) for each in self.groups))

    def set_named(self, name: str) -> WantedNodes | None:
        """Return the set of nodes called ``frontend``, ``compute`` or like a group, or None."""
        return next((nodes for other, nodes in self.sets if other == name), None)

    def settings_of(self, node: Node) -> WantedNodes | None:
        """Return the settings of ``node``, or None if its group is no longer wanted."""
        found = self.set_named(node.group_name)
        return found.at(node.index) if found else None


MoveKind = Literal["cluster", "site"]


class Move(Frozen, frozen=True):
    """A rename of a cluster or a site."""

    before: str
    after: str
    kind: MoveKind = "cluster"
    where: Where | None = None


class Wanted(Frozen, frozen=True):
    """A whole expanded spec."""

    spec_file: str
    """File name as the user gave it."""
    spec_sha256: str
    """Digest of the spec and every file that it reads (sites, keys, user-data, image lock)."""
    sites: tuple[Site, ...]
    images: tuple[WantedImage, ...]
    clusters: tuple[WantedCluster, ...]
    moves: tuple[Move, ...] = ()
    warnings: tuple[Problem, ...] = ()
    """Warnings about the spec."""
    need: tuple[str, ...] | None = None
    """Clusters whose referenced files were read; None: all. ``spec_sha256`` covers only those files."""
    processors: tuple[tuple[str, str], ...] = ()
    """By site: the processor of new nodes whose spec names none, as the lock file pins it."""

    def image(self, name: str, site: str = "") -> WantedImage:
        """Return the image called ``name`` for nodes at ``site``; the loader guarantees that it exists."""
        named = [image for image in self.images if image.name == name and image.site in ("", site)]
        return max(named, key=lambda image: bool(image.site))

    def images_of(self, cluster: WantedCluster) -> tuple[WantedImage, ...]:
        """Return the images that the nodes of ``cluster`` boot, the frontend's first."""
        return tuple(
            self.image(name, cluster.site)
            for name in dict.fromkeys(each.image for _, nodes in cluster.sets for each in nodes.variants)
        )

    def site(self, name: str) -> Site | None:
        """Return the site called ``name``, or None."""
        return next((site for site in self.sites if site.name == name), None)

    def where_of(self, node: Node, key: str) -> Where | None:
        """Return the place of ``key`` of ``node``, see :meth:`WantedNodes.where_of`; None if the node is not wanted."""
        cluster = self.cluster(node.cluster)
        settings = cluster.settings_of(node) if cluster else None
        return settings.where_of(key) if settings else None

    def cluster(self, name: str) -> WantedCluster | None:
        """Return the cluster called ``name``, or None."""
        return next((cluster for cluster in self.clusters if cluster.name == name), None)
