"""The provider protocol over directories."""

import errno
import platform
import shutil
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.providers.api import (
    Abilities,
    AccessError,
    Allocation,
    BootCheck,
    BootRequest,
    CapacityUse,
    Diagnostics,
    ErrorRow,
    ErrorTable,
    ExternalSite,
    Frozen,
    IdentityKind,
    Inventory,
    Mark,
    Node,
    Observations,
    ObservedAllocation,
    ObservedNode,
    Outputs,
    PoolUse,
    Provider,
    PublicPool,
    Resource,
    SiteCapacityError,
    SiteConflictError,
    SiteError,
    SiteIdentity,
    StagedImage,
    StageRequest,
    State,
    override,
)
from pragmaspec_directories.store import Store, StoredAllocation, StoredImage, StoredMachine, key_of

ERRORS = ErrorTable(
    "The operating system",
    (
        ErrorRow(
            OSError,
            SiteCapacityError,
            "The site ran out of resources",
            "Free disk space below the site's `root`, then apply again.",
            when=lambda error: error.errno in (errno.ENOSPC, errno.EDQUOT),
        ),
        ErrorRow(PermissionError, SiteError, "The site does not allow this", "Make the site's `root` writable for your account."),
        ErrorRow(OSError, SiteError, "The site failed", "Check the site's `root`, then plan again."),
    ),
)


class DirectoriesSiteOptions(Frozen, frozen=True):
    """The keys of the site, as ``DirectoriesOptions.plain_options`` returns them."""

    root: str
    cpus: int
    memory_mib: int


