"""The provider or guest call of each action verb. Runs in worker threads."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient
from pragmaspec.clock import Clock
from pragmaspec.delivery import Delivery
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.first_information import NOTHING, FirstInformation, first_information, size_error
from pragmaspec.engine.guests import Guests, SimulatedGuests, SshGuests
from pragmaspec.engine.image_sharing import ImageSharing
from pragmaspec.engine.offline_disks import OfflineOverlays
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import AccessError, ImageError, SiteError
from pragmaspec.guest.contract.files import live_files
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.late.values import with_values, without_values
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import PublicCopy, WantedImage
from pragmaspec.providers.base import BootRequest, OverlayBuilder, Provider, StageRequest, TransferProgress, VolumeStorage
from pragmaspec.resources import Allocation, Mark, Node, Outputs, StagedImage, Volume
from pragmaspec.state_model import Record
from pragmaspec.text import size

NO_DELIVERY = Delivery()


@dataclass(frozen=True)
class SiteTools:
    """Access to one site and to its guests."""

    provider: Provider
    guests: Guests
    power: PowerWatch
    delivery: Delivery
    """The ways in which new nodes are told about themselves: none where simulated guests need no information."""


class ProviderCalls:
    """Makes the calls of actions. One instance per apply; thread-safe."""

    def __init__(self, plan: Plan, context: ApplyContext, target: TargetState, tools: Mapping[str, SiteTools]) -> None:
        self._context = context
        self._target = target
        self._tools = tools
        self._lineage = target.state.lineage
        self._overlays = OfflineOverlays(plan, target, context.stack_key, self._files)
        self._overlays.clear()
        providers = {site: each.provider for site, each in tools.items()}
        self._sharing = ImageSharing(plan, context.session.state, providers)
        self._boots = {action.address: action for action in plan.actions if action.verb == "boot"}
        self._boots_per_site = Counter(action.resource.site for action in self._boots.values())
        self._paused: set[str] = set()
        self._incomplete: set[str] = set()

    def mark(self, action: Action, begun: Record | None) -> Mark:
        """Return the mark of the object that ``action`` creates or removes; ``begun``: its record since the intent."""
        if begun is None:
            return Mark(lineage=self._lineage, address=action.address, generation=action.generation)
        return begun.mark(self._lineage)

    def tools(self, action: Action) -> SiteTools:
        """Return the tools of the action's site."""
        return self._tools[action.resource.site]

    def call(self, action: Action, begun: Record | None, report: Callable[[str], None]) -> Outputs:
        """Make the provider call of ``action``; ``begun``: its record since the intent. Raises PragmaspecError."""
        provider, resource, mark = self.tools(action).provider, action.resource, self.mark(action, begun)
        match action.verb, resource:
            case "boot", Node():
                if resource.disks:
                    self._volume_storage(action)
                return provider.boot(self._boot_request(action, resource, mark, begun.site_id if begun else ""))
            case "stage", StagedImage():
                return self._stage(provider, resource, mark, report)
            case "shutdown", Node():
                provider.shutdown(resource, mark, self._context.shutdown_grace_s)
                return begun.outputs if begun else ()
            case "clean", _:
                provider.clean(resource, mark)
                return ()
            case "allocate", Allocation():
                return provider.allocate(resource, mark)
            case "allocate", Volume():
                return self._volume_storage(action).allocate_volume(resource, mark)
        raise TypeError(action.key)

    def check(self, action: Action, earlier: Record | None) -> None:
        """Raise SiteError if ``action`` stops or removes a node that the plan boots again and that could not boot.

        ``earlier``: the record of the node.
        """
        boot_check, boot = self.tools(action).provider.abilities.boot_check, self._boots.get(action.address)
        if action.verb not in ("shutdown", "clean") or boot is None:
            return
        if isinstance(boot.resource, Node) and boot_check is not None:
            present = earlier.mark(self._lineage) if earlier is not None else None
            # A machine that is started again keeps its mark, even if the node was renamed since its creation.
            mark = present if present is not None and present.generation == boot.generation else self.mark(boot, None)
            boot_check.check_boot(replace(self._minimal_boot_request(boot.resource, mark), present=present))

    def is_paused(self, action: Action) -> bool:
        """True if the node that ``action`` created stays paused until :meth:`resume`."""
        return action.address in self._paused

    def resume(self, action: Action, begun: Record | None) -> None:
        """Let the paused node of ``action`` run. Raises PragmaspecError."""
        paused_boot, node = self.tools(action).provider.abilities.paused_boot, action.resource
        if paused_boot is not None and isinstance(node, Node):
            paused_boot.resume(node, self.mark(action, begun))

    def learn(self, action: Action, record: Record) -> None:
        """Tell the guests of the site the address in the ``record`` of a booted node. Raises AccessError."""
        if isinstance(record.resource, Node):
            self.tools(action).guests.learn(record.resource)

    def is_incomplete(self, action: Action) -> bool:
        """True if the node that ``action`` booted was told only a part of what it needs: the rest follows over ssh."""
        return action.address in self._incomplete

    def update(self, action: Action, begun: Record | None) -> None:
        """Apply the changes of a node that do not need a stop. Raises PragmaspecError."""
        node, before, autostart = action.resource, action.before, self.tools(action).provider.abilities.autostart
        if isinstance(node, Node) and isinstance(before, Node) and node.autostart != before.autostart:
            if autostart is not None:
                autostart.set_autostart(node, self.mark(action, begun))
            if replace(before, autostart=node.autostart) == node:
                return
        if isinstance(node, Node) and isinstance(before, Node) and node.own_disks != before.own_disks:
            self._volume_storage(action).grow_disks(node, self.mark(action, begun))
        self.update_guest(action, begun)

    def _volume_storage(self, action: Action) -> VolumeStorage:
        storage = self.tools(action).provider.abilities.volume_storage
        if storage is None:
            raise SiteError(
                "The site has no further disks",
                f"{action.address} needs `disks`, which the provider of site {action.resource.site} does not have. Remove them "
                "from the spec.",
            )
        return storage

    def update_guest(self, action: Action, begun: Record | None) -> None:
        """Replace the cluster files of the running guest of ``action``'s node. Raises AccessError."""
        node, tools = action.resource, self.tools(action)
        if not isinstance(node, Node) or tools.delivery == NO_DELIVERY:
            return
        if tools.guests.reachable(node):
            files = live_files(node, self._target.cluster(node), self._context.stack_key)
            tools.guests.update(node, self.mark(action, begun), files)
        elif self.is_incomplete(action):
            raise AccessError(
                "A node could not be updated",
                f"{node.name} has to get the files of its cluster over ssh, because they are larger than user-data of site "
                f"{node.site} may be, and there is no route to it. Give its frontend a public address.",
            )

    def cancel(self) -> None:
        """Cancel calls that wait for an image transfer of another site."""
        self._sharing.cancel()

    def close(self) -> None:
        """Remove the overlays of nodes that were not booted."""
        self._overlays.close()

    def _boot_request(self, action: Action, node: Node, mark: Mark, site_id: str) -> BootRequest:
        paused_boot = self.tools(action).provider.abilities.paused_boot
        # A single node delays no other, so it runs at once.
        paused = self._boots_per_site[node.site] > 1 and paused_boot is not None and paused_boot.prefers_paused_boot()
        if paused:
            self._paused.add(node.address)
        information = self._first_information(action, node, mark)
        # A node that is ready before anybody logs in has got everything when it was created: its plan required that.
        if information.left_out and node.readiness.when != "none":
            self._incomplete.add(node.address)
        return replace(
            self._minimal_boot_request(node, mark),
            seed=information.seed,
            user_data=information.user_data,
            site_id=site_id,
            overlay=self._overlay_builder(node),
            paused=paused,
            discard_layers=bool(action.loses),
            discard_memory=action.forgets,
            discard_disks=action.discards,
        )

    def _minimal_boot_request(self, node: Node, mark: Mark) -> BootRequest:
        return BootRequest(
            node=node,
            allocation=self._target.allocation(node),
            image=self._target.image(node),
            mark=mark,
            seed=b"",
            allocation_created_as=self._target.allocation_created_as(node),
            volumes=self._target.volume_marks(node),
        )

    def _first_information(self, action: Action, node: Node, mark: Mark) -> FirstInformation:
        """Return the information for ``node``; nothing if it keeps the present one, because no other can be built or would fit.

        Raises SiteError if that of a new machine is too large for the site.
        """
        delivery = self.tools(action).delivery
        if delivery == NO_DELIVERY or (action.before is not None and not self._target.can_build_seed(node)):
            return NOTHING
        found = first_information(node, mark, delivery, self._target, self._context.stack_key)
        error = size_error(found, node, delivery)
        if error is not None and (action.before is None or action.impact == "rebuild"):
            raise error
        return found if error is None else NOTHING  # The limit was lowered since the machine was created.

    def _overlay_builder(self, node: Node) -> OverlayBuilder | None:
        if node.cloud_init or not self._tools[node.site].delivery.files:
            return None
        return partial(self._overlays.overlay, node)

    def _stage(self, provider: Provider, image: StagedImage, mark: Mark, report: Callable[[str], None]) -> Outputs:
        request = StageRequest(
            image,
            mark,
            files=partial(self._files, image),
            progress=_transfer_progress(report),
            public_copy=partial(self._public_copy, image),
        )
        peer_images = provider.abilities.peer_images
        if peer_images is None:
            return provider.stage(request)
        fetch = partial(peer_images.stage_from_peer, request)
        return self._sharing.stage(image, partial(provider.stage, request), fetch, report)

    def _public_copy(self, image: StagedImage) -> PublicCopy | None:
        wanted, public_copy = self._wanted_image(image), self._context.public_copy
        return public_copy(wanted) if wanted is not None and public_copy is not None else None

    def _files(self, image: StagedImage) -> ImageFiles:
        wanted = self._wanted_image(image)
        if wanted is None:
            raise ImageError(
                "An image is no longer in the spec",
                f"Image {image.name} ({image.digest[:16]}) has to be staged at site {image.site}, but the spec no longer has a "
                "source for it. Plan again.",
            )
        return self._context.files(wanted)

    def _wanted_image(self, image: StagedImage) -> WantedImage | None:
        return next((each for each in self._context.wanted.images if each.digest == image.digest), None)


