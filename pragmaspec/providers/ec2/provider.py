"""The provider protocol over the EC2 API: AWS, Eucalyptus, and OpenStack's ec2-api."""

from contextlib import ExitStack
from functools import cached_property
from hashlib import sha256

from pragmaspec.clock import Clock
from pragmaspec.errors import AccessError, PragmaspecError, SiteError
from pragmaspec.planning.observed import Inventory, Observations, SiteIdentity, SiteImage, StoredImage
from pragmaspec.providers.base import (
    Abilities,
    BootCheck,
    BootRequest,
    Diagnostics,
    DuplicateRemoval,
    ImageListing,
    Provider,
    SiteImages,
    StageRequest,
    VolumeStorage,
)
from pragmaspec.providers.ec2.addresses import AddressClaim, holders_in, release
from pragmaspec.providers.ec2.boot import NodeBoot, check_boot
from pragmaspec.providers.ec2.capabilities import Capabilities
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.errors import ERRORS
from pragmaspec.providers.ec2.images import find_site_image, resolve_site_image
from pragmaspec.providers.ec2.machines import find_machine
from pragmaspec.providers.ec2.network_parts import ClusterParts, find_parts, subnets_of
from pragmaspec.providers.ec2.network_release import refuse_used, remove_networks
from pragmaspec.providers.ec2.networks import NetworkClaim
from pragmaspec.providers.ec2.node_disks import grow_disks
from pragmaspec.providers.ec2.observe import observations, site_inventory
from pragmaspec.providers.ec2.power import own_machines, remove_machines, stop_machine
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.settings import Ec2Settings
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.providers.ec2.staged_images import release_image, stage_image, stored_images
from pragmaspec.providers.ec2.volumes import allocate_volume, remove_duplicate_volume, remove_volume
from pragmaspec.resources import Allocation, Mark, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import ExternalSite, IdentityKind
from pragmaspec.state_model import State
from pragmaspec.typing import override

WINDOW_S = 60.0
"""Time after which an object is listed, and no call takes effect any more."""
_CONSOLE_LIMIT_BYTES = 2**20
_DIAGNOSTICS_LINES = 20


