"""The provider protocol: what is asked of a site, and the values that go in and out."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from pragmaspec.frozen import Frozen
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, StoredImage
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage
from pragmaspec.site import IdentityKind
from pragmaspec.state_model import State

TransferProgress = Callable[[int, int], None]
"""Progress of a transfer: bytes done, bytes in all."""


OverlayBuilder = Callable[[str], AbstractContextManager[Path]]
"""Given the path of an image's disk at the site: a qcow2 file on this machine, as large as the node's disk, that stands on it."""


class BootRequest(Frozen, frozen=True):
    """Everything a provider needs to make one node run."""

    node: Node
    allocation: Allocation
    image: StagedImage
    mark: Mark
    seed: bytes
    """The node's NoCloud seed, an ISO 9660 image labelled ``cidata``. Holds private keys: store it so that only the
    hypervisor can read it, and never log it. Empty: the one that the machine has stays; so it is where nodes read none."""
    site_id: str = ""
    """What the site called the machine when it was made; empty when that is not known, or where it is not needed."""
    allocated_as: str = ""
    """The address that the allocation was made under; empty: its own."""
    overlay: OverlayBuilder | None = None
    """What a disk that has to be made begins with, for an image without cloud-init; None: nothing beside the image. Holds private
    keys, too. A disk that is not yet whole must not count as one that is there."""
    held: bool = False
    """Only for a provider that is :class:`PausedBoot`: a machine that has to be started does not run before its release."""
    discard_layers: bool = False
    """True if snapshots above the node's disk may be lost, as the user has allowed."""
    forgets_memory: bool = False
    """True if memory saved at the site is discarded, so that the machine starts as ``node`` says."""

    @property
    def allocation_mark(self) -> Mark:
        """The mark that the cluster's networks and claims carry."""
        return Mark(lineage=self.mark.lineage, address=self.allocated_as or self.allocation.address)


class Diagnostics(Frozen, frozen=True):
    """What a site can show of a node that does not become ready; every field may be empty."""

    domain: str = ""
    """Its power state, in words."""
    console: tuple[str, ...] = ()
    """The last lines of its serial console."""
    lease: str = ""


@runtime_checkable
class DuplicateRemoval(Protocol):
    """Extension of :class:`Provider` where an object may be created twice, or appear late."""

    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        """Remove the object that the site calls ``site_id`` with everything that belongs to it. Absent: no error.

        ``site_id`` is the ``id`` of something observed, or an image's digest, which then is no longer used by this stack.
        Must not remove it when it carries another lineage or another op than ``mark``.
        """
        ...


@runtime_checkable
class HostDownload(Protocol):
    """Extension of :class:`Provider` whose sites may download an image by themselves."""

    def stage_from(
        self,
        image: StagedImage,
        copy: PublicCopy | None,
        files: Callable[[], ImageFiles],
        mark: Mark,
        transferred: TransferProgress,
    ) -> Outputs:
        """As :meth:`Provider.stage`; ``copy`` is where anybody gets the bytes of the image's disk, None where nobody does.

        Must check the digest of what came at the site, before the image can be used. Must not give the site any credentials of
        the user.
        """
        ...


class Offer(Frozen, frozen=True):
    """An image as one site hands it to another, for as long as the offer stands. It lets anybody have the image: never log it.

    ``paths`` pairs the image's parts ("disk", "kernel", "initrd") with what they are called at the https server that listens at
    ``address`` and ``port`` and shows exactly ``certificate`` (PEM).
    """

    address: str
    port: int
    certificate: str
    paths: tuple[tuple[str, str], ...]


@runtime_checkable
class PeerImages(Protocol):
    """Extension of :class:`Provider` whose sites may copy an image from each other, where they are neighbours."""

    def offer(self, image: StagedImage, coming: Mark | None = None) -> AbstractContextManager[Offer]:
        """Hand out the image, read-only, for the time of the ``with`` block, in which nothing is waited for without a limit.

        ``coming`` is for a site that is about to take the image from a neighbour itself: the mark that it does that with. Then
        what has arrived is handed on, and the rest as it arrives, which nobody has looked at yet. Otherwise raises SiteError when
        the image is not whole at the site. Raises SiteError when the site cannot hand anything out. Must leave nothing behind at
        the site when the block ends, nor when this process does. Must not give the site any credentials of the user.
        """
        ...

    def stage_from_peer(self, image: StagedImage, offer: Offer, mark: Mark, transferred: TransferProgress) -> Outputs:
        """As :meth:`Provider.stage`, with the bytes that ``offer`` of another site gives, and no others.

        Must check the digest of every part at the site, before the image can be used. Raises SiteError when it did not come.
        """
        ...


@runtime_checkable
class PausedBoot(Protocol):
    """Extension of :class:`Provider` whose machines can be created without running yet."""

    def holds(self) -> bool:
        """Whether machines that are booted together should all be made before any runs, because those that run slow it down."""
        ...

    def release(self, node: Node, mark: Mark) -> None:
        """Let the machine run that :meth:`Provider.boot` holds. One that runs already, or was stopped meanwhile: no error.

        A machine that nobody released, because its run died, is released by the next :meth:`Provider.boot` of it.
        """
        ...


