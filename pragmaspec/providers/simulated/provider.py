"""The simulated provider: a site without a hypervisor, for demos, tests, and scale."""

from msgspec.structs import replace

from pragmaspec.clock import Clock, SystemClock
from pragmaspec.errors import PragmaspecError, SiteError
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, SiteImage, StoredImage
from pragmaspec.providers.base import (
    Abilities,
    AutostartControl,
    BootCheck,
    BootRequest,
    Diagnostics,
    DuplicateRemoval,
    GuestSimulation,
    ImageListing,
    Provider,
    SiteImages,
    StageRequest,
    VolumeStorage,
)
from pragmaspec.providers.simulated.claims import claim, new_grant, release_digest, release_grant, release_image
from pragmaspec.providers.simulated.devices import check_devices, check_pinned
from pragmaspec.providers.simulated.faults import find_fault, lost_error, refused_error
from pragmaspec.providers.simulated.guest import GuestStage, console_text, guest_stage
from pragmaspec.providers.simulated.late import allocation_outputs, boot_outputs, with_own_values, with_public_addresses
from pragmaspec.providers.simulated.machines import (
    belongs_to,
    booted_machine,
    check_bootable,
    check_capacity,
    check_user_data,
    find_machine,
)
from pragmaspec.providers.simulated.objects import Image, SimulatedMachine
from pragmaspec.providers.simulated.queries import site_identity, site_inventory, site_observations, stored_images
from pragmaspec.providers.simulated.quotas import check_flavor, check_grant_quotas, check_machine_quotas, check_processor
from pragmaspec.providers.simulated.shared_world import SharedWorld, shared_world
from pragmaspec.providers.simulated.site_images import find_site_image, require_site_image, resolve_site_image
from pragmaspec.providers.simulated.volumes import grown_machine, put_volume, remove_volume
from pragmaspec.providers.simulated.world import World
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import Fault, IdentityKind, SimulatedSite
from pragmaspec.state_model import State
from pragmaspec.typing import override

_CONSOLE_LIMIT_BYTES = 2**20
_DIAGNOSTICS_LINES = 20


