"""Objects of a stack, and the use of a site by all owners."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from pragmaspec.planning.observed import (
    CapacityUse,
    Difference,
    DiskOffer,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedDisk,
    ObservedInterface,
    ObservedNode,
    ObservedVolume,
    PoolUse,
    PublicPool,
    SiteIdentity,
)
from pragmaspec.providers.ec2.addresses import Holder, holder_of, public_addresses
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.machines import Machine, all_machines, machines_of
from pragmaspec.providers.ec2.marks import marked_by_note, marked_of
from pragmaspec.providers.ec2.network_parts import ClusterParts, find_all_parts
from pragmaspec.providers.ec2.network_release import gateways_of
from pragmaspec.providers.ec2.quotas import site_quotas
from pragmaspec.providers.ec2.rules import wanted_rules
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.providers.ec2.staged_images import own_images, refused_images, staged_for
from pragmaspec.providers.ec2.volumes import EbsVolume, all_volumes, volumes_of
from pragmaspec.providers.gibibytes import GIB, whole_gib
from pragmaspec.resources import Mark, Node
from pragmaspec.state_model import State

PUBLIC_NETWORK = "internet"


def observations(service: Service, sizes: Sizes, identity: SiteIdentity, lineage: str, recorded: State | None) -> Observations:
    """Return everything that carries marks of a stack."""
    machines = machines_of(service, lineage)
    volumes = volumes_of(service, lineage) if service.has_disks else []
    attached = {each.id: [volume for volume in volumes if volume.machine == each.id] for each in machines}
    frontends = _frontends(recorded)
    return Observations(
        site=service.site,
        identity=identity,
        nodes=tuple(_observed(sizes, each, each.mark, attached[each.id], frontends) for each in machines if each.mark),
        allocations=tuple(_allocations(service, lineage)),
        images=staged_for(own_images(service), lineage),
        store="the account",
        volumes=tuple(
            ObservedVolume(address=each.mark.address, size_bytes=each.size_bytes, op=each.mark.op, id=each.id, made=each.made)
            for each in volumes
            if each.kept and each.mark
        ),
    )


def _observed(sizes: Sizes, machine: Machine, mark: Mark, attached: Sequence[EbsVolume], frontends: set[str]) -> ObservedNode:
    flavor = sizes.of_machine(machine.type)
    return ObservedNode(
        address=mark.address,
        generation=mark.generation,
        status=machine.status,
        cpus=flavor.cpus if flavor else 0,
        memory_mib=flavor.memory_mib if flavor else 0,
        flavor=machine.type,
        op=mark.op,
        id=machine.id,
        made=machine.made,
        interfaces=tuple(ObservedInterface(network=each.network, mac=each.mac) for each in machine.interfaces),
        disks=tuple(ObservedDisk(name=each.disk, size_bytes=each.size_bytes) for each in attached if each.disk),
        volumes=tuple(each.kept for each in attached if each.kept),
        differences=tuple(_differences(machine)) if mark.address in frontends else (),
    )


def _differences(machine: Machine) -> Iterator[Difference]:
    """Yield the differences of a frontend, whose interfaces forward packets of others."""
    for each in machine.interfaces:
        if each.checked:
            yield Difference(detail=f"interface {each.id} has the source/destination check, which its frontend must not have")


def _frontends(recorded: State | None) -> set[str]:
    records = recorded.records if recorded else ()
    return {
        record.original_address for record in records if isinstance(record.resource, Node) and record.resource.role == "frontend"
    }


def _allocations(service: Service, lineage: str) -> Iterator[ObservedAllocation]:
    found = find_all_parts(service, lineage)
    public = _public_addresses(service, lineage) if found else {}
    for address, parts in found.items():
        yield ObservedAllocation(
            address=address,
            networks=tuple(each.network for each in parts.subnets) or (("private",) if service.settings.subnet else ()),
            public=tuple(sorted(public.get(address, ()))),
            faults=tuple(_faults(service, parts, bool(public.get(address)))),
            op=parts.op,
            id=parts.id,
        )


def _faults(service: Service, parts: ClusterParts, is_public: bool) -> Iterator[str]:
    """Yield the missing parts of an allocation that a repeated call creates. Further rules of its group are not reported."""
    if is_public and parts.vpc and not gateways_of(service, parts.vpc):
        yield "has lost its internet gateway"
    missing = sorted(set(wanted_rules(service.settings)) - parts.rules)
    if missing and parts.group:
        yield f"does not accept {', '.join(each.text for each in missing)}"


def _public_addresses(service: Service, lineage: str) -> dict[str, list[str]]:
    """Return the public addresses of a stack, by the address of their allocations."""
    ids: dict[str, str] = {}
    for holder in holders(service, lineage):
        if holder.address_id:
            ids[holder.address_id] = holder.mark.address
    found: dict[str, list[str]] = {}
    for each in public_addresses(service) if ids else ():
        owner = ids.get(each["AllocationId"])
        if owner:
            found.setdefault(owner, []).append(each["PublicIp"])
    return found


def holders(service: Service, lineage: str) -> list[Holder]:
    """Return the holders of public addresses of a stack."""
    listed = service.owned("describe_network_interfaces", "NetworkInterfaces", lineage)
    return [each for each in map(holder_of, listed) if each and each.mark.lineage == lineage]


def site_inventory(service: Service, sizes: Sizes, identity: SiteIdentity) -> Inventory:
    """Return the instance types, and all uses of addresses and ranges. The capacity of the hosts is unknown.

    Raises SiteError if the service has no networks for clusters, so that a plan is refused.
    """
    service.require_vpcs()
    flavors, machines = sizes.offered(), tuple(all_machines(service))
    volumes = all_volumes(service) if service.has_disks or any(each.volumes for each in machines) else []
    return Inventory(
        identity=identity,
        cpus=0,
        memory_mib=0,
        disk_bytes=0,
        disk_free_bytes=0,
        cpus_per_node=max((each.cpus for each in flavors), default=0),
        holdings=(*_machine_uses(service, sizes, machines, volumes), *_volume_uses(machines, volumes)),
        public=PublicPool(network=PUBLIC_NETWORK),
        addresses=tuple(_address_uses(service)),
        cidrs=tuple(_cidr_uses(service)),
        images=tuple(sorted({each.digest for each in own_images(service) if each.ready})),
        flavors=flavors,
        quotas=site_quotas(service, sizes, machines, volumes),
        reports_capacity=False,
        volumes=tuple(PoolUse.by(each.kept, each.mark) for each in volumes if each.kept),
        disks=DiskOffer() if service.has_disks else DiskOffer(missing="Its service cannot let volumes grow."),
        refused=tuple(refused_images(service)),
    )


def _machine_uses(
    service: Service, sizes: Sizes, machines: Sequence[Machine], volumes: Sequence[EbsVolume]
) -> Iterator[CapacityUse]:
    now, by_id = service.connection.clock.now(), {each.id: each for each in volumes}
    for machine in machines:
        flavor = sizes.of_machine(machine.type)
        running = machine.status == "running"
        use = CapacityUse.by(
            machine.mark,
            machine.name or machine.id,
            cpus=flavor.cpus if flavor and running else 0,
            memory_mib=flavor.memory_mib if flavor and running else 0,
            disk_bytes=_disk_bytes(machine, by_id) or (flavor.disk_bytes if flavor else 0),
        )
        running_s = int(now - machine.launched) if running and machine.launched else 0
        yield replace(use, flavor=machine.type, running_s=max(0, running_s))


def _disk_bytes(machine: Machine, volumes: Mapping[str, EbsVolume]) -> int:
    """Return the size of the disks but volumes; the requested size of the first if the service has only rounded it up."""
    attached = [volumes[each] for each in machine.volumes if each in volumes]
    total = sum(each.size_bytes for each in attached if not each.kept and each.id != machine.root_volume)
    root = volumes.get(machine.root_volume)
    if root is None:
        return total
    rounded = machine.disk_bytes and whole_gib(machine.disk_bytes) <= root.gib
    return total + (machine.disk_bytes if rounded else root.gib * GIB)


def _volume_uses(machines: Sequence[Machine], volumes: Sequence[EbsVolume]) -> Iterator[CapacityUse]:
    """Yield the uses by volumes that outlive their nodes, and by those without a machine."""
    attached = {each for machine in machines for each in machine.volumes}
    for each in volumes:
        if each.kept or each.id not in attached:
            yield CapacityUse.by(each.mark, each.name or each.id, disk_bytes=each.size_bytes)


def _address_uses(service: Service) -> Iterator[PoolUse]:
    described = [each for each in public_addresses(service) if each.get("AssociationId")]
    interfaces = _interface_owners(service) if described else {}
    for each in described:
        mark = interfaces.get(each["AllocationId"]) or interfaces.get(each.get("NetworkInterfaceId", ""))
        yield PoolUse.by(each["PublicIp"], mark, each.get("InstanceId") or "another owner")


def _interface_owners(service: Service) -> dict[str, Mark]:
    """Return the marks of interfaces by their ids, and those of holders by the ids of their public addresses."""
    found: dict[str, Mark] = {}
    for each in service.connection.listed("describe_network_interfaces", "NetworkInterfaces"):
        marked = marked_by_note(each.get("Description", ""))
        holder = holder_of(each)
        if marked:
            found[each["NetworkInterfaceId"]] = marked.mark
        if holder and holder.address_id:
            found[holder.address_id] = holder.mark
    return found


def _cidr_uses(service: Service) -> Iterator[PoolUse]:
    """Yield the ranges that a private network must not have: those of subnets in a VPC that the options name."""
    settings = service.settings
    if not settings.vpc:
        return
    within = [{"Name": "vpc-id", "Values": [settings.vpc]}]
    for each in service.connection.listed("describe_subnets", "Subnets", Filters=within):
        yield _cidr_use(each)


def _cidr_use(subnet: Answer) -> PoolUse:
    marked = marked_of(subnet)
    return PoolUse.by(subnet["CidrBlock"], marked.mark if marked else None, subnet["SubnetId"])