class DirectoriesProvider(Provider, BootCheck):
    """The provider of one site."""

    def __init__(self, site: ExternalSite) -> None:
        self._site = site
        self._options = site.read_options(DirectoriesSiteOptions)
        self._store = Store(Path(self._options.root))

    @property
    @override
    def abilities(self) -> Abilities:
        return Abilities(boot_check=self)

    @property
    @override
    def identity_kind(self) -> IdentityKind:
        return "ident"

    @property
    @override
    def window_s(self) -> float:
        return 0.0

    @override
    def identity(self) -> SiteIdentity:
        place = f"{platform.node()}:{self._options.root}"
        return SiteIdentity(
            id=sha256(place.encode()).hexdigest()[:32], title=f"directories, {self._options.root}", arch=platform.machine()
        )

    @override
    def inventory(self) -> Inventory:
        with ERRORS.translated(f"list {self._options.root}"), self._store.locked():
            disk = shutil.disk_usage(self._options.root)
            held = self._store.all(StoredAllocation)
            return Inventory(
                identity=self.identity(),
                cpus=self._options.cpus,
                memory_mib=self._options.memory_mib,
                disk_bytes=disk.total,
                disk_free_bytes=disk.free,
                cpus_per_node=self._options.cpus,
                holdings=tuple(map(_holding, self._store.all(StoredMachine))),
                public=PublicPool(network="directories", cidr="192.0.2.0/24"),
                addresses=tuple(_use(address, each) for each in held for address in each.public),
                vlans=tuple(_use(str(vlan), each) for each in held for _, vlan in each.networks if vlan is not None),
                cidrs=tuple(_use(cidr, each) for each in held for cidr in each.cidrs),
                images=tuple(image.digest for image in self._store.all(StoredImage)),
            )

    @override
    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        del recorded  # Definitions cannot be changed by hand.
        with ERRORS.translated(f"list {self._options.root}"), self._store.locked():
            return Observations(
                site=self._site.name,
                identity=self.identity(),
                nodes=tuple(_observed(each) for each in self._store.all(StoredMachine) if each.lineage == lineage),
                allocations=tuple(
                    ObservedAllocation(
                        address=each.address,
                        networks=tuple(name for name, _ in each.networks),
                        public=each.public,
                        vlans=tuple((name, vlan) for name, vlan in each.networks if vlan is not None),
                        op=each.op,
                    )
                    for each in self._store.all(StoredAllocation)
                    if each.lineage == lineage
                ),
                images=tuple(each.digest for each in self._store.all(StoredImage) if lineage in each.users),
            )

    @override
    def allocate(self, wanted: Allocation, mark: Mark) -> Outputs:
        claim = StoredAllocation(
            lineage=mark.lineage,
            address=mark.address,
            op=mark.op,
            networks=tuple((network.name, network.vlan) for network in wanted.networks),
            cidrs=tuple(network.cidr for network in wanted.networks),
            public=tuple(grant.address for grant in wanted.public),
        )
        with ERRORS.translated(f"allocate {wanted.address}"), self._store.locked():
            for other in self._store.all(StoredAllocation):
                if (other.lineage, other.address) != (claim.lineage, claim.address):
                    _refuse_conflict(claim, other)
            self._store.put(key_of(mark), claim)
        return ()

    @override
    def stage(self, request: StageRequest) -> Outputs:
        image, lineage = request.image, request.mark.lineage
        with ERRORS.translated(f"stage image {image.name}"):
            if not self._use_image(image, lineage):
                partial = self._store.root / f".{uuid4()}"
                try:
                    shutil.copyfile(request.files.disk, partial)
                    self._use_image(image, lineage, partial)
                finally:
                    partial.unlink(missing_ok=True)
                request.progress(image.transfer_bytes, image.transfer_bytes)
        return ()

    @override
    def boot(self, request: BootRequest) -> Outputs:
        node, mark = request.node, request.mark
        with ERRORS.translated(f"boot {node.address}"), self._store.locked():
            self._check_bootable(request)
            self._check_user_data(request)
            for other in self._own(mark):
                if other.generation != mark.generation:
                    raise SiteConflictError(
                        "Another generation of the node is at the site",
                        f"{node.address} has generation {other.generation}, the plan wants {mark.generation}. Plan again.",
                    )
            disk = self._store.directory(StoredMachine, key_of(mark)) / "disk"
            if not disk.exists():
                disk.parent.mkdir(parents=True, exist_ok=True)
                self._store.put_private(disk.with_name("user-data"), request.user_data)
                shutil.copyfile(self._store.directory(StoredImage, request.image.digest) / "disk", disk)
            machine = StoredMachine(
                lineage=mark.lineage,
                address=mark.address,
                generation=mark.generation,
                op=mark.op,
                running=node.running,
                cpus=node.cpus,
                memory_mib=node.memory_mib,
                disk_bytes=max(node.disk_bytes, disk.stat().st_size),
            )
            with disk.open("r+b") as file:
                file.truncate(machine.disk_bytes)
            self._store.put(key_of(mark), machine)
        return ()

    @override
    def check_boot(self, request: BootRequest) -> None:
        with ERRORS.translated(f"check {request.node.address}"), self._store.locked():
            self._check_bootable(request)

    @override
    def shutdown(self, node: Node, mark: Mark, grace_s: float) -> None:
        with ERRORS.translated(f"stop {node.address}"), self._store.locked():
            for machine in self._own(mark):
                if machine.generation == mark.generation:
                    self._store.put(key_of(mark), replace(machine, running=False))

    @override
    def clean(self, resource: Resource, mark: Mark) -> None:
        with ERRORS.translated(f"remove {resource.address}"), self._store.locked():
            if isinstance(resource, StagedImage):
                self._release_image(resource.digest, mark.lineage)
            elif isinstance(resource, Allocation):
                self._store.remove(StoredAllocation, key_of(mark))
            else:
                for machine in self._own(mark):
                    if machine.generation <= mark.generation:
                        self._store.remove(StoredMachine, key_of(replace(mark, generation=machine.generation)))

    @override
    def diagnostics(self, node: Node, mark: Mark) -> Diagnostics:
        try:
            with self._store.locked():
                machines = self._own(mark)
        except OSError:
            return Diagnostics()
        return Diagnostics(domain=("running" if machines[0].running else "off") if machines else "absent")

    @override
    def console_log(self, node: Node, mark: Mark) -> bytes:
        return b""

    @override
    def console(self, node: Node, mark: Mark) -> None:
        raise AccessError("No console", f"{node.name} is a directory, which has no console.")

    @override
    def close(self) -> None:
        pass

    def _own(self, mark: Mark) -> list[StoredMachine]:
        """Return the machines of any generation at the address of ``mark``."""
        key = (mark.lineage, mark.address)
        return [each for each in self._store.all(StoredMachine) if (each.lineage, each.address) == key]

    def _check_bootable(self, request: BootRequest) -> None:
        held = {(each.lineage, each.address): each for each in self._store.all(StoredAllocation)}
        allocation = held.get((request.mark.lineage, request.allocation_mark.address))
        networks = {name for name, _ in allocation.networks} if allocation else set()
        absent = [network.name for network in request.allocation.networks if network.name not in networks]
        if absent or not self._store.directory(StoredImage, request.image.digest).exists():
            missing = f"the networks {', '.join(absent)}" if absent else f"image {request.image.name}"
            raise SiteError("A node cannot boot", f"{request.node.address} needs {missing}, absent at the site. Plan again.")

    def _check_user_data(self, request: BootRequest) -> None:
        limit = self._site.delivery.user_data_limit or 0
        if len(request.user_data) > limit:
            raise SiteError(
                "User-data too large for the site",
                f"{request.node.address} has {len(request.user_data):,} bytes of user-data, and a machine has at most {limit:,}.",
            )

    def _use_image(self, image: StagedImage, lineage: str, disk: Path | None = None) -> bool:
        """Record that a stack uses the image, of which ``disk`` is a copy. Return False if it is absent and there is no copy."""
        with self._store.locked():
            found = {each.digest: each for each in self._store.all(StoredImage)}.get(image.digest)
            if found is None and disk is None:
                return False
            directory = self._store.directory(StoredImage, image.digest)
            directory.mkdir(parents=True, exist_ok=True)
            if found is None and disk is not None:
                disk.rename(directory / "disk")
            users = {*(found.users if found else ()), lineage}
            self._store.put(image.digest, StoredImage(digest=image.digest, users=tuple(sorted(users))))
            return True

    def _release_image(self, digest: str, lineage: str) -> None:
        for image in self._store.all(StoredImage):
            users = tuple(user for user in image.users if user != lineage)
            if image.digest == digest and users:
                self._store.put(digest, replace(image, users=users))
            elif image.digest == digest:
                self._store.remove(StoredImage, digest)