class Ec2Provider(Provider, DuplicateRemoval, BootCheck, ImageListing, SiteImages, VolumeStorage):
    """The provider of one site. Nothing is cached but the instance types, the capabilities and the identity."""

    def __init__(self, site: ExternalSite, clock: Clock | None = None) -> None:
        settings = site.read_options(Ec2Settings)
        connection = Ec2Client(settings, clock)
        self._site = site
        self._connection = connection
        self.service = Service(site.name, connection, settings, Capabilities(connection))
        self._sizes = Sizes(self.service)

    @property
    @override
    def abilities(self) -> Abilities:
        return Abilities(duplicate_removal=self, boot_check=self, image_listing=self, site_images=self, volume_storage=self)

    @property
    @override
    def identity_kind(self) -> IdentityKind:
        return "token"

    @property
    @override
    def window_s(self) -> float:
        return WINDOW_S

    @override
    def identity(self) -> SiteIdentity:
        with ERRORS.translated(f"reach site {self._site.name}"):
            self._connection.check_reachable()
            return self._identity

    @override
    def inventory(self) -> Inventory:
        with ERRORS.translated(f"list the objects of site {self._site.name}"):
            return site_inventory(self.service, self._sizes, self._identity)

    @override
    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        with ERRORS.translated(f"list the objects of site {self._site.name}"):
            return observations(self.service, self._sizes, self._identity, lineage, recorded)

    @override
    def stored(self) -> tuple[StoredImage, ...]:
        with ERRORS.translated(f"list the images of site {self._site.name}"):
            return stored_images(self.service)

    @override
    def resolve_image(self, name: str) -> SiteImage:
        with ERRORS.translated(f"find image {name} at site {self._site.name}"):
            return resolve_site_image(self.service, name)

    @override
    def find_image(self, image_id: str) -> SiteImage | None:
        with ERRORS.translated(f"find image {image_id} at site {self._site.name}"):
            return find_site_image(self.service, image_id)

    @override
    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        with ERRORS.translated(f"allocate {wanted.address}"), ExitStack() as undo:
            networks = NetworkClaim(self.service, wanted, mark, undo)
            parts = networks.make()
            addresses = AddressClaim(self.service, parts, mark, undo)
            outputs = addresses.make(wanted)
            undo.pop_all()
            addresses.shrink(outputs)
            networks.shrink(parts)
            return outputs if "public" in self._site.late_values else ()

    @override
    def allocate_volume(self, volume: Volume, mark: Mark) -> Outputs:
        with ERRORS.translated(f"allocate {volume.address}"):
            return allocate_volume(self.service, volume, mark)

    @override
    def grow_disks(self, node: Node, mark: Mark) -> None:
        with ERRORS.translated(f"grow the disks of {node.address}"):
            if not own_machines(self.service, mark):
                raise SiteError("An object is missing at the site", f"{node.address} is not at the site. Plan again.")
            grow_disks(self.service, node, mark)

    @override
    def stage(self, request: StageRequest) -> Outputs:
        with ERRORS.translated(f"stage image {request.image.name}"):
            return stage_image(self.service, request)

    @override
    def boot(self, request: BootRequest) -> Outputs:
        with ERRORS.translated(f"boot {request.node.address}"):
            return NodeBoot(self.service, self._sizes, request).run()

    @override
    def check_boot(self, request: BootRequest) -> None:
        with ERRORS.translated(f"check {request.node.address}"):
            check_boot(self.service, self._sizes, request)

    @override
    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        with ERRORS.translated(f"shut down {node.address}"):
            for machine in own_machines(self.service, mark):
                stop_machine(self.service, machine, grace_s)

    @override
    def clean(self, resource: Resource, mark: Mark) -> None:
        with ERRORS.translated(f"clean {resource.address}"):
            if isinstance(resource, StagedImage):
                release_image(self.service, resource.digest, mark.lineage)
            elif isinstance(resource, Node):
                remove_machines(self.service, own_machines(self.service, mark), mark)
            elif isinstance(resource, Volume):
                remove_volume(self.service, mark)
            elif isinstance(resource, Allocation):
                self._release(find_parts(self.service, mark), mark)

    @override
    def remove_duplicate(self, site_id: str, mark: Mark) -> None:
        with ERRORS.translated(f"remove {site_id} of {mark.address}"):
            if site_id.startswith("i-"):
                machine = find_machine(self.service, site_id)
                found = machine.mark if machine else None
                if machine and found and (found.lineage, found.op) == (mark.lineage, mark.op):
                    remove_machines(self.service, [machine], found)
                return
            if site_id.startswith("vol-"):
                remove_duplicate_volume(self.service, site_id, mark)
                return
            parts = find_parts(self.service, mark)
            if parts.id == site_id:
                self._release(parts, mark)
            release_image(self.service, site_id, mark.lineage)

    @override
    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        try:
            with ERRORS.translated(f"look at {node.address}"):
                machines = own_machines(self.service, mark)
                if not machines:
                    return Diagnostics(domain="absent")
                console = self._console_text(machines[0].id)
                state = " ".join(filter(None, (machines[0].state, machines[0].reason)))
                return Diagnostics(domain=state, console=tuple(console.splitlines()[-_DIAGNOSTICS_LINES:]))
        except PragmaspecError:
            return Diagnostics()

    @override
    def console_log(self, node: Node, mark: Mark) -> bytes:
        with ERRORS.translated(f"read the console of {node.address}"):
            machines = own_machines(self.service, mark)
            return self._console_text(machines[0].id).encode()[-_CONSOLE_LIMIT_BYTES:] if machines else b""

    @override
    def console(self, node: Node, mark: Mark) -> None:
        raise AccessError(
            "The site has no interactive console",
            f"Site {self._site.name} shows the console of {node.name} only as text: `pragmaspec console {node.name} --log`.",
        )

    @override
    def close(self) -> None:
        self._connection.close()

    def _release(self, parts: ClusterParts, mark: Mark) -> None:
        """Remove an allocation, unless another creation has made it anew."""
        if not parts.id or (parts.op and mark.op and parts.op != mark.op):
            return
        for subnet in parts.subnets:
            refuse_used(self.service, subnet, mark.address)
        for subnet_id in subnets_of(self.service, parts):
            for holder in holders_in(self.service, subnet_id, mark):
                release(self.service, holder)
        remove_networks(self.service, parts, mark)
        left = find_parts(self.service, mark)
        if left.vpc not in ("", parts.vpc):  # a creation whose answer was lost, before its VPC was listed
            self._release(left, mark)

    def _console_text(self, machine_id: str) -> str:
        return str(self._connection.call("get_console_output", InstanceId=machine_id).get("Output", ""))

    @cached_property
    def _identity(self) -> SiteIdentity:
        """The account, the region and the service: other credentials or another region are another site."""
        account = self._account()
        place = self._connection.endpoint.rstrip("/") if not self._connection.is_aws else "aws"
        digest = sha256(f"ec2 {place} {self._connection.region} {account}".encode()).hexdigest()
        return SiteIdentity(
            id=digest[:32],
            title=f"ec2, {self._connection.region}, account {account}, {self._connection.endpoint}",
            virt_type="ec2",
            arch=self.service.settings.architecture,
        )

    def _account(self) -> str:
        """Return the id of the account, which owns a group at every service."""
        if self._connection.is_aws:
            return str(self._connection.call("get_caller_identity", service="sts")["Account"])
        groups = self._connection.call("describe_security_groups").get("SecurityGroups", ())
        return next((str(each["OwnerId"]) for each in groups if each.get("OwnerId")), "")
