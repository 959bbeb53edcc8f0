"""The provider protocol: the operations of a site, the optional abilities, and the values that go in and out."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from pragmaspec.frozen import Frozen
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, SiteImage, StoredImage
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import IdentityKind
from pragmaspec.state_model import State
from pragmaspec.typing import override

TransferProgress = Callable[[int, int], None]
"""Receives the progress of a transfer: bytes done, bytes in total."""

OverlayBuilder = Callable[[str], AbstractContextManager[Path]]
"""Maps the path of an image's disk at the site to a local qcow2 file with the node's disk size, backed by that disk."""


class BootRequest(Frozen, frozen=True):
    """Everything a provider needs to boot one node."""

    node: Node
    allocation: Allocation
    image: StagedImage
    mark: Mark
    seed: bytes
    """The node's NoCloud seed, an ISO 9660 image labelled ``cidata``. Holds private keys: only the hypervisor may be able to read
    it, and it must never be logged. Empty: the machine keeps its seed; its guest reads none; or the site has no seeds."""
    user_data: bytes = b""
    """The node's user-data, where :class:`~pragmaspec.delivery.Delivery` declares it instead of seeds: a cloud-config, compressed
    with gzip where it is too large otherwise, of at most the declared size. To be given to the machine at its creation,
    byte for byte, in any encoding of the site. Holds private keys as the seed does. Empty: as for the seed."""
    site_id: str = ""
    """The site's id of the machine, assigned at its creation; empty where it is unknown or not needed."""
    allocation_created_as: str = ""
    """The address under which the allocation was created; empty: its current address."""
    overlay: OverlayBuilder | None = None
    """Initial contents of a new disk, for an image without cloud-init at a site whose disks can have files; None: nothing on top
    of the image. Holds private keys as well. An incomplete disk must not be taken for an existing one."""
    paused: bool = False
    """True to leave a machine that has to be started paused until :meth:`PausedBoot.resume`."""
    discard_layers: bool = False
    """True if snapshots above the node's disk may be lost, as the user has allowed."""
    discard_memory: bool = False
    """True to discard memory saved at the site, so that the machine starts with the definition of ``node``."""
    volumes: tuple[tuple[str, Mark], ...] = ()
    """The volumes of the node: pairs of the name in ``node.disks`` and the volume's mark."""
    discard_disks: tuple[str, ...] = ()
    """Names of disks of the node to remove before it starts, as the user has allowed. One that ``node`` still has is created
    anew, empty."""
    present: Mark | None = None
    """In a check only: the mark of the node's machine at the site, of an earlier generation or address than ``mark`` if the node
    is made anew. It is stopped or removed before the boot, so what it uses is free. None: only that of ``mark`` may exist."""

    @override
    def __repr__(self) -> str:
        return f"BootRequest({self.node.address!r}, {self.mark!r})"

    @override
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("node", self.node), ("mark", self.mark)]

    @property
    def own_marks(self) -> tuple[Mark, ...]:
        """The marks of the node's machines: the one to boot, and the one that it replaces."""
        return (self.mark,) if self.present is None else (self.mark, self.present)

    @property
    def allocation_mark(self) -> Mark:
        """The mark of the cluster's networks and claims."""
        return Mark(lineage=self.mark.lineage, address=self.allocation_created_as or self.allocation.address)


class StageRequest:
    """Everything a provider needs to stage one image. ``mark`` records that the stack uses it."""

    def __init__(
        self,
        image: StagedImage,
        mark: Mark,
        files: Callable[[], ImageFiles],
        progress: TransferProgress = lambda _done, _total: None,
        public_copy: Callable[[], PublicCopy | None] = lambda: None,
    ) -> None:
        self.image = image
        self.mark = mark
        self.progress = progress
        self._files = files
        self._found_files: ImageFiles | None = None
        self._public_copy = public_copy

    @property
    def files(self) -> ImageFiles:
        """The image's files on this machine. The first access may download or build them: only for a transfer from here."""
        if self._found_files is None:
            # Without cached_property, which before Python 3.12 holds one lock for all requests during the download.
            self._found_files = self._files()
        return self._found_files

    @cached_property
    def public_copy(self) -> PublicCopy | None:
        """A public download of exactly the bytes of the image's disk, if there is one."""
        return self._public_copy()