def _refuse_conflict(claim: StoredAllocation, other: StoredAllocation) -> None:
    vlans = {vlan for _, vlan in claim.networks if vlan is not None} & {vlan for _, vlan in other.networks}
    values = [*(f"VLAN {vlan}" for vlan in sorted(vlans)), *sorted(set(claim.public) & set(other.public))]
    if values:
        raise SiteConflictError(
            "Another owner holds this at the site",
            f"{', '.join(values)} is held by {other.address} of stack {other.lineage[:8]}. Plan again.",
        )


def _observed(machine: StoredMachine) -> ObservedNode:
    return ObservedNode(
        address=machine.address,
        generation=machine.generation,
        status="running" if machine.running else "off",
        cpus=machine.cpus,
        memory_mib=machine.memory_mib,
        op=machine.op,
    )


def _holding(machine: StoredMachine) -> CapacityUse:
    return CapacityUse(
        owner=f"{machine.address} of stack {machine.lineage[:8]}",
        cpus=machine.cpus if machine.running else 0,
        memory_mib=machine.memory_mib if machine.running else 0,
        disk_bytes=machine.disk_bytes,
        lineage=machine.lineage,
        address=machine.address,
    )


def _use(value: str, held: StoredAllocation) -> PoolUse:
    owner = f"{held.address} of stack {held.lineage[:8]}"
    return PoolUse(value=value, owner=owner, lineage=held.lineage, address=held.address)