class SimulatedProvider(
    Provider, DuplicateRemoval, BootCheck, AutostartControl, ImageListing, SiteImages, GuestSimulation, VolumeStorage
):
    """The provider protocol over a :class:`~pragmaspec.providers.simulated.world.World`.

    Each call takes ``site.latency_s`` on ``clock`` and then at most one of ``site.faults``; neither blocks other threads.
    Stricter than necessary where that reveals mistakes: a node boots only from an existing image and on existing networks.
    """

    def __init__(self, site: SimulatedSite, clock: Clock | None = None, world: SharedWorld | None = None) -> None:
        self._site = site
        self._clock = clock or SystemClock()
        self._world = world or shared_world(site)

    @property
    @override
    def abilities(self) -> Abilities:
        return Abilities(
            duplicate_removal=self,
            boot_check=self,
            autostart=self,
            image_listing=self,
            volume_storage=self,
            site_images=self,
            guest_simulation=self,
        )

    @property
    @override
    def identity_kind(self) -> IdentityKind:
        return self._site.identity

    @property
    @override
    def window_s(self) -> float:
        return self._site.window_s

    @override
    def identity(self) -> SiteIdentity:
        with self._world.reading() as world:
            return site_identity(world, self._site)

    @override
    def inventory(self) -> Inventory:
        fault = self._call("inventory", self._site.name)
        with self._world.reading() as world:
            inventory = site_inventory(world, self._site)
        _respond(fault)
        return inventory

    @override
    def stored(self) -> tuple[StoredImage, ...]:
        with self._world.reading() as world:
            return stored_images(world)

    @override
    def resolve_image(self, name: str) -> SiteImage:
        return resolve_site_image(self._site, name)

    @override
    def find_image(self, image_id: str) -> SiteImage | None:
        return find_site_image(self._site, image_id)

    @override
    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        fault = self._call("observe", self._site.name)
        with self._world.reading() as world:
            observations = site_observations(world, self._site, lineage, recorded)
        _respond(fault)
        return observations

    @override
    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        fault = self._call("allocate", mark.address)
        with self._world.writing() as world:
            before = world.grant(mark.lineage, mark.address)
            wanted = with_public_addresses(world, self._site, wanted, before)
            grant = new_grant(wanted, mark, before, world.next_made())
            check_grant_quotas(world, self._site, before, grant)
            claim(world, grant)
        _respond(fault)
        return allocation_outputs(self._site, wanted)

    @override
    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        fault = self._call("allocate", mark.address)
        with self._world.writing() as world:
            found = put_volume(world, self._site, volume, mark)
        _respond(fault)
        return (("id", found.id),)

    @override
    def grow_disks(self, node: Node, mark: Mark) -> None:
        with self._world.writing() as world:
            found = self._own(world, mark)
            if not found:
                raise SiteError("An object is missing at the site", f"{node.address} is not defined at the site.")
            for machine in found:
                grown = grown_machine(machine, node)
                check_machine_quotas(world, self._site, machine, grown)
                world.put(grown)

    @override
    def stage(self, request: StageRequest) -> Outputs:
        image, mark = request.image, request.mark
        fault = self._call("stage", mark.address)
        if image.site_image:
            require_site_image(self._site, image)
            _respond(fault)
            return ()
        with self._world.reading() as world:
            present = world.image(image.digest) is not None
        if not present:
            _ = request.files  # Only a simulated transfer, but the files have to be obtainable.
            request.progress(image.transfer_bytes, image.transfer_bytes)
        with self._world.writing() as world:
            before = world.image(image.digest) or Image(digest=image.digest, name=image.name, size_bytes=image.transfer_bytes)
            if mark.lineage not in before.users:
                world.put(replace(before, users=tuple(sorted((*before.users, mark.lineage)))))
        _respond(fault)
        return ()

    @override
    def boot(self, request: BootRequest) -> Outputs:
        fault = self._call("boot", request.mark.address)
        unready = fault is not None and fault.kind == "unready"
        with self._world.writing() as world:
            check_bootable(world, self._site, request)
            before = find_machine(world, self._site, request)
            request = with_own_values(world, self._site, request, before)
            after = booted_machine(request, before, self._site, self._clock.now(), unready=unready, made=world.next_made())
            check_user_data(self._site, before, request)
            check_flavor(self._site, before, request.node)
            check_processor(self._site, before, request.node)
            check_devices(world, self._site, before, after)
            check_pinned(world, self._site, before, after)
            check_capacity(world, self._site, before, after)
            check_machine_quotas(world, self._site, before, after)
            if after != before:
                world.put(after)
        _respond(fault)
        own_id = () if self._site.identity == "ident" else (("id", after.id),)
        return (*boot_outputs(self._site, after), *own_id)

    @override
    def check_boot(self, request: BootRequest) -> None:
        with self._world.reading() as world:
            check_bootable(world, self._site, request)
            machines = world.machines_at(request.mark.lineage, request.mark.address)
            same = next((machine for machine in machines if machine.generation == request.mark.generation), None)
            check_flavor(self._site, same, request.node)
            check_processor(self._site, same, request.node)

    @override
    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        fault = self._call("shutdown", mark.address)
        with self._world.reading() as world:
            before = self._own(world, mark)
        # A guest that never became ready ignores the power button.
        if any(machine.status == "running" and machine.unready for machine in before):
            self._clock.sleep(grace_s)
        with self._world.writing() as world:
            for machine in self._own(world, mark):
                after = replace(
                    machine,
                    status="off" if machine.status == "running" else machine.status,
                    autostart=machine.autostart and node.running,
                )
                if after != machine:
                    world.put(after)
        _respond(fault)

    @override
    def set_autostart(self, node: Node, mark: Mark) -> None:
        with self._world.writing() as world:
            found = self._own(world, mark)
            if not found:
                raise SiteError("An object is missing at the site", f"{node.address} is not defined at the site.")
            for machine in found:
                world.put(replace(machine, autostart=node.autostart))

    @override
    def clean(self, resource: Resource, mark: Mark) -> None:
        fault = self._call("clean", mark.address)
        with self._world.writing() as world:
            if isinstance(resource, StagedImage):
                release_image(world, resource, mark.lineage)
            elif isinstance(resource, Node):
                for machine in self._own(world, mark):
                    world.remove(machine.key)
            elif isinstance(resource, Volume):
                remove_volume(world, mark)
            else:
                release_grant(world, mark)
        _respond(fault)

    @override
    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        fault = self._call("clean", mark.address)
        with self._world.writing() as world:
            for machine in world.machines_at(mark.lineage, mark.address):
                if machine.id == site_id and machine.op == mark.op:
                    world.remove(machine.key)
            grant = world.grant(mark.lineage, mark.address)
            if grant is not None and grant.id == site_id:
                release_grant(world, mark)
            volume = next((each for each in world.volumes.values() if each.id == site_id), None)
            if volume is not None:
                remove_volume(world, mark)
            release_digest(world, site_id, mark.lineage)
        _respond(fault)

    @override
    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        try:
            machine = self._machine(mark)
        except PragmaspecError:
            return Diagnostics()
        if machine is None:
            return Diagnostics(domain="absent")
        power = {"running": "running", "off": "off", "undefined": "not defined, its disk exists"}
        stage = self._stage(machine)
        lease = ", ".join(f"{nic.mac} has {nic.address}" for nic in node.interfaces) if stage not in ("off", "running") else ""
        return Diagnostics(
            domain=power[machine.status],
            console=tuple(console_text(node, machine, stage).splitlines()[-_DIAGNOSTICS_LINES:]),
            lease=lease,
        )

    @override
    def console_log(self, node: Node, mark: Mark) -> bytes:
        machine = self._machine(mark)
        return console_text(node, machine, self._stage(machine)).encode()[-_CONSOLE_LIMIT_BYTES:]

    @override
    def console(self, node: Node, mark: Mark) -> None:
        from pragmaspec.providers.simulated.console import attach_terminal  # noqa: PLC0415 - only at a terminal

        attach_terminal(self.console_log(node, mark))

    @override
    def guest_stage(self, node: Node, mark: Mark) -> GuestStage:
        return self._stage(self._machine(mark))

    @override
    def guest_updated(self, node: Node, mark: Mark) -> None:
        with self._world.writing() as world:
            for machine in self._own(world, mark):
                world.put(replace(machine, received=node.peers))

    @override
    def close(self) -> None:
        self._world.close()

    @staticmethod
    def _own(world: World, mark: Mark) -> list[SimulatedMachine]:
        """The machines that a shutdown or a removal for ``mark`` affects."""
        return [machine for machine in world.machines_at(mark.lineage, mark.address) if belongs_to(machine, mark)]

    def _machine(self, mark: Mark) -> SimulatedMachine | None:
        with self._world.reading() as world:
            return world.machine(mark.lineage, mark.address)

    def _stage(self, machine: SimulatedMachine | None) -> GuestStage:
        return guest_stage(machine, self._clock.now(), self._site.latency_s, self._site.seed)

    def _call(self, call: str, address: str) -> Fault | None:
        """Simulate the request. Return its fault, if that does not fail it before its effect."""
        if self._site.latency_s:
            self._clock.sleep(self._site.latency_s)
        if not self._site.faults:
            return None
        with self._world.writing() as world:
            fault = find_fault(world, self._site.faults, call, address)
        if fault is not None and fault.kind == "refuse":
            raise refused_error(fault)
        if fault is not None and fault.kind == "hang":
            self._clock.sleep(fault.delay_s)
        return fault


def _respond(fault: Fault | None) -> None:
    """Simulate the response."""
    if fault is not None and fault.kind == "lost":
        raise lost_error(fault)
