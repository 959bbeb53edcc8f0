"""Small plans and states for rendering."""

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.planning.plan import Action, Drift, Plan, PlannedSite
from pragmaspec.resources import Allocation, Blob, Network, Nic, Node, PublicGrant, StagedImage
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import Record, State

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"
IMAGE = StagedImage(
    site="lab",
    digest="ab" * 32,
    name="debian-12",
    format="qcow2",
    disk=Blob(sha256="ab" * 32, size_bytes=612 * 2**20),
    virtual_size_bytes=4 * 2**30,
)
ALLOCATION = Allocation(
    site="lab",
    cluster="hello",
    networks=(Network(name="private", cidr="10.22.0.0/24", vlan=22),),
    public=(PublicGrant(node="hello-frontend", address="192.168.122.10", prefix=24),),
)
SITE = LibvirtSite(name="lab")
SEEN = SiteIdentity(id="host-1", title="libvirt, qemu:///system, emulated", virt_type="qemu")


def node(index: int = -1, **changes: object) -> Node:
    """Return the frontend (-1) or a compute of ``hello``."""
    name = "hello-frontend" if index < 0 else f"hello-compute-{index}"
    private = Nic(
        network="private", mac=f"52:00:00:00:00:{index + 1:02x}", address=f"10.22.0.{1 if index < 0 else 10 + index}", prefix=24
    )
    public = Nic(
        network="public", mac="52:00:00:00:01:00", address="192.168.122.10", prefix=24, gateway="192.168.122.1", dns=("1.1.1.1",)
    )
    made = Node(
        site="lab",
        cluster="hello",
        name=name,
        role="frontend" if index < 0 else "compute",
        index=max(index, 0),
        cpus=1,
        memory_mib=1024,
        disk_bytes=4 * 2**30,
        image="ab" * 32,
        nics=(private, public) if index < 0 else (private,),
    )
    return replace(made, **changes)


def line(number: int) -> Where:
    return Where(file="cluster.yaml", line=number)


def plan(*actions: Action, drift: tuple[Drift, ...] = (), partial: bool = False, asked: bool = True) -> Plan:
    return Plan(
        lineage=LINEAGE,
        serial=3,
        state_sha256="cd" * 32,
        spec_file="cluster.yaml",
        spec_sha256="ef" * 32,
        tool="0.1.0",
        sites=(PlannedSite(site=SITE, identity=SEEN if asked else None),),
        actions=actions,
        drift=drift,
        partial=partial,
    )


def first_plan(computes: int = 2) -> Plan:
    """Return the plan of a new cluster."""
    stage = Action(verb="stage", resource=IMAGE, reason="not at the site yet", where=line(2))
    allocate = Action(verb="allocate", resource=ALLOCATION, reason="new cluster", where=line(8))
    after = (stage.key, allocate.key)
    boots = [
        Action(verb="boot", resource=node(index), reason="new", where=line(11 if index < 0 else 12), after=after)
        for index in range(-1, computes)
    ]
    return plan(stage, allocate, *boots)


def rebooted(before: Node, after: Node, reason: str = "memory changed") -> tuple[Action, Action]:
    down = Action(verb="shutdown", resource=before, before=before, reason=reason, impact="reboot", where=line(12))
    return down, Action(
        verb="boot", resource=after, before=before, reason=reason, impact="reboot", where=line(12), after=(down.key,)
    )


def rebuilt(before: Node, after: Node, reason: str = "image changed") -> tuple[Action, ...]:
    down, clean, boot = (
        Action(verb=verb, resource=resource, before=before, reason=reason, impact="rebuild", where=line(12))
        for verb, resource in (("shutdown", before), ("clean", before), ("boot", after))
    )
    return down, replace(clean, after=(down.key,)), replace(boot, after=(clean.key,), generation=1)


def removed(gone: Node) -> tuple[Action, ...]:
    down = Action(verb="shutdown", resource=gone, before=gone, reason="no longer wanted")
    return down, Action(
        verb="clean", resource=gone, before=gone, reason="no longer wanted", impact="data-loss", after=(down.key,)
    )


def state(*records: Record) -> State:
    return State(lineage=LINEAGE, serial=3, sites=(SITE,)).with_records(records)


def running_state() -> State:
    """Return the state after :func:`first_plan`, with one compute degraded and one off."""
    return state(
        Record(resource=IMAGE),
        Record(resource=ALLOCATION),
        Record(resource=node(), outputs=(("domain", "hello-frontend.3f9a1c2b"),)),
        Record(resource=node(0), status="degraded", generation=2, problem="Not ready: cloud-init\nlast line \x1b[31mred"),
        Record(resource=node(1, running=False)),
    )
