"""Builders of specs, states and observations for planning tests."""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from hashlib import sha256
from ipaddress import IPv4Network
from itertools import count

from msgspec.structs import replace

from pragmaspec.errors import PlanError, Where
from pragmaspec.planning.late.members import LATER, members_digest
from pragmaspec.planning.late.values import with_public_address, with_values
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.observed import (
    HostCpu,
    HostDevice,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedDisk,
    ObservedNode,
    ObservedVolume,
    PublicPool,
    SiteIdentity,
)
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.planner import make_plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move, Wanted, WantedCluster, WantedImage, WantedNodes
from pragmaspec.resources import Allocation, Blob, Node, Outputs, Resource, StagedImage, Volume
from pragmaspec.site import LibvirtSite, Site
from pragmaspec.state_model import Record, State

LINEAGE = "3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607"
LAB = LibvirtSite(name="lab")
GIB = 2**30
IDENTITY = SiteIdentity(id="cafe", title="libvirt, qemu:///system")
ROOMY = Inventory(
    identity=IDENTITY,
    cpus=10_000,
    memory_mib=64 * 2**20,
    disk_bytes=2**50,
    disk_free_bytes=2**49,
    cpus_per_node=64,
    public=PublicPool(network="default", cidr="192.168.122.0/24", gateway="192.168.122.1", dns=("192.168.122.1",)),
    processors=("host", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "EPYC-Milan"),
    device_aliases=("gpu",),
    host_devices=tuple(HostDevice(address=f"0000:{bus:02x}:00.0", aliases=("gpu",)) for bus in range(0x41, 0x81)),
    host_cpus=tuple(HostCpu(id=cpu, core=cpu - cpu % 2, cell=cpu // 8) for cpu in range(256)),
)
EMPTY = State(lineage=LINEAGE)


def image(
    name: str = "debian-12",
    version: str = "",
    *,
    digest_of: str = "",
    size_mib: int = 612,
    virtual_gib: int = 4,
    cloud_init: bool = True,
) -> WantedImage:
    digest = sha256(f"{digest_of or name}{version}".encode()).hexdigest()
    return WantedImage(
        name=name,
        origin=f"./{name}.qcow2",
        digest=digest,
        format="qcow2",
        disk=Blob(sha256=digest, size_bytes=size_mib * 2**20),
        virtual_size_bytes=virtual_gib * GIB,
        cloud_init=cloud_init,
    )


def line(number: int) -> Where:
    return Where(file="spec.yaml", line=number)


def nodes(count: int, *, memory_mib: int = 1024, cpus: int = 1, of: str = "debian-12", **more: object) -> WantedNodes:
    return WantedNodes(
        **{"count": count, "cpus": cpus, "memory_mib": memory_mib, "image": of, "where": line(11 + (count > 1)), **more}
    )


def cluster(name: str = "hello", *, computes: int | WantedNodes = 2, site: str = "lab", **more: object) -> WantedCluster:
    """Return a cluster; ``computes``: their number, or their settings."""
    defaults = {
        "name": name,
        "site": site,
        "frontend": nodes(1),
        "computes": nodes(computes) if isinstance(computes, int) else computes,
        "ssh_keys": ("ssh-ed25519 AAAA ada",),
        "where": line(8),
    }
    return WantedCluster(**{**defaults, **more})


def wanted(
    *clusters: WantedCluster,
    sites: tuple[Site, ...] = (LAB,),
    images: tuple[WantedImage, ...] = (image(),),
    digest: str = "0" * 64,
    moves: tuple[Move, ...] = (),
) -> Wanted:
    return Wanted(spec_file="spec.yaml", spec_sha256=digest, sites=sites, images=images, clusters=clusters, moves=moves)


def planned(spec: Wanted, state: State = EMPTY, *, request: PlanRequest | None = None, **more: object) -> Plan:
    """Return the plan at sites that match ``state`` and have ample capacity; ``more``: observations, inventories."""
    names = {site.name for site in spec.sites} | {site.name for site in state.sites}
    observations = more.get("observations", {name: observed(with_moves(spec, state), name) for name in names})
    inventories = more.get("inventories", dict.fromkeys(names, ROOMY))
    return make_plan(spec, state, observations, inventories, request or PlanRequest())


def with_moves(spec: Wanted, state: State) -> State:
    """Return ``state`` with the moves of ``spec``, or unchanged if they are refused."""
    try:
        return moved_state(state, spec.moves)
    except PlanError:
        return state


def applied_state(*clusters: WantedCluster, **more: object) -> State:
    """Return the state after applying ``clusters``."""
    spec = wanted(*clusters, **more)
    return applied(planned(spec), EMPTY)


def action_names(plan: Plan) -> list[str]:
    """Return the actions as ``boot hello-compute-2``."""
    return [f"{action.verb} {name_of(action.resource)}" for action in plan.actions]


def name_of(resource: Resource) -> str:
    return resource.name if isinstance(resource, (Node, StagedImage, Volume)) else resource.cluster


def action(plan: Plan, verb_and_name: str) -> Action:
    return next(each for each in plan.actions if f"{each.verb} {name_of(each.resource)}" == verb_and_name)


def in_order(plan: Plan) -> list[Action]:
    """Return the actions in a valid order. Raises CycleError."""
    actions = {each.key: each for each in plan.actions}
    return [actions[key] for key in TopologicalSorter({key: each.after for key, each in actions.items()}).static_order()]


def applied(plan: Plan, state: State) -> State:
    """Return ``state`` after a successful apply of ``plan``."""
    state = moved_state(state, plan.moves)
    for each in in_order(plan):
        before = state.record(each.address)
        if each.verb == "clean":
            state = state.without(each.address)
        else:
            origin = before.origin if before else ""
            resource = _with_late_values(_outcome(each, before), each, state, plan)
            state = state.with_record(Record(resource=resource, generation=each.generation, origin=origin))
    sites = {site.name: site for site in (*state.sites, *(known.site for known in plan.sites))}
    return replace(state, serial=state.serial + 1, sites=tuple(sites[name] for name in sorted(sites)))


def _outcome(done: Action, before: Record | None) -> Resource:
    """Return the applied resource. Existing nodes learn new keys and members only from ``update``."""
    resource = done.resource
    if isinstance(resource, Node):
        if done.verb == "shutdown":
            resource = replace(resource, running=False)
        if done.verb != "update" and before and isinstance(before.resource, Node) and before.generation == done.generation:
            told = before.resource
            resource = replace(resource, keys=told.keys, peers=told.peers, users=told.users)
    return resource


def _with_late_values(resource: Resource, done: Action, state: State, plan: Plan) -> Resource:
    """Return ``resource`` with the values that its site chooses when the action is done."""
    late = next((known.site.late_values for known in plan.sites if known.site.name == resource.site), ())
    if not late or isinstance(resource, (StagedImage, Volume)):
        return resource
    if isinstance(resource, Allocation):
        return with_values(resource, _public_outputs(resource, state)) if done.verb == "allocate" else resource
    allocation = state.record(f"{resource.site}/{resource.cluster}/allocation").resource
    if done.verb == "boot":
        resource = with_public_address(resource, allocation)
        if resource.peers == LATER:
            resource = replace(resource, peers=members_digest(allocation, _members(resource, allocation, state, plan), "local"))
        return with_values(resource, tuple(_boot_outputs(resource, done.generation, allocation, state)))
    if done.verb == "update" and resource.peers == LATER:
        known = state.record(done.address).resource
        members = _members(resource, allocation, state, plan)
        return replace(resource, nics=known.nics, peers=members_digest(allocation, members, "local"))
    return resource


def _with_known(node: Node, before: Node) -> Node:
    known = {nic.network: nic for nic in before.nics}
    nics = ((nic, known.get(nic.network, nic)) for nic in node.nics)
    return replace(
        node, nics=tuple(replace(nic, mac=nic.mac or old.mac, address=nic.address or old.address) for nic, old in nics)
    )


def _members(node: Node, allocation: Allocation, state: State, plan: Plan) -> list[Node]:
    """The members that the cluster of ``node`` has after ``plan``, with the values that are known in ``state``."""
    removed = {each.address for each in plan.actions if each.verb == "clean"}
    members = {each.address: each for each in state.nodes(node.cluster) if each.site == node.site and each.address not in removed}
    for each in plan.actions:
        booted = each.resource
        if each.verb == "boot" and isinstance(booted, Node) and (booted.site, booted.cluster) == (node.site, node.cluster):
            before = state.record(each.address)
            same = before is not None and before.generation == each.generation
            members[each.address] = _with_known(with_public_address(booted, allocation), before.resource if same else booted)
    return list(members.values())


def _public_outputs(allocation: Allocation, state: State) -> Outputs:
    taken = {
        grant.address for record in state.records if isinstance(record.resource, Allocation) for grant in record.resource.public
    }
    free = (f"203.0.113.{number}" for number in range(1, 255) if f"203.0.113.{number}" not in taken)
    return tuple((f"public:{grant.node}", next(free)) for grant in allocation.public if not grant.address)


def _boot_outputs(node: Node, generation: int, allocation: Allocation, state: State) -> Iterator[tuple[str, str]]:
    cidrs = {network.name: IPv4Network(network.cidr, strict=False) for network in allocation.networks}
    taken = {(nic.network, nic.address) for other in state.nodes(node.cluster) for nic in other.nics}
    macs = {nic.mac for other in state.nodes() for nic in other.nics}
    for nic in node.nics:
        if not nic.mac:
            names = (f"{node.address} {generation} {nic.network}{' again' * attempt}" for attempt in count())
            found = (f"fa:16:{sha256(name.encode()).digest()[:4].hex(':')}" for name in names)
            yield f"mac:{nic.network}", next(mac for mac in found if mac not in macs)
        if not nic.address:
            hosts = (str(cidrs[nic.network].network_address + offset) for offset in range(100, 255))
            yield f"address:{nic.network}", next(each for each in hosts if (nic.network, each) not in taken)


def observed(state: State, site: str = "lab") -> Observations:
    """Return observations of ``site`` that match ``state``."""
    here = [record for record in state.records if record.resource.site == site]
    return Observations(
        site=site,
        identity=SiteIdentity(id=site, title=f"libvirt at {site}"),
        nodes=tuple(_seen(record, record.resource) for record in here if isinstance(record.resource, Node)),
        allocations=tuple(
            ObservedAllocation(
                address=record.original_address,
                networks=tuple(network.name for network in record.resource.networks),
                public=tuple(grant.address for grant in record.resource.public),
            )
            for record in here
            if isinstance(record.resource, Allocation)
        ),
        images=tuple(record.resource.digest for record in here if isinstance(record.resource, StagedImage)),
        volumes=tuple(
            ObservedVolume(address=record.original_address, size_bytes=record.resource.size_bytes)
            for record in here
            if isinstance(record.resource, Volume)
        ),
    )


def _seen(record: Record, node: Node) -> ObservedNode:
    return ObservedNode(
        address=record.original_address,
        generation=record.generation,
        status="running" if node.running else "off",
        cpus=node.cpus,
        memory_mib=node.memory_mib,
        disks=tuple(ObservedDisk(name=disk.name, size_bytes=disk.size_bytes) for disk in node.own_disks),
    )


def observed_with(state: State, name: str, **facts: object) -> Observations:
    """Return observations with ``facts`` of the node called ``name``; without facts it is missing."""
    seen = observed(state)
    others = tuple(node for node in seen.nodes if not node.address.endswith(f"/{name}"))
    this = next(node for node in seen.nodes if node.address.endswith(f"/{name}"))
    return replace(seen, nodes=(*others, replace(this, **facts)) if facts else others)
