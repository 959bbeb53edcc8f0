"""The provider protocol: what is asked of a site, and the values that go in and out."""

from collections.abc import Callable
from typing import Protocol

from pragmaspec.frozen import Frozen
from pragmaspec.images.files import ImageFiles
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity
from pragmaspec.recorded import Allocation, Mark, Node, Outputs, Resource, StagedImage

Transferred = Callable[[int, int], None]
"""Progress of a transfer: bytes done, bytes in all."""


class BootOrder(Frozen, frozen=True):
    """Everything a provider needs to make one node run."""

    node: Node
    allocation: Allocation
    image: StagedImage
    mark: Mark
    seed: bytes
    """The node's NoCloud seed, an ISO 9660 image labelled ``cidata``. Holds private keys: store it so that only the
    hypervisor can read it, and never log it."""


class Evidence(Frozen, frozen=True):
    """What a site can show of a node that does not become ready; every field may be empty."""

    domain: str = ""
    """Its power state, in words."""
    console: tuple[str, ...] = ()
    """The last lines of its serial console."""
    lease: str = ""


class Provider(Protocol):
    """What is asked of a site. Idempotent; keyed by address; never prints; never waits without a limit.

    Every object made here can be found again without the state: its UUID is ``mark.uuid`` where the site lets us choose, and
    it carries lineage, address and generation in metadata, tags or its name. Methods may be called from several threads at once.
    All errors of the site's own library are translated to :class:`~pragmaspec.errors.SiteError` and its kinds.
    """

    def identity(self) -> SiteIdentity:
        """Which site this is. Must raise SiteUnreachableError when it does not answer within 10 s."""
        ...

    def inventory(self) -> Inventory:
        """Capacity and what is taken, by anyone. Must not change anything. One listing per kind of object, not one per node."""
        ...

    def observe(self, lineage: str) -> Observations:
        """Everything that carries the marks of ``lineage``. Must not change anything. One listing per kind of object.

        Must raise rather than return a partial listing: what is missing from the answer is taken to be gone.
        """
        ...

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        """Claim what ``wanted`` names: networks with their VLANs, public addresses.

        Must be atomic per claim at the site itself: of two stacks wanting one VLAN or address exactly one gets it, and the
        other SiteConflictError naming the holder. Must do nothing for claims already ours; may add and drop claims of an
        allocation that exists so that it equals ``wanted``. Must leave no claim behind that it made in a call that failed.
        """
        ...

    def stage(self, image: StagedImage, files: Callable[[], ImageFiles], mark: Mark, transferred: Transferred) -> Outputs:
        """Put the image at the site once, read-only, for all stacks; ``mark`` notes that this stack uses it.

        Must call ``files`` only when bytes are needed. Must not leave a partial image under the final name.
        """
        ...

    def boot(self, order: BootOrder) -> Outputs:
        """Make the node exist and run as ``order`` says, and return without waiting for its guest.

        An existing disk of the same generation is kept (and grown when the node's disk is larger); an existing definition is
        replaced when it differs. Already running with an equal one: no effect. Must not touch a machine of another lineage.
        """
        ...

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        """Ask the guest to power off, and after ``grace_s`` seconds take the power away. Absent or off: no error."""
        ...

    def clean(self, resource: Resource, mark: Mark) -> None:
        """Remove the resource with everything that belongs to it (disks, seed, console log). Absent: no error.

        A node is powered off first if it runs. An image stays while another stack uses it. An allocation goes with its claims.
        Must not remove anything that carries another lineage.
        """
        ...

    def evidence(self, node: Node, mark: Mark) -> Evidence:
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