class Diagnostics(Frozen, frozen=True):
    """Facts from the site about a node that does not become ready; every field may be empty."""

    domain: str = ""
    """Its human-readable power state."""
    console: tuple[str, ...] = ()
    """The last lines of its serial console."""
    lease: str = ""


class Offer(Frozen, frozen=True):
    """An image that one site serves to another, until the offer is withdrawn. It grants access to the image: never log it.

    ``paths`` pairs the image's parts ("disk", "kernel", "initrd") with their URL paths at the HTTPS server that listens at
    ``address`` and ``port`` and presents exactly ``certificate`` (PEM).
    """

    address: str
    port: int
    certificate: str
    paths: tuple[tuple[str, str], ...]


class DuplicateRemoval(Protocol):
    """For sites where an object may be created twice, or appear late."""

    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        """Remove the object with the id ``site_id`` and everything that belongs to it. Absent: no error.

        ``site_id`` is the ``id`` of an observed object, or the digest of an image, which this stack then no longer uses.
        Must not remove an object that carries another lineage or another op than ``mark``.
        """
        ...


class PeerImages(Protocol):
    """For sites that may copy an image from each other, where they are neighbours."""

    def offer(self, image: StagedImage, incoming: Mark | None = None) -> AbstractContextManager[Offer]:
        """Serve the image, read-only, for the duration of the ``with`` block. Every wait in it has a limit.

        ``incoming`` is for a site that is about to copy the image from a neighbour itself: the mark of that staging. The site
        then serves the bytes that have arrived, and the rest as it arrives, unverified. Otherwise raises SiteError when the image
        is not complete at the site. Raises SiteError when the site cannot serve it. Must leave nothing behind at the site when
        the block or this process ends. Must not give the site any credentials of the user.
        """
        ...

    def stage_from_peer(self, request: StageRequest, offer: Offer) -> Outputs:
        """As :meth:`Provider.stage`, only with the bytes that ``offer`` of another site serves.

        Must verify the digest of every part at the site, before the image can be used. Raises SiteError when the copy fails.
        """
        ...


class PausedBoot(Protocol):
    """For sites that can create a machine paused."""

    def prefers_paused_boot(self) -> bool:
        """True if machines that are booted together should all be created before any runs, because running ones slow it down."""
        ...

    def resume(self, node: Node, mark: Mark) -> None:
        """Resume the machine that :meth:`Provider.boot` left paused. Already running, or stopped meanwhile: no error.

        A machine that stayed paused because its run died is resumed by its next :meth:`Provider.boot`.
        """
        ...


