"""What each verb does: one call at the provider, or one at the guest. Runs in the threads of the lanes."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from pragmaspec.access.ssh import SshClient
from pragmaspec.clock import Clock
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.guests import Guests, SimulatedGuests, SshGuests
from pragmaspec.engine.image_sharing import ImageSharing
from pragmaspec.engine.offline_disks import OfflineOverlays
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import ImageError
from pragmaspec.guest.contract.files import live_files
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.providers.base import BootRequest, OverlayBuilder, Provider, StageRequest
from pragmaspec.resources import Mark, Node, Outputs, StagedImage
from pragmaspec.state_model import Record
from pragmaspec.text import size

Say = Callable[[str], None]


@dataclass(frozen=True)
class SiteTools:
    """What actions at one site work with."""

    provider: Provider
    guests: Guests
    power: PowerWatch


class ProviderCalls:
    """Does the calls of actions. Made once an apply; methods are called from several threads at once."""

    def __init__(self, plan: Plan, context: ApplyContext, outlook: TargetState, tools: Mapping[str, SiteTools]) -> None:
        self._context = context
        self._outlook = outlook
        self._tools = tools
        self._lineage = outlook.state.lineage
        self._overlays = OfflineOverlays(plan, outlook, context.stack_key, self._files)
        self._overlays.clear()
        providers = {site: each.provider for site, each in tools.items()}
        self._neighbours = ImageSharing(plan, context.session.state, providers)
        self._booted = {action.address: action for action in plan.actions if action.verb == "boot"}
        self._boots = Counter(action.resource.site for action in self._booted.values())
        self._held: set[str] = set()

    def mark(self, action: Action, begun: Record | None) -> Mark:
        """How what ``action`` makes or removes is found at the site; ``begun`` is its record since its intent was recorded."""
        if begun is None:
            return Mark(lineage=self._lineage, address=action.address, generation=action.generation)
        return begun.mark(self._lineage)

    def tools(self, action: Action) -> SiteTools:
        """What to work with at the action's site."""
        return self._tools[action.resource.site]

    def call(self, action: Action, begun: Record | None, say: Say) -> Outputs:
        """Do the provider's part of ``action``, whose record says ``begun`` since its intent. Raises PragmaspecError."""
        provider, resource, mark = self.tools(action).provider, action.resource, self.mark(action, begun)
        outputs = begun.outputs if begun else ()
        match action.verb, resource:
            case "boot", Node():
                kept = action.before is not None and not self._outlook.is_described(resource)
                site_id = begun.site_id if begun else ""
                return provider.boot(self._boot_order(action, resource, mark, site_id, seed_stays=kept))
            case "stage", StagedImage():
                return self._stage(provider, resource, mark, say)
            case "shutdown", Node():
                provider.shutdown(resource, mark, self._context.shutdown_grace_s)
                return outputs
            case "clean", _:
                provider.clean(resource, mark)
                return ()
            case "allocate", _ if not isinstance(resource, Node | StagedImage):
                return provider.allocate(resource, mark)
        raise TypeError(action.key)

    def check(self, action: Action) -> None:
        """Raise SiteError when the node that ``action`` stops or removes could not boot again, which the plan wants."""
        site, boot = self.tools(action).provider.abilities.boot_check, self._booted.get(action.address)
        if action.verb not in ("shutdown", "clean") or boot is None:
            return
        if isinstance(boot.resource, Node) and site is not None:
            site.check_boot(self._bare_order(boot.resource, self.mark(boot, None)))

    def holds(self, action: Action) -> bool:
        """Whether the machine that ``action`` made does not run before it is released."""
        return action.address in self._held

    def release(self, action: Action, begun: Record | None) -> None:
        """Let the machine run that ``action`` made and holds. Raises PragmaspecError."""
        site, node = self.tools(action).provider.abilities.paused_boot, action.resource
        if site is not None and isinstance(node, Node):
            site.resume(node, self.mark(action, begun))

    def update(self, action: Action, begun: Record | None) -> None:
        """Change what can be changed of a node without stopping it. Raises PragmaspecError."""
        node, before, site = action.resource, action.before, self.tools(action).provider.abilities.autostart
        if isinstance(node, Node) and isinstance(before, Node) and node.autostart != before.autostart:
            if site is not None:
                site.set_autostart(node, self.mark(action, begun))
            if (before.keys, before.peers) == (node.keys, node.peers):
                return
        self.tell(action)

    def tell(self, action: Action) -> None:
        """Tell the running guest of ``action``'s node what has changed in its cluster. Raises AccessError."""
        node, guests = action.resource, self.tools(action).guests
        if isinstance(node, Node) and guests.seeded and guests.reachable(node):
            guests.update(node, live_files(node, self._outlook.cluster(node), self._context.stack_key))

    def _boot_order(self, action: Action, node: Node, mark: Mark, site_id: str, *, seed_stays: bool) -> BootRequest:
        site, seed = self.tools_at(node.site).provider.abilities.paused_boot, b""
        # A machine alone keeps nobody waiting.
        held = self._boots[node.site] > 1 and site is not None and site.prefers_paused_boot()
        if held:
            self._held.add(node.address)
        if self.tools_at(node.site).guests.seeded and not seed_stays:
            # Building disks costs 70 ms to import, which a plan that boots nothing need not pay.
            from pragmaspec.guest.cloud_init.seed import seed_iso  # noqa: PLC0415

            seed = seed_iso(node, self._outlook.cluster(node), self._outlook.settings(node), self._context.stack_key, mark)
        return replace(
            self._bare_order(node, mark),
            seed=seed,
            site_id=site_id,
            overlay=self._overlay(node),
            paused=held,
            discard_layers=bool(action.loses),
            discard_memory=action.forgets,
        )

    def _bare_order(self, node: Node, mark: Mark) -> BootRequest:
        return BootRequest(
            node=node,
            allocation=self._outlook.allocation(node),
            image=self._outlook.image(node),
            mark=mark,
            seed=b"",
            allocation_created_as=self._outlook.allocated_as(node),
        )

    def _overlay(self, node: Node) -> OverlayBuilder | None:
        if node.cloud_init or not self.tools_at(node.site).guests.seeded:
            return None
        return lambda base_path: self._overlays.overlay(node, base_path)

    def cut(self) -> None:
        """Let no call wait for another's any more."""
        self._neighbours.cut()

    def close(self) -> None:
        """Remove what was made on this machine for nodes, and not used."""
        self._overlays.close()

    def tools_at(self, site: str) -> SiteTools:
        """What to work with at ``site``."""
        return self._tools[site]

    def _stage(self, provider: Provider, image: StagedImage, mark: Mark, say: Say) -> Outputs:
        wanted = next((each for each in self._context.wanted.images if each.digest == image.digest), None)
        copies = self._context.copies
        request = StageRequest(
            image,
            mark,
            files=lambda: self._files(image),
            progress=_transfer(say),
            public_copy=lambda: copies(wanted) if copies is not None and wanted is not None else None,
        )
        peer = provider.abilities.peer_images
        if peer is None:
            return provider.stage(request)
        return self._neighbours.stage(
            image, lambda: provider.stage(request), lambda offer: peer.stage_from_peer(request, offer), say
        )

    def _files(self, staged: StagedImage) -> ImageFiles:
        for image in self._context.wanted.images:
            if image.digest == staged.digest:
                return self._context.files(image)
        raise ImageError(
            "An image is no longer in the spec",
            f"{staged.name} ({staged.digest[:16]}) must go to site {staged.site}, but the spec does not say where it "
            "comes from any more. Plan again.",
        )


