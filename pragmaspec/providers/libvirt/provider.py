"""The provider's face: each method of the protocol, with libvirt's errors translated at this edge."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock

from pragmaspec.planning.drift.attached_machines import AttachedMachine
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, StoredImage
from pragmaspec.providers.base import Abilities, BootRequest, Diagnostics, Offer, StageRequest
from pragmaspec.providers.libvirt import clean as cleaning
from pragmaspec.providers.libvirt import inventory, observe, volumes
from pragmaspec.providers.libvirt.domains import boot, console, power
from pragmaspec.providers.libvirt.domains import diagnostics as evidence
from pragmaspec.providers.libvirt.errors import translated
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images import peer_offer as offering
from pragmaspec.providers.libvirt.images import remove as releasing
from pragmaspec.providers.libvirt.images import stage as staging
from pragmaspec.providers.libvirt.networks import allocate as allocation
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage
from pragmaspec.site import IdentityKind, LibvirtSite
from pragmaspec.state_model import State


class LibvirtProvider:
    """One hypervisor host, local or remote, through libvirt-python alone. Connects when first asked something."""

    def __init__(self, site: LibvirtSite) -> None:
        self._host = Host(site)
        self._one_upload = Lock()

    @property
    def abilities(self) -> Abilities:
        """All that a site may have, but neither duplicates nor simulated guests."""
        return Abilities(
            peer_images=self,
            paused_boot=self,
            network_use=self,
            boot_check=self,
            autostart=self,
            image_listing=self,
            storage_refresh=self,
        )

    @property
    def identity_kind(self) -> IdentityKind:
        """Domains have the UUID that we give them."""
        return "ident"

    @property
    def window_s(self) -> float:
        """The daemon has done all of a call when it answers, and what a client that died had asked for is done by then too."""
        return 0.0

    def identity(self) -> SiteIdentity:
        """Which site this is."""
        with self._translated("ask who it is"):
            return self._host.identity()

    def inventory(self) -> Inventory:
        """Capacity and what is taken, by anyone."""
        with self._translated("list what is taken"):
            return inventory.inventory(self._host)

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        """Everything that carries the marks of ``lineage``, compared with what is recorded."""
        with self._translated("list what is there"):
            return observe.observe(self._host, lineage, recorded)

    def refresh_storage(self) -> None:
        """Have the pool list the files that others put into its directory."""
        with self._translated("read its storage pool again"):
            volumes.reread(self._host)

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        """Claim networks, VLANs and public addresses."""
        with self._translated(f"allocate {wanted.cluster}"):
            return allocation.allocate(self._host, wanted, mark)

    def occupants(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        """The machines on networks that ``held`` has and ``keep`` has not."""
        with self._translated(f"see whether others use networks of {held.cluster}"):
            return allocation.occupied(self._host, mark, keep)

    def stage(self, request: StageRequest) -> Outputs:
        """Put the image into the pool. One at a time from this process: an upload of our own is never taken for a dead run's."""
        with self._translated(f"stage image {request.image.name}"), self._one_upload:
            return staging.stage(self._host, request)

    @contextmanager
    def offer(self, image: StagedImage, incoming: Mark | None = None) -> Iterator[Offer]:
        """Hand the image out for the time of the ``with`` block, from a host behind ssh."""
        with ExitStack() as stack:
            with self._translated(f"hand out image {image.name}"):
                offer = stack.enter_context(offering.offered(self._host, image, incoming))
            yield offer

    def stage_from_peer(self, request: StageRequest, offer: Offer) -> Outputs:
        """Put the image into the pool; the host takes it from a neighbour."""
        with self._translated(f"stage image {request.image.name}"), self._one_upload:
            return staging.stage(self._host, request, offer)

    def stored(self) -> tuple[StoredImage, ...]:
        """The images that take up room in the pool."""
        with self._translated("list the images there"):
            return releasing.stored(self._host)

    def boot(self, request: BootRequest) -> Outputs:
        """Make the node exist and run."""
        with self._translated(f"boot {request.node.name}"):
            return boot.boot(self._host, request)

    def check_boot(self, request: BootRequest) -> None:
        """Raise SiteError when the node's image or a network of it is not there."""
        with self._translated(f"see whether {request.node.name} can boot"):
            boot.check(self._host, request)

    def prefers_paused_boot(self) -> bool:
        """Emulated guests take the processors that starting the others needs."""
        with self._translated("ask how guests run there"):
            return self._host.virt_type == "qemu"

    def resume(self, node: Node, mark: Mark) -> None:
        """Let a machine run that was started without running."""
        with self._translated(f"let {node.name} run"):
            power.resume(self._host, mark)

    def set_autostart(self, node: Node, mark: Mark) -> None:
        """Let the machine start with its host, or no longer."""
        with self._translated(f"change whether {node.name} starts with its host"):
            power.set_autostart(self._host, node, mark)

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        """Ask the guest to power off, then take the power away."""
        with self._translated(f"shut down {node.name}"):
            power.shutdown(self._host, node, mark, grace_s)

    def clean(self, resource: Resource, mark: Mark) -> None:
        """Remove the resource with everything that belongs to it."""
        with self._translated(f"clean {resource.address}"):
            cleaning.clean(self._host, resource, mark)

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        """What can be shown of a node that does not become ready."""
        return evidence.evidence(self._host, node, mark)

    def console_log(self, node: Node, mark: Mark) -> bytes:
        """What the serial console has printed since the node was booted."""
        with self._translated(f"read the console log of {node.name}"):
            return evidence.console_log(self._host, node, mark)

    def console(self, node: Node, mark: Mark) -> None:
        """Join this terminal to the node's serial console until Ctrl-]."""
        with self._translated(f"open the console of {node.name}"):
            console.console(self._host, node, mark)

    def close(self) -> None:
        """Let go of the connection."""
        self._host.connection.close()

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(f"{doing} at {self._host.title}")