class NetworkUse(Protocol):
    """For sites where foreign machines may be attached to a cluster's network.

    Then :meth:`Provider.allocate` and :meth:`Provider.clean` raise SiteInUseError, before any change, rather than remove
    a network that a foreign machine uses.
    """

    def attached_machines(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        """The machines of any owner on networks of ``held`` that are not in ``keep`` (None: on any). Must not change anything."""
        ...


class BootCheck(Protocol):
    """For sites that can check in advance for the image and the networks of a boot."""

    def check_boot(self, request: BootRequest) -> None:
        """Raise SiteError, as :meth:`Provider.boot` would, when the node's image, flavor or one of its networks is missing.

        Called before a node that is to boot again is stopped, and before its old disk is removed. Must not change anything. The
        request has neither seed nor user-data nor overlay, and names the machine that the node has until then: ``present``. No
        conflict with that machine may be reported.
        """
        ...


class AutostartControl(Protocol):
    """For sites whose machines can start with their host.

    Then :meth:`Provider.boot` applies ``Node.autostart``, and :meth:`Provider.shutdown` of a node that is to be off clears it.
    """

    def set_autostart(self, node: Node, mark: Mark) -> None:
        """Apply ``node.autostart`` to the machine, and nothing else. Raises SiteError when there is no such machine."""
        ...


class VolumeStorage(Protocol):
    """For sites that give machines further disks, and that have volumes.

    Then :meth:`Provider.boot` attaches the disks of the node, with their names as serial numbers; or, where a site chooses serial
    numbers, as tags that the guest's script reads. A disk that belongs to the node is created empty, unless this generation of
    the node has it already. It must not be removed or replaced unless the request names it in ``discard_disks``, nor be made
    smaller. A volume must exist, carry the mark of the request, and be attached to no other running machine: otherwise
    SiteError, before any change.

    :meth:`Provider.shutdown` keeps all disks. :meth:`Provider.clean` of a node removes its own disks, and must detach and keep
    its volumes; clean of a volume removes the volume, and raises SiteInUseError while a machine has it attached.
    """

    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        """Create the volume, empty; or grow it, also while it is attached to a running machine. Already large enough: no effect.

        Must be atomic per name at the site: a volume of that name with another lineage is a SiteConflictError that names the
        holder. Must not make a volume smaller, and must never change its contents. May be repeated after a lost response.
        """
        ...

    def grow_disks(self, node: Node, mark: Mark) -> None:
        """Grow the disks that belong to ``node`` to their sizes while the machine runs or is off. Large enough: no effect.

        Must not change volumes, nor create a missing disk: that raises SiteError.
        """
        ...


class ImageListing(Protocol):
    """For sites where unused images may be left behind."""

    def stored(self) -> tuple[StoredImage, ...]:
        """Every image that takes up space at the site, complete or not, of any stack, by digest.

        :meth:`Provider.clean` then removes an unused one, also when only the first 16 digits of its digest are known.
        """
        ...


class SiteImages(Protocol):
    """For sites with images of their own, from which nodes can boot.

    Then :meth:`Provider.stage` of an image with ``site_image`` must not read ``request.files``: it verifies that the site still
    has exactly this image, and may copy it at the site. Must not change or remove the site's image itself. If nodes use it in
    place, the site neither lists it in observations and inventories nor removes anything in :meth:`Provider.clean`.
    """

    def resolve_image(self, name: str) -> SiteImage:
        """Return the image with this name or id.

        Must look it up in a complete listing. Raises SiteError if there is none (with similar names), or if several have the name
        (with the id and the date of each): :func:`~pragmaspec.planning.images.site_images.choose_site_image` does. Must not
        choose the newest of them: the choice has to be the user's. Must not change anything.
        """
        ...

    def find_image(self, image_id: str) -> SiteImage | None:
        """Return the image with this id as it is now, or None. Must not return another image that has taken over its name."""
        ...


class StorageRefresh(Protocol):
    """For sites that do not notice files that other programs create."""

    def refresh_storage(self) -> None:
        """Rescan the storage, so that :meth:`Provider.observe` is complete. Must not change anything."""
        ...


class GuestSimulation(Protocol):
    """For sites whose guests are simulated: the site knows how far each has booted."""

    def guest_stage(self, node: Node, mark: Mark) -> str:
        """The furthest stage reached: ``off``, ``running``, ``address``, ``ssh`` or ``cloud-init``."""
        ...

    def guest_updated(self, node: Node, mark: Mark) -> None:
        """Note that the running guest now has the cluster files of ``node``. By default nothing is noted."""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """The optional abilities of a provider: each is an object that has it, mostly the provider itself, or None."""

    duplicate_removal: DuplicateRemoval | None = None
    peer_images: PeerImages | None = None
    paused_boot: PausedBoot | None = None
    network_use: NetworkUse | None = None
    boot_check: BootCheck | None = None
    autostart: AutostartControl | None = None
    image_listing: ImageListing | None = None
    volume_storage: VolumeStorage | None = None
    site_images: SiteImages | None = None
    storage_refresh: StorageRefresh | None = None
    guest_simulation: GuestSimulation | None = None


class Provider(Protocol):
    """The operations of a site. Idempotent; keyed by address; never print; never wait without a limit.

    Every created object can be found again without the state: its UUID is ``mark.uuid`` where the site accepts a chosen one, and
    it carries lineage, address, generation and op in metadata, tags or its name, set by the very call that creates it. Objects
    of a kind whose creation can carry none of these must be contained in one that can, or not be created. Methods may be called
    from several threads at once. All errors of the site's own library are translated to
    :class:`~pragmaspec.errors.SiteError` and its subclasses.
    """

    @property
    def abilities(self) -> Abilities:
        """The optional abilities of this provider."""
        ...

    @property
    def identity_kind(self) -> IdentityKind:
        """The way the site tells two creations of one *machine* apart.

        Allocations are claims of unique values, and images are addressed by content: neither is ever created twice anywhere.
        ``ident``: the machine's identity follows from its mark, so that :meth:`boot` may simply be repeated. ``token``: the site
        creates one machine per op; ``tag``: one per request. Providers of these two have :class:`DuplicateRemoval`.
        """
        ...

    @property
    def window_s(self) -> float:
        """Seconds after its sending within which a call may still take effect, or its result be missing from :meth:`observe`.

        0: every effect of a call precedes its end, and every listing is complete. Otherwise the provider has
        :class:`DuplicateRemoval`.
        """
        ...

    def identity(self) -> SiteIdentity:
        """The site's identity. Must raise SiteUnreachableError when the site does not answer within 10 s."""
        ...

    def inventory(self) -> Inventory:
        """Capacity and its use by any owner. Must not change anything. One listing per kind of object, not one per node.

        A site with sizes of its own reports its ``flavors``. ``quotas`` are the limits of this user, with all that is used. A
        site whose hosts are unknown to its users sets ``reports_capacity`` to False, and the totals to 0.
        """
        ...

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        """Everything that carries marks of ``lineage``. Must not change anything. One listing per kind of object.

        Machines are compared with ``recorded``, in all values that their definitions declare; None: no comparison.
        Must raise rather than return a partial listing: an object missing from it is taken to be gone. Must contain every object
        created more than ``window_s`` ago.
        """
        ...

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        """Claim the networks with their VLANs, and the public addresses, of ``wanted``.

        Must be atomic per claim at the site itself: of two stacks that claim one VLAN or address exactly one gets it, and the
        other a SiteConflictError that names the holder. Must do nothing for claims of this stack; may add and drop claims of an
        existing allocation so that it equals ``wanted``. A call that fails must leave none of its claims behind.

        At a site that chooses public addresses, a grant without an address gets one, which is the output ``public:<node>``. The
        same grant has the same address when the call is repeated.
        """
        ...

    def stage(self, request: StageRequest) -> Outputs:
        """Put the image at the site once, read-only, for all stacks, and record that this stack uses it.

        Must read ``request.files`` only when their bytes are needed. Must not leave a partial image under the final name. A site
        may download ``request.public_copy`` itself: it must verify the digest before the image can be used, and must not be given
        any credentials of the user.
        """
        ...

    def boot(self, request: BootRequest) -> Outputs:
        """Create and start the node as requested, and return without waiting for its guest.

        An existing disk of the same generation is kept (and grown when the node's disk is larger); a definition that differs is
        replaced, and keeps manual additions. Already running with an equal one: no effect; paused: resumed. Must not touch a
        machine of another lineage, nor another generation of this one; nor, unless the request allows it, leave out layers above
        the disk, or start a machine whose saved memory does not fit.

        The machine then carries the op of ``request.mark``, so that a removal of its predecessor does not affect it. Where
        identities cannot be chosen, the machine is the one with ``request.site_id``, which must be read by that id and not from a
        listing; if it is absent or no id is given, one is created (per token only once). Its id is the output ``id``.

        At a site that chooses MACs or addresses, those of the machine are the outputs ``mac:<network>`` and
        ``address:<network>``. The same machine has the same values when the call is repeated.

        At a site with flavors, a new or resized machine gets ``node.flavor``; SiteError if it is not offered, and
        SiteCapacityError if a quota or the capacity is exceeded. Neither must leave anything behind. An existing machine keeps a
        flavor that is no longer offered.

        At a site whose nodes are told by user-data, a new machine gets exactly that of the request; SiteError, and nothing left
        behind, if it is larger than declared. An existing machine keeps what it was created with.
        """
        ...

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        """Ask the guest to power off, and force it off after ``grace_s`` seconds. Absent or off: no error."""
        ...

    def clean(self, resource: Resource, mark: Mark) -> None:
        """Remove the resource with everything that belongs to it (disks, seed, console log). Absent: no error.

        A running node is powered off first. An image stays while another stack uses it. An allocation is removed with its claims.
        Must not remove objects of another lineage, nor of a later generation. Where a call may take effect late, must not
        remove objects with another op either: the same address may have been created anew meanwhile.
        """
        ...

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        """Facts about a node that does not become ready. Must not raise: empty fields instead."""
        ...

    def console_log(self, node: Node, mark: Mark) -> bytes:
        """The output of the serial console since the node was booted, at most the last MiB."""
        ...

    def console(self, node: Node, mark: Mark) -> None:
        """Attach this process's terminal to the node's serial console until Ctrl-]. Raises AccessError without a terminal."""
        ...

    def close(self) -> None:
        """Close connections. The provider is not used afterwards."""
        ...