def record_after(action: Action, begun: Record | None, outputs: Outputs) -> Record | None:
    """Return the record after ``action`` succeeded; None if its resource is gone. ``begun``: the record since the intent."""
    if action.verb == "clean":
        return None
    resource, outputs = with_values(action.resource, outputs), without_values(outputs)
    if isinstance(resource, Node) and action.verb in ("boot", "shutdown"):
        running = action.verb == "boot"
        resource = replace(resource, running=running, autostart=resource.autostart and running)
    if begun is None:
        return Record(resource=resource, generation=action.generation, outputs=outputs)
    status = begun.status if action.verb in ("update", "record") else "ready"
    generation = max(begun.generation, action.generation)
    return replace(begun, resource=resource, status=status, generation=generation, outputs=outputs, problem="")


def guests_of(provider: Provider, remote: SshClient, clock: Clock) -> Guests:
    """Return the guests of a site: simulated by its provider, else reached over ssh."""
    simulation = provider.abilities.guest_simulation
    return SimulatedGuests(simulation, clock) if simulation is not None else SshGuests(remote)


def delivery_to(guests: Guests, declared: Delivery) -> Delivery:
    """Return the ways in which the engine tells ``guests`` about themselves.

    Simulated ones need no information. They get some only where the site limits it, so that an apply of 100,000 nodes is quick.
    """
    return declared if guests.over_ssh or declared.limit is not None else NO_DELIVERY


def _transfer_progress(report: Callable[[str], None]) -> TransferProgress:
    """Return a callback that reports a transfer at most once per percent."""
    last = -1

    def transferred(done: int, total: int) -> None:
        nonlocal last
        percent = 100 * done // total if total else 100
        if percent != last:
            last = percent
            report(f"transferring {size(total)} · {percent} %")

    return transferred
