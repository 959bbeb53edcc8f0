"""Values that the tests of the state record."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pragmaspec.planning.plan import Action, Verb
from pragmaspec.resources import Allocation, Blob, Network, Nic, Node, PublicGrant, StagedImage
from pragmaspec.site import LibvirtSite, PublicNetwork, SimulatedSite
from pragmaspec.state_model import Record, State

NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
"""Settings of hypothesis for tests that may be slow on a busy machine."""

LINEAGE = "3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607"
DIGEST = "ab" * 32
IMAGE = StagedImage(
    site="lab", digest=DIGEST, name="debian-12", format="qcow2", disk=Blob(sha256=DIGEST, size_bytes=7), virtual_size_bytes=9
)
ALLOCATION = Allocation(
    site="lab",
    cluster="hello",
    networks=(Network(name="private", cidr="10.22.0.0/24", vlan=22),),
    public=(PublicGrant(node="hello-frontend", address="192.0.2.10", prefix=24, network="default"),),
)


def node(index: int, *, cluster: str = "hello", keys: str = "k1", running: bool = True) -> Node:
    """Compute ``index`` of a cluster; -1 is the frontend."""
    nic = Nic(network="private", mac="52:54:00:00:00:01", address=f"10.22.0.{10 + index}", prefix=24)
    return Node(
        site="lab",
        cluster=cluster,
        name=f"{cluster}-frontend" if index < 0 else f"{cluster}-compute-{index}",
        role="frontend" if index < 0 else "compute",
        index=max(index, 0),
        cpus=1,
        memory_mib=1024,
        disk_bytes=9,
        image=DIGEST,
        nics=(nic,),
        running=running,
        keys=keys,
    )


def act(verb: Verb, resource: Node | Allocation | StagedImage, *after: Action, generation: int = 0) -> Action:
    return Action(verb=verb, resource=resource, reason="test", generation=generation, after=tuple(a.key for a in after))


def words() -> st.SearchStrategy[str]:
    return st.text(max_size=12)


def records() -> st.SearchStrategy[Record]:
    """Any record, also with unusual text."""
    nics = st.builds(Nic, network=words(), mac=words(), address=words(), prefix=st.integers(0, 32), dns=st.tuples(words()))
    nodes = st.builds(
        Node,
        site=st.sampled_from(["lab", "x"]),
        cluster=words(),
        name=words(),
        role=st.sampled_from(["frontend", "compute"]),
        index=st.integers(0, 10_000),
        cpus=st.integers(1, 512),
        memory_mib=st.integers(1, 2**40),
        disk_bytes=st.integers(0, 2**60),
        image=words(),
        nics=st.lists(nics, max_size=2).map(tuple),
        running=st.booleans(),
        keys=words(),
        peers=words(),
    )
    allocations = st.builds(Allocation, site=words(), cluster=words(), networks=st.just(ALLOCATION.networks))
    return st.builds(
        Record,
        resource=st.one_of(nodes, allocations, st.just(IMAGE)),
        status=st.sampled_from(["pending", "ready", "degraded"]),
        generation=st.integers(0, 9),
        outputs=st.lists(st.tuples(words(), words()), max_size=2).map(tuple),
        problem=words(),
    )


def states() -> st.SearchStrategy[State]:
    sites = st.sampled_from(
        [(), (LibvirtSite(name="lab", public=PublicNetwork(network="default")), SimulatedSite(name="x", parallel=2))]
    )
    return st.builds(
        lambda found, serial, chosen: State(lineage=LINEAGE, serial=serial, sites=chosen).with_records(found),
        st.lists(records(), max_size=8),
        st.integers(0, 10**6),
        sites,
    )