def record_after(action: Action, begun: Record | None, outputs: Outputs) -> Record | None:
    """The record after ``action`` succeeded; None when its resource is gone. ``begun`` is the one since its intent."""
    if action.verb == "clean":
        return None
    resource = action.resource
    if isinstance(resource, Node) and action.verb in ("boot", "shutdown"):
        running = action.verb == "boot"
        resource = replace(resource, running=running, autostart=resource.autostart and running)
    if begun is None:
        return Record(resource=resource, generation=action.generation, outputs=outputs)
    status = begun.status if action.verb in ("update", "record") else "ready"
    generation = max(begun.generation, action.generation)
    return replace(begun, resource=resource, status=status, generation=generation, outputs=outputs, problem="")


def guests_of(provider: Provider, remote: SshClient, clock: Clock) -> Guests:
    """The guests of a site: pretended ones if the provider pretends, else those that ssh reaches."""
    simulation = provider.abilities.guest_simulation
    return SimulatedGuests(simulation, clock) if simulation is not None else SshGuests(remote)


def _transfer(say: Say) -> Callable[[int, int], None]:
    """Says how far a transfer has come, at most once for each hundredth."""
    last = -1

    def transferred(done: int, total: int) -> None:
        nonlocal last
        share = 100 * done // total if total else 100
        if share != last:
            last = share
            say(f"transferring {size(total)} · {share} %")

    return transferred
