"""The choice of flavors."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.planning.allocation.flavor_errors import vanished_flavor_warnings
from pragmaspec.planning.allocation.flavors import SizeChooser, flavor_order, may_change_size
from pragmaspec.planning.planner import make_plan, sites_booting_nodes, sites_needing_inventory
from pragmaspec.resources import ANY_SIZE, Node, SizeRequest
from pragmaspec.site import Flavor
from tests.planning.builders import EMPTY, GIB, ROOMY, applied, cluster, image, nodes, observed, planned, wanted

ADDRESS = "lab/hello/node/hello-compute-0"
SMALL = Flavor(name="m1.small", cpus=1, memory_mib=2048, disk_bytes=20 * GIB)
MEDIUM = Flavor(name="m1.medium", cpus=2, memory_mib=4096, disk_bytes=40 * GIB)
FREE_DISK = Flavor(name="v1.large", cpus=4, memory_mib=8192)
GPU = Flavor(name="g1.tiny", cpus=1, memory_mib=1024, disk_bytes=10 * GIB, devices=(("gpu", 1),))
OFFERED = (MEDIUM, FREE_DISK, GPU, SMALL)


def recorded(flavor: Flavor | None, request: SizeRequest = ANY_SIZE, **more: object) -> Node:
    fields = {"cpus": 1, "memory_mib": 1024, "disk_bytes": 4 * GIB}
    if flavor is not None:
        disk_bytes = flavor.disk_bytes or 4 * GIB
        fields = {"cpus": flavor.cpus, "memory_mib": flavor.memory_mib, "disk_bytes": disk_bytes, "flavor": flavor.name}
    return Node(
        site="lab",
        cluster="hello",
        name="hello-compute-0",
        role="compute",
        index=0,
        image=image().digest,
        nics=(),
        requested=request,
        **{**fields, **more},
    )


def chosen(
    asked: object, before: Node | None = None, offered: tuple[Flavor, ...] | None = OFFERED, *, known: bool = True, **of: object
) -> tuple[object, ...]:
    chooser = SizeChooser("lab", offered, {ADDRESS: before} if before else {}, known=known)
    size = chooser.size("hello-compute-0", ADDRESS, asked, image(**of))
    return (size.flavor, size.cpus, size.memory_mib, size.disk_bytes // GIB, *(each.summary for each in chooser.problems))


def request(cpus: int = 1, memory_mib: int = 1024, disk_gib: int = 0, flavor: str = "") -> SizeRequest:
    return SizeRequest(cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_gib * GIB, flavor=flavor)


def test_the_smallest_flavor_without_devices_comes_first() -> None:
    assert [each.name for each in sorted(OFFERED, key=flavor_order)] == ["m1.small", "m1.medium", "v1.large", "g1.tiny"]


def test_equal_flavors_are_chosen_by_name() -> None:
    twins = (replace(SMALL, name="b"), replace(SMALL, name="a"), replace(SMALL, name="c", disk_bytes=30 * GIB))
    assert chosen(nodes(1), offered=twins)[0] == "a"


def test_a_new_node_gets_the_smallest_flavor_that_fits() -> None:
    assert chosen(nodes(1)) == ("m1.small", 1, 2048, 20)
    assert chosen(nodes(1, memory_mib=2049)) == ("m1.medium", 2, 4096, 40)
    assert chosen(nodes(1, disk_bytes=50 * GIB)) == ("v1.large", 4, 8192, 50)
    assert chosen(nodes(1), virtual_gib=30) == ("m1.medium", 2, 4096, 40)


def test_a_free_disk_has_the_size_of_the_image_unless_requested() -> None:
    assert chosen(nodes(1, cpus=4)) == ("v1.large", 4, 8192, 4)
    assert chosen(nodes(1, cpus=4, disk_bytes=5 * GIB)) == ("v1.large", 4, 8192, 5)


def test_sizes_are_free_where_a_site_offers_no_flavors() -> None:
    assert chosen(nodes(1, cpus=3), offered=None) == ("", 3, 1024, 4)
    assert chosen(nodes(1, cpus=3), recorded(None), offered=None) == ("", 3, 1024, 4)
    assert chosen(nodes(1, flavor="m1.small"), offered=None) == ("", 1, 1024, 4, "The site has no flavors")
    assert chosen(nodes(1, flavor="m1.small"), offered=None, known=False) == ("", 1, 1024, 4)


def test_a_named_flavor_must_exist_and_fit() -> None:
    assert chosen(nodes(1, cpus=0, memory_mib=0, flavor="g1.tiny")) == ("g1.tiny", 1, 1024, 10)
    assert chosen(nodes(1, flavor="m1.smal"))[-1] == "Unknown flavor"
    assert chosen(nodes(1, cpus=2, flavor="m1.small"))[-1] == "The flavor is too small"
    assert chosen(nodes(1, cpus=9))[-1] == "No flavor fits"
    only_disk = nodes(1, cpus=0, memory_mib=0, disk_bytes=99 * GIB, flavor="m1.small")
    assert chosen(only_disk)[-1] == "The flavor is too small"
    assert chosen(nodes(1, cpus=9), virtual_gib=0)[-1] == "No flavor fits"


def test_a_device_that_no_flavor_has_is_named() -> None:
    def advice(*devices: tuple[str, int], offered: tuple[Flavor, ...] = OFFERED) -> str:
        chooser = SizeChooser("lab", offered)
        chooser.size("hello-compute-0", ADDRESS, nodes(1, devices=devices), image())
        return chooser.problems[0].detail.partition(" short. ")[2]

    gpu = replace(GPU, devices=(("gpu", 1),))
    assert advice(("tpu", 1), offered=(SMALL,)).endswith(
        "No flavor there has tpu. Flavors there have no devices: use another site."
    )
    assert advice(("nic", 1), offered=(gpu,)) == (
        "No flavor there has nic. Flavors there have gpu: use one of these, or another site."
    )
    assert advice(("gpus", 1), offered=(gpu,)) == "No flavor there has gpus. Did you mean gpu?"
    assert advice(("fpga", 1), ("nic", 1), offered=(gpu,)).startswith("No flavor there has fpga or nic. Flavors there have gpu")
    assert advice(("gpu", 9), offered=(gpu,)) == "Request less, or use another site."


def test_the_memory_that_an_image_demands_is_part_of_the_request() -> None:
    demanding = replace(image(), min_memory_mib=3000)
    chooser = SizeChooser("lab", OFFERED)
    assert chooser.size("hello-compute-0", ADDRESS, nodes(1), demanding).flavor == "m1.medium"
    chooser.size("hello-compute-0", ADDRESS, nodes(1, flavor="m1.small"), demanding)
    assert "requests 1 cpu, 2.93 GiB of memory for image debian-12" in chooser.problems[0].detail


def test_nodes_of_one_line_have_one_problem() -> None:
    chooser = SizeChooser("lab", OFFERED)
    for index in range(3):
        chooser.size(f"hello-compute-{index}", f"{ADDRESS}{index}", nodes(3, cpus=9), image())
    assert len(chooser.problems) == 1


def test_a_recorded_node_keeps_its_flavor_while_it_fits() -> None:
    before = recorded(MEDIUM, request())
    assert chosen(nodes(1), before)[0] == "m1.medium"
    assert chosen(nodes(1), before, offered=())[0] == "m1.medium"
    assert chosen(nodes(1, cpus=2), before)[0] == "m1.medium"
    assert chosen(nodes(1, cpus=2, flavor="m1.medium"), before)[0] == "m1.medium"
    assert chosen(nodes(1, cpus=4), before)[0] == "v1.large"
    assert chosen(nodes(1, disk_bytes=50 * GIB), before)[0] == "v1.large"
    assert chosen(nodes(1, flavor="m1.small"), before)[0] == "m1.small"


def test_a_recorded_node_with_a_free_disk_follows_its_request() -> None:
    before = recorded(FREE_DISK, request())
    assert chosen(nodes(1, disk_bytes=100 * GIB), before) == ("v1.large", 4, 8192, 100)


def test_a_smaller_request_chooses_again_without_shrinking_the_disk() -> None:
    before = recorded(MEDIUM, request(cpus=2, memory_mib=4096))
    same_disk = replace(SMALL, name="m2.small", cpus=1, memory_mib=3072, disk_bytes=40 * GIB)
    assert chosen(nodes(1), before)[0] == "m1.medium", "of those with a disk that is large enough, the smallest"
    assert chosen(nodes(1), before, offered=(*OFFERED, same_disk))[0] == "m2.small"
    assert chosen(nodes(1), before, offered=(SMALL,))[0] == "m1.small", "a rebuild, which needs consent"
    named = recorded(MEDIUM, request(flavor="m1.medium"))
    assert chosen(nodes(1), named, offered=(SMALL, same_disk))[0] == "m2.small"


def test_only_changes_that_may_change_the_flavor_need_the_flavors_of_the_site() -> None:
    free, flavored = recorded(None), recorded(SMALL, request())
    assert not may_change_size(free, nodes(1, cpus=4), image())
    assert may_change_size(free, nodes(1, flavor="m1.small"), image())
    assert not may_change_size(flavored, nodes(1), image())
    assert may_change_size(flavored, nodes(1, memory_mib=512), image())
    assert may_change_size(flavored, nodes(1), image(version="2"))
    assert not may_change_size(flavored, nodes(1), replace(image(), digest="")), "the image was not read"


def test_an_unread_site_keeps_the_recorded_flavor() -> None:
    before = recorded(MEDIUM, request())
    assert chosen(nodes(1, cpus=8), before, offered=None, known=False)[0] == "m1.medium"
    assert chosen(nodes(1), before, offered=None, known=False)[0] == "m1.medium"


def test_a_site_that_no_longer_has_flavors_gives_free_sizes_to_changed_requests() -> None:
    before = recorded(MEDIUM, request())
    assert chosen(nodes(1), before, offered=None)[0] == "m1.medium"
    assert chosen(nodes(1, cpus=3), before, offered=None) == ("", 3, 1024, 4)


def test_a_node_of_a_free_size_keeps_it_while_it_is_as_requested() -> None:
    assert chosen(nodes(1), recorded(None))[0] == ""
    assert chosen(nodes(1, cpus=2), recorded(None))[0] == "m1.medium"
    assert chosen(nodes(1, flavor="m1.small"), recorded(None))[0] == "m1.small"


def test_another_image_with_a_larger_disk_may_need_another_flavor() -> None:
    before = recorded(SMALL, request())
    assert chosen(nodes(1), before, version="2", virtual_gib=10)[0] == "m1.small"
    assert chosen(nodes(1), before, version="2", virtual_gib=30)[0] == "m1.medium"
    assert chosen(nodes(1), before, offered=(MEDIUM,), version="2", virtual_gib=10)[0] == "m1.small"
    assert chosen(nodes(1), before, offered=(MEDIUM,), version="2", virtual_gib=30)[0] == "m1.medium"


def test_flavors_that_are_no_longer_offered_are_warned_about() -> None:
    def node(index: int, flavor: str) -> Node:
        return replace(recorded(MEDIUM), name=f"hello-compute-{index}", flavor=flavor)

    users = [node(0, "old"), node(1, "older"), node(2, "older"), node(3, "m1.small"), node(4, "")]
    found = tuple(
        vanished_flavor_warnings({"lab": replace(ROOMY, flavors=OFFERED)}, [*users, replace(node(5, "old"), site="tokyo")])
    )
    assert [each.severity for each in found] == ["warning", "warning"]
    assert "flavor old of hello-compute-0. This node keeps its machine" in found[0].detail
    assert "flavor older of hello-compute-1 and hello-compute-2. These nodes keep" in found[1].detail
    assert list(vanished_flavor_warnings({"lab": ROOMY}, users)) == []


flavors = st.lists(
    st.builds(
        Flavor,
        name=st.sampled_from("abcdefgh"),
        cpus=st.integers(1, 4),
        memory_mib=st.integers(1, 4).map(lambda gib: gib * 1024),
        disk_bytes=st.sampled_from((0, 10 * GIB, 20 * GIB)),
    ),
    unique_by=lambda flavor: flavor.name,
    max_size=6,
).map(tuple)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 4).map(lambda gib: gib * 1024), st.sampled_from((None, 5 * GIB, 15 * GIB)))


@given(flavors, sizes, sizes)
def test_a_larger_request_never_gets_a_smaller_flavor(offered: tuple[Flavor, ...], one: tuple, other: tuple) -> None:
    smaller = tuple(min(pair, key=lambda value: value or 0) for pair in zip(one, other, strict=True))
    by_name = {flavor.name: flavor for flavor in offered}
    found = [
        chosen(nodes(1, cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_bytes), offered=offered)
        for cpus, memory_mib, disk_bytes in (smaller, one)
    ]
    if found[1][-1] != "No flavor fits":
        assert flavor_order(by_name[found[0][0]]) <= flavor_order(by_name[found[1][0]])


@given(flavors, flavors, sizes, sizes)
def test_a_plan_after_an_apply_is_empty_whatever_the_site_offers_by_then(
    offered: tuple[Flavor, ...], later: tuple[Flavor, ...], one: tuple, other: tuple
) -> None:
    state = EMPTY
    largest = Flavor(name="largest", cpus=64, memory_mib=2**20)
    for cpus, memory_mib, disk_bytes in (one, other):
        spec = wanted(cluster(computes=nodes(2, cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_bytes)))
        inventory = replace(ROOMY, flavors=(*offered, largest))
        state = applied(planned(spec, state, inventories={"lab": inventory}), state)
        assert sites_needing_inventory(spec, state) == frozenset()
        assert planned(spec, state, inventories={}).empty
        assert planned(spec, state, inventories={"lab": replace(ROOMY, flavors=later)}).empty
        for node in state.nodes():
            assert node.flavor
            assert (node.cpus, node.memory_mib) >= (node.requested.cpus, 1024)


def test_a_booted_flavor_is_read_again() -> None:
    spec = wanted(cluster())
    inventories = {"lab": replace(ROOMY, flavors=OFFERED)}
    state = applied(planned(spec, inventories=inventories), EMPTY)
    assert {node.flavor for node in state.nodes()} == {"m1.small"}
    gone = replace(observed(state), nodes=observed(state).nodes[1:])
    plan = make_plan(spec, state, {"lab": gone}, {})
    assert sites_booting_nodes(plan) == {"lab"}
    assert [each.resource.flavor for each in plan.actions] == ["m1.small"]
    again = make_plan(spec, state, {"lab": gone}, {"lab": replace(ROOMY, flavors=(MEDIUM,))})
    assert [each.resource.flavor for each in again.actions if each.verb == "boot"] == ["m1.medium"]
    assert [each.summary for each in again.warnings] == ["Flavor no longer offered"]
    assert sites_booting_nodes(planned(spec, state, inventories=inventories)) == frozenset()
