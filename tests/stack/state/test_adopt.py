from msgspec.structs import replace

from pragmaspec.planning.observed import Inventory, ObservedAllocation, ObservedNode, ObservedVolume, PoolUse, SiteIdentity
from pragmaspec.planning.orphans import Orphan
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNetwork, WantedNodes
from pragmaspec.resources import Allocation, Network, Nic, Node, SizeRequest, StagedImage, Volume
from pragmaspec.stack.state.adopt import (
    adopted_record,
    adoption_order,
    recorded_ranges,
    with_current_address,
    with_held_allocations,
)
from pragmaspec.state_model import Record, State

NODE = "lab/hello/node/hello-compute-7"
ALLOCATION = "lab/hello/allocation"
EMPTY = Inventory(
    identity=SiteIdentity(id="x", title="x"), cpus=1, memory_mib=1, disk_bytes=1, disk_free_bytes=1, cpus_per_node=1
)


def _orphan(seen: ObservedNode | ObservedAllocation) -> Orphan:
    return Orphan(site="lab", address=seen.address, kind="node" if isinstance(seen, ObservedNode) else "allocation", seen=seen)


def _wanted_node(**overrides) -> Node:
    return Node(
        **{
            "site": "lab",
            "cluster": "hello",
            "name": "hello-compute-7",
            "role": "compute",
            "index": 7,
            "cpus": 2,
            "memory_mib": 1024,
            "disk_bytes": 5,
            "image": "i" * 64,
            "nics": (),
            "keys": "k",
            "peers": "p",
            **overrides,
        }
    )


def test_a_node_missing_from_the_spec_is_recorded_as_observed() -> None:
    seen = ObservedNode(address=NODE, generation=3, status="running", cpus=4, memory_mib=2048, op="o" * 32, id="m-9")
    record = adopted_record(_orphan(seen), {})
    node = record.resource
    assert isinstance(node, Node)
    assert (node.address, node.role, node.index, node.running, node.cpus) == (NODE, "compute", 7, True, 4)
    assert (record.status, record.generation, record.op, record.site_id) == ("degraded", 3, "o" * 32, "m-9")
    frontend = adopted_record(
        _orphan(ObservedNode(address="lab/hello/node/hello-frontend", generation=0, status="off")), {}
    ).resource
    assert isinstance(frontend, Node)
    assert (frontend.role, frontend.index, frontend.running) == ("frontend", 0, False)


def test_a_node_of_a_group_is_recognised_by_its_name() -> None:
    seen = ObservedNode(address="lab/hello/node/hello-gpu-x-2", generation=0, status="running")
    node = adopted_record(_orphan(seen), {}).resource
    assert isinstance(node, Node)
    assert (node.role, node.group, node.index) == ("compute", "gpu-x", 2)


def test_a_node_in_the_spec_is_recorded_with_observed_sizes_and_without_guest_digests() -> None:
    seen = ObservedNode(address=NODE, generation=0, status="running", cpus=1, memory_mib=512)
    node = adopted_record(_orphan(seen), {NODE: _wanted_node()}).resource
    assert node == _wanted_node(cpus=1, memory_mib=512, keys="", peers="")
    off = adopted_record(_orphan(ObservedNode(address=NODE, generation=0, status="off")), {NODE: _wanted_node()}).resource
    assert off == _wanted_node(running=False, keys="", peers="")


def test_a_node_in_the_spec_is_recorded_with_its_observed_flavor() -> None:
    seen = ObservedNode(address=NODE, generation=0, status="running", cpus=1, memory_mib=512, flavor="m1.tiny")
    asked = _wanted_node(flavor="m1.small", requested=SizeRequest(cpus=1))
    node = adopted_record(_orphan(seen), {NODE: asked}).resource
    assert isinstance(node, Node)
    assert (node.flavor, node.cpus, node.requested) == ("m1.tiny", 1, SizeRequest(cpus=1))
    unreported = adopted_record(_orphan(replace(seen, flavor=None)), {NODE: asked}).resource
    assert isinstance(unreported, Node)
    assert unreported.flavor == "m1.small"


def test_a_node_without_its_disk_is_recorded_without_an_image() -> None:
    seen = ObservedNode(address=NODE, generation=0, status="undefined", disk=False)
    node = adopted_record(_orphan(seen), {NODE: _wanted_node()}).resource
    assert isinstance(node, Node)
    assert node.image == ""


def test_an_allocation_missing_from_the_spec_keeps_its_claims() -> None:
    seen = ObservedAllocation(address=ALLOCATION, networks=("data", "private"), public=("192.0.2.5",), vlans=(("private", 20),))
    held = adopted_record(_orphan(seen), {}).resource
    assert isinstance(held, Allocation)
    assert [(network.name, network.vlan) for network in held.networks] == [("private", 20), ("data", None)]
    assert [grant.address for grant in held.public] == ["192.0.2.5"]
    assert adopted_record(_orphan(ObservedAllocation(address=ALLOCATION)), {}).resource.address == ALLOCATION