@runtime_checkable
class NetworkUse(Protocol):
    """Extension of :class:`Provider` where foreign machines may be attached to a cluster's network.

    Then :meth:`Provider.allocate` and :meth:`Provider.clean` raise SiteInUseError, before any change, rather than remove
    a network that a foreign machine uses.
    """

    def occupants(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        """The machines of any owner on networks of ``held`` that ``keep`` has not (None: on any). Must not change anything."""
        ...


@runtime_checkable
class BootCheck(Protocol):
    """Extension of :class:`Provider` that can check in advance for the image and the networks of a boot."""

    def check_boot(self, order: BootRequest) -> None:
        """Raise SiteError, as :meth:`Provider.boot` would, when the node's image or a network of it is not there.

        Asked before a node that is to boot again is stopped, and before its old disk is removed. Must not change anything. The
        order comes without seed and overlay.
        """
        ...


@runtime_checkable
class AutostartControl(Protocol):
    """Extension of :class:`Provider` whose machines can start with their host.

    Then :meth:`Provider.boot` sets this as ``Node.autostart`` says, and :meth:`Provider.shutdown` of a node that is to be off
    clears it.
    """

    def set_autostart(self, node: Node, mark: Mark) -> None:
        """Let the machine start with its host, or no longer, as ``node.autostart`` says; nothing else happens to it.

        Raises SiteError when there is no such machine.
        """
        ...


@runtime_checkable
class ImageListing(Protocol):
    """Extension of :class:`Provider` where unused images may be left behind."""

    def stored(self) -> tuple[StoredImage, ...]:
        """Every image that takes up room at the site, whole or not, whoever brought it there, by digest.

        :meth:`Provider.clean` then removes one that nobody uses, also when only the first 16 digits of its digest are known.
        """
        ...


class Provider(Protocol):
    """What is asked of a site. Idempotent; keyed by address; never prints; never waits without a limit.

    Every object made here can be found again without the state: its UUID is ``mark.uuid`` where the site lets us choose, and
    it carries lineage, address, generation and op in metadata, tags or its name, given in the very call that makes it. A kind of
    object whose creation can carry nothing of that sort must stand inside one that can, or not be made. Methods may be called
    from several threads at once. All errors of the site's own library are translated to
    :class:`~pragmaspec.errors.SiteError` and its kinds.
    """

    @property
    def identity_kind(self) -> IdentityKind:
        """How the site tells two creations of one *machine* apart.

        Allocations are claims of unique values, and images are addressed by content: neither is ever made twice anywhere.
        ``ident``: the machine's identity follows from its mark, so that :meth:`boot` may simply be repeated. ``token``: the site
        makes one machine an op; ``tag``: it makes one for every request. Providers of these two offer :class:`DuplicateRemoval`.
        """
        ...

    @property
    def window_s(self) -> float:
        """How many seconds after its sending a call may still take effect, or what it made be missing from :meth:`observe`.

        0: a call that has ended has had all its effect, and every listing is complete. Otherwise the provider offers
        :class:`DuplicateRemoval`.
        """
        ...

    def identity(self) -> SiteIdentity:
        """Which site this is. Must raise SiteUnreachableError when it does not answer within 10 s."""
        ...

    def inventory(self) -> Inventory:
        """Capacity and what is taken, by anyone. Must not change anything. One listing per kind of object, not one per node."""
        ...

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        """Everything that carries the marks of ``lineage``. Must not change anything. One listing per kind of object.

        ``recorded`` is what machines are compared with, in all that their definitions declare; None: they are not.
        Must raise rather than return a partial listing: what is missing from the answer is taken to be gone. Everything that
        was made more than ``window_s`` ago must be in it.
        """
        ...

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        """Claim what ``wanted`` names: networks with their VLANs, public addresses.

        Must be atomic per claim at the site itself: of two stacks wanting one VLAN or address exactly one gets it, and the
        other SiteConflictError naming the holder. Must do nothing for claims already ours; may add and drop claims of an
        allocation that exists so that it equals ``wanted``. Must leave no claim behind that it made in a call that failed.
        """
        ...

    def stage(self, image: StagedImage, files: Callable[[], ImageFiles], mark: Mark, transferred: TransferProgress) -> Outputs:
        """Put the image at the site once, read-only, for all stacks; ``mark`` notes that this stack uses it.

        Must call ``files`` only when bytes are needed. Must not leave a partial image under the final name.
        """
        ...

    def boot(self, order: BootRequest) -> Outputs:
        """Make the node exist and run as ``order`` says, and return without waiting for its guest.

        An existing disk of the same generation is kept (and grown when the node's disk is larger); a definition that differs is
        replaced, and keeps manual additions. Already running with an equal one: no effect; paused: it goes on. Must not touch a
        machine of another lineage, nor another generation of this one; nor, unless the order allows it, leave out layers above
        the disk, or start a machine whose saved memory does not fit.

        The machine then carries the op of ``order.mark``, so that a removal of what stood there before does not concern it. Where
        identities cannot be chosen, the machine is the one with ``order.site_id``, which must be read by that id and not from a
        listing; if it is not there or none is given, one is made (of one token only once). Its id is told as the output ``id``.
        """
        ...

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        """Ask the guest to power off, and after ``grace_s`` seconds take the power away. Absent or off: no error."""
        ...

    def clean(self, resource: Resource, mark: Mark) -> None:
        """Remove the resource with everything that belongs to it (disks, seed, console log). Absent: no error.

        A node is powered off first if it runs. An image stays while another stack uses it. An allocation goes with its claims.
        Must not remove anything that carries another lineage, nor a later generation. Where a call may take effect late, must not
        remove what carries another op either: the same address may have been made anew meanwhile.
        """
        ...

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        """What can be shown of a node that does not become ready. Must not raise: empty fields instead."""
        ...

    def console_log(self, node: Node, mark: Mark) -> bytes:
        """What the serial console has printed since the node was booted, at most the last MiB."""
        ...

    def console(self, node: Node, mark: Mark) -> None:
        """Join this process's terminal to the node's serial console until Ctrl-]. Raises AccessError without a terminal."""
        ...

    def close(self) -> None:
        """Let go of connections. The provider is not used afterwards."""
        ...
