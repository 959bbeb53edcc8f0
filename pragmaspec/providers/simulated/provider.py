"""A whole site that is only pretended: for demos without a hypervisor, for tests, and for scale."""

from msgspec.structs import replace

from pragmaspec.clock import Clock, SystemClock
from pragmaspec.errors import PragmaspecError, SiteError
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, StoredImage
from pragmaspec.providers.base import Abilities, BootRequest, Diagnostics, StageRequest
from pragmaspec.providers.simulated.claims import claim, new_grant, release_grant, release_image
from pragmaspec.providers.simulated.faults import find_fault, lost_error, refused_error
from pragmaspec.providers.simulated.guest import GuestStage, console_text, guest_stage
from pragmaspec.providers.simulated.machines import belongs_to, booted_machine, check_bootable, check_capacity, find_machine
from pragmaspec.providers.simulated.objects import Image, SimulatedMachine
from pragmaspec.providers.simulated.queries import site_identity, site_inventory, site_observations, stored_images
from pragmaspec.providers.simulated.shared_world import SharedWorld, shared_world
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage
from pragmaspec.site import Fault, IdentityKind, SimulatedSite
from pragmaspec.state_model import State

_CONSOLE_LIMIT_BYTES = 2**20
_EVIDENCE_LINES = 20


class SimulatedProvider:
    """The provider protocol over a :class:`~pragmaspec.providers.simulated.world.World`.

    Each call takes ``site.latency_s`` on ``clock`` and then at most one of ``site.faults``; neither holds up other threads.
    Stricter than it needs to be where that shows mistakes: a node boots only from an image and on networks that are there.
    """

    def __init__(self, site: SimulatedSite, clock: Clock | None = None, world: SharedWorld | None = None) -> None:
        self._site = site
        self._clock = clock or SystemClock()
        self._world = world or shared_world(site)

    @property
    def abilities(self) -> Abilities:
        """All but images from peers, paused machines, and storage that has to be read anew."""
        return Abilities(duplicate_removal=self, boot_check=self, autostart=self, image_listing=self, guest_simulation=self)

    @property
    def identity_kind(self) -> IdentityKind:
        """What the site was told to pretend."""
        return self._site.identity

    @property
    def window_s(self) -> float:
        """What the site was told to pretend."""
        return self._site.window_s

    def identity(self) -> SiteIdentity:
        """Which site this is; makes sure that its file can be read."""
        with self._world.looking():
            return site_identity(self._site)

    def inventory(self) -> Inventory:
        """Capacity, and what anybody holds."""
        fault = self._call("inventory", self._site.name)
        with self._world.looking() as world:
            inventory = site_inventory(world, self._site)
        _answer(fault)
        return inventory

    def stored(self) -> tuple[StoredImage, ...]:
        """The images of the world, with their users."""
        with self._world.looking() as world:
            return stored_images(world)

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        """Everything that carries ``lineage``."""
        del recorded  # Its machines are what they are defined as.
        fault = self._call("observe", self._site.name)
        with self._world.looking() as world:
            observations = site_observations(world, self._site, lineage)
        _answer(fault)
        return observations

    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        """Claim VLANs and public addresses, all or none."""
        fault = self._call("allocate", mark.address)
        with self._world.changing() as world:
            claim(world, new_grant(wanted, mark, world.grant(mark.lineage, mark.address), world.next_made()))
        _answer(fault)
        return ()

    def stage(self, request: StageRequest) -> Outputs:
        """Pretend a transfer, and note that the stack uses the image. Only the sizes of ``files`` matter here."""
        image, mark = request.image, request.mark
        fault = self._call("stage", mark.address)
        with self._world.looking() as world:
            there = world.image(image.digest) is not None
        if not there:
            _ = request.files
            request.progress(image.transfer_bytes, image.transfer_bytes)
        with self._world.changing() as world:
            before = world.image(image.digest) or Image(digest=image.digest, name=image.name, size_bytes=image.transfer_bytes)
            if mark.lineage not in before.users:
                world.put(replace(before, users=tuple(sorted((*before.users, mark.lineage)))))
        _answer(fault)
        return ()

    def boot(self, request: BootRequest) -> Outputs:
        """Make the node exist and run; its guest becomes ready a few latencies later, unless a fault forbids it."""
        fault = self._call("boot", request.mark.address)
        unready = fault is not None and fault.kind == "unready"
        alone = self._site.identity == "ident"
        with self._world.changing() as world:
            check_bootable(world, request)
            before = find_machine(world, request, self._site.identity)
            after = booted_machine(request, before, self._clock.now(), unready=unready, alone=alone, made=world.next_made())
            check_capacity(world, self._site, before, after)
            if after != before:
                world.put(after)
        _answer(fault)
        return () if alone else (("id", after.id),)

    def check_boot(self, request: BootRequest) -> None:
        """Raise SiteError when the node's image or a network of it is not there."""
        with self._world.looking() as world:
            check_bootable(world, request)

    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        """Power the machine off. A guest that never became ready does not hear it, and costs ``grace_s``."""
        fault = self._call("shutdown", mark.address)
        with self._world.looking() as world:
            before = self._ours(world, mark)
        if any(machine.status == "running" and machine.unready for machine in before):
            self._clock.sleep(grace_s)
        with self._world.changing() as world:
            for machine in self._ours(world, mark):
                after = replace(
                    machine,
                    status="off" if machine.status == "running" else machine.status,
                    autostart=machine.autostart and node.running,
                )
                if after != machine:
                    world.put(after)
        _answer(fault)

    def set_autostart(self, node: Node, mark: Mark) -> None:
        """Note whether the machine starts with its host."""
        with self._world.changing() as world:
            found = self._ours(world, mark)
            if not found:
                raise SiteError("A machine is missing", f"{node.address} is not defined at the site.")
            for machine in found:
                world.put(replace(machine, autostart=node.autostart))

    def clean(self, resource: Resource, mark: Mark) -> None:
        """Remove the resource with everything that belongs to it; an image stays while another stack uses it."""
        fault = self._call("clean", mark.address)
        with self._world.changing() as world:
            if isinstance(resource, StagedImage):
                release_image(world, resource.digest, mark.lineage)
            elif isinstance(resource, Node):
                for machine in self._ours(world, mark):
                    world.take(machine.key)
            else:
                release_grant(world, mark)
        _answer(fault)

    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        """Remove a machine, a grant or the use of an image by its id."""
        fault = self._call("clean", mark.address)
        with self._world.changing() as world:
            for machine in world.machines_at(mark.lineage, mark.address):
                if machine.id == site_id and machine.op == mark.op:
                    world.take(machine.key)
            grant = world.grant(mark.lineage, mark.address)
            if grant is not None and grant.id == site_id:
                release_grant(world, mark)
            release_image(world, site_id, mark.lineage)
        _answer(fault)

    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        """Power state, the last lines of the console, and addresses."""
        try:
            machine = self._machine(node, mark)
        except PragmaspecError:
            return Diagnostics()
        if machine is None:
            return Diagnostics(domain="absent")
        words = {"running": "running", "off": "shut off", "undefined": "not defined, its disk is there"}
        stage = self._stage(machine)
        lease = ", ".join(f"{nic.mac} has {nic.address}" for nic in node.nics) if stage not in ("off", "running") else ""
        return Diagnostics(
            domain=words[machine.status],
            console=tuple(console_text(node, machine, stage).splitlines()[-_EVIDENCE_LINES:]),
            lease=lease,
        )

    def console_log(self, node: Node, mark: Mark) -> bytes:
        """What the pretended guest printed since it was booted."""
        machine = self._machine(node, mark)
        return console_text(node, machine, self._stage(machine)).encode()[-_CONSOLE_LIMIT_BYTES:]

    def console(self, node: Node, mark: Mark) -> None:
        """Show the console at the terminal until Ctrl-]; nobody answers there."""
        from pragmaspec.providers.simulated.console import join_terminal  # noqa: PLC0415 - only at a terminal

        join_terminal(node.name, self.console_log(node, mark))

    def guest_stage(self, node: Node, mark: Mark) -> GuestStage:
        """How far the guest of ``node`` has come: what readiness asks here, where there is no address to knock at."""
        return self._stage(self._machine(node, mark))

    def close(self) -> None:
        """Let go of the site's file."""
        self._world.close()

    @staticmethod
    def _ours(world: World, mark: Mark) -> list[SimulatedMachine]:
        """The machines that a shutdown or a removal for ``mark`` means."""
        return [machine for machine in world.machines_at(mark.lineage, mark.address) if belongs_to(machine, mark)]

    def _machine(self, node: Node, mark: Mark) -> SimulatedMachine | None:
        del node
        with self._world.looking() as world:
            return world.machine(mark.lineage, mark.address)

    def _stage(self, machine: SimulatedMachine | None) -> GuestStage:
        return guest_stage(machine, self._clock.now(), self._site.latency_s, self._site.seed)

    def _call(self, call: str, address: str) -> Fault | None:
        """Let the call travel to the site. Returns the fault that it met and survived."""
        if self._site.latency_s:
            self._clock.sleep(self._site.latency_s)
        if not self._site.faults:
            return None
        with self._world.changing() as world:
            fault = find_fault(world, self._site.faults, call, address)
        if fault is not None and fault.kind == "refuse":
            raise refused_error(fault)
        if fault is not None and fault.kind == "hang":
            self._clock.sleep(fault.delay_s)
        return fault


def _answer(fault: Fault | None) -> None:
    """Let the answer travel back."""
    if fault is not None and fault.kind == "lost":
        raise lost_error(fault)