def test_an_allocation_in_the_spec_is_recorded_with_the_observed_vlan() -> None:
    requested = Allocation(site="lab", cluster="hello", networks=(Network(name="private", cidr="10.21.0.0/16", vlan=21),))
    held = adopted_record(
        _orphan(ObservedAllocation(address=ALLOCATION, vlans=(("private", 20),))), {ALLOCATION: requested}
    ).resource
    assert isinstance(held, Allocation)
    assert held.private.vlan == 20


def test_an_image_missing_from_the_spec_is_recorded_by_its_digest() -> None:
    orphan = Orphan(site="lab", address=f"lab/image/{'d' * 16}", kind="image", digest="d" * 64)
    image = adopted_record(orphan, {}).resource
    assert isinstance(image, StagedImage)
    assert (image.address, image.digest) == (orphan.address, "d" * 64)


def test_nodes_are_adopted_last() -> None:
    node = _orphan(ObservedNode(address=NODE, generation=0, status="off"))
    allocation = _orphan(ObservedAllocation(address=ALLOCATION))
    assert adoption_order((node, allocation)) == ((allocation,), (node,))


def test_a_cluster_requests_the_allocation_it_already_holds() -> None:
    nodes = WantedNodes(count=1, cpus=1, memory_mib=1, image="i")
    cluster = WantedCluster(
        name="hello", site="lab", frontend=nodes, computes=nodes, networks=(WantedNetwork(name="data", cidr="192.168.7.0/24"),)
    )
    other = WantedCluster(name="other", site="lab", frontend=nodes, computes=nodes)
    wanted = Wanted(spec_file="x", spec_sha256="x", sites=(), images=(), clusters=(cluster, other))
    seen = ObservedAllocation(address=ALLOCATION, public=("192.0.2.5",), vlans=(("private", 20), ("data", 21)))
    first, second = with_held_allocations(wanted, State(lineage="l"), [_orphan(seen)], {"lab": EMPTY}).clusters
    assert (first.vlan, first.cidr, first.public.kind, first.public.address) == (20, None, "address", "192.0.2.5")
    assert second == other
    nic = Nic(network="private", mac="", address="10.9.0.10", prefix=16)
    recorded = State(lineage="l").with_record(Record(resource=replace(_wanted_node(), nics=(nic,))))
    assert with_held_allocations(wanted, recorded, [_orphan(seen)], {"lab": EMPTY}).clusters[0].cidr == "10.9.0.0/16"
    reported = replace(EMPTY, cidrs=(PoolUse(value="10.8.0.0/16", owner="hello", lineage="l", address=ALLOCATION),))
    assert with_held_allocations(wanted, recorded, [_orphan(seen)], {"lab": reported}).clusters[0].cidr == "10.8.0.0/16"
    ranges = recorded_ranges(recorded, "lab", "hello")
    assert (ranges, recorded_ranges(recorded, "lab", "other")) == ({"private": "10.9.0.0/16"}, {})
    held = adopted_record(_orphan(seen), {}, ranges).resource
    assert isinstance(held, Allocation)
    assert [network.cidr for network in held.networks] == ["10.9.0.0/16", "0.0.0.0/0"]


def test_an_orphan_is_renamed_like_the_records_of_its_cluster() -> None:
    orphan = replace(_orphan(ObservedNode(address=NODE, generation=0, status="off")), site="hall")
    sibling = replace(_wanted_node(), site="hall", cluster="world", name="world-compute-1", index=1)
    state = State(lineage="x").with_record(Record(resource=sibling, origin="lab/hello/node/hello-compute-1"))
    assert with_current_address(orphan, state).address == "hall/world/node/world-compute-7"
    granted = replace(_orphan(ObservedAllocation(address=ALLOCATION)), site="hall")
    assert with_current_address(granted, state).address == "hall/world/allocation"
    assert with_current_address(orphan, State(lineage="x")) == orphan
    image = Orphan(site="hall", address="hall/image/abc", kind="image", digest="abc")
    assert with_current_address(image, state) == image


def test_a_volume_is_adopted_with_its_size() -> None:
    seen = ObservedVolume(address="lab/volume/home", size_bytes=2**30, op="a" * 32, id="v-1")
    orphan = Orphan(site="lab", address=seen.address, kind="volume", seen=seen)
    record = adopted_record(orphan, {})
    assert record.resource == Volume(site="lab", name="home", size_bytes=2**30, format="none")
    assert (record.status, record.op, record.site_id) == ("degraded", "a" * 32, "v-1")
    asked = Volume(site="lab", name="home", size_bytes=2**31, format="xfs", cluster="hello")
    assert adopted_record(orphan, {seen.address: asked}).resource == replace(asked, size_bytes=2**30)
    moved = Record(resource=Volume(site="lab", name="world-frontend-home", size_bytes=1), origin="lab/volume/hello-frontend-home")
    assert with_current_address(orphan, State(lineage="l", records=(moved,))) == orphan
