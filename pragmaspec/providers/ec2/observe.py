"""Objects of a stack, and the use of a site by all owners."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from pragmaspec.planning.observed import (
    CapacityUse,
    Difference,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedInterface,
    ObservedNode,
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
from pragmaspec.providers.gibibytes import GIB, whole_gib
from pragmaspec.resources import Mark, Node
from pragmaspec.state_model import State

PUBLIC_NETWORK = "internet"


def observations(service: Service, sizes: Sizes, identity: SiteIdentity, lineage: str, recorded: State | None) -> Observations:
    """Return everything that carries marks of a stack."""
    machines = machines_of(service, lineage)
    frontends = _frontends(recorded)
    return Observations(
        site=service.site,
        identity=identity,
        nodes=tuple(_observed(sizes, each, each.mark, frontends) for each in machines if each.mark),
        allocations=tuple(_allocations(service, lineage)),
        images=staged_for(own_images(service), lineage),
        store="the account",
    )


def _observed(sizes: Sizes, machine: Machine, mark: Mark, frontends: set[str]) -> ObservedNode:
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
    return Inventory(
        identity=identity,
        cpus=0,
        memory_mib=0,
        disk_bytes=0,
        disk_free_bytes=0,
        cpus_per_node=max((each.cpus for each in flavors), default=0),
        holdings=tuple(_holdings(service, sizes, machines)),
        public=PublicPool(network=PUBLIC_NETWORK),
        addresses=tuple(_address_uses(service)),
        cidrs=tuple(_cidr_uses(service)),
        images=tuple(sorted({each.digest for each in own_images(service) if each.ready})),
        flavors=flavors,
        quotas=site_quotas(service, sizes, machines),
        reports_capacity=False,
        refused=tuple(refused_images(service)),
    )


def _holdings(service: Service, sizes: Sizes, machines: Sequence[Machine]) -> Iterator[CapacityUse]:
    volumes = _volume_sizes(service) if any(each.volumes for each in machines) else {}
    now = service.connection.clock.now()
    for machine in machines:
        flavor = sizes.of_machine(machine.type)
        running = machine.status == "running"
        use = CapacityUse.by(
            machine.mark,
            machine.name or machine.id,
            cpus=flavor.cpus if flavor and running else 0,
            memory_mib=flavor.memory_mib if flavor and running else 0,
            disk_bytes=_disk_bytes(machine, volumes) or (flavor.disk_bytes if flavor else 0),
        )
        running_s = int(now - machine.launched) if running and machine.launched else 0
        yield replace(use, flavor=machine.type, running_s=max(0, running_s))


def _volume_sizes(service: Service) -> dict[str, int]:
    listed = service.connection.listed("describe_volumes", "Volumes")
    return {each["VolumeId"]: int(each["Size"]) for each in listed}


def _disk_bytes(machine: Machine, volumes: Mapping[str, int]) -> int:
    """Return the size of the disks; the requested size of the first one if the service has only rounded it up."""
    sizes_gib = [volumes.get(each, 0) for each in machine.volumes]
    total = sum(sizes_gib) * GIB
    root = volumes.get(machine.root_volume, 0)
    rounded = whole_gib(machine.disk_bytes)
    return total - root * GIB + machine.disk_bytes if machine.disk_bytes and rounded <= root else total


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
