"""Properties of every plan, for any spec and state."""

from collections.abc import Callable
from graphlib import TopologicalSorter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.networking import Networking
from pragmaspec.planning.allocation.device_requests import device_addresses
from pragmaspec.planning.late.members import LATER
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move, Wanted, WantedCluster, WantedDisk, WantedNetwork, WantedNodes, WantedPublic
from pragmaspec.resources import Allocation, Node, StagedImage, Volume
from pragmaspec.site import Flavor, LibvirtSite, SimulatedSite, Site
from pragmaspec.state_model import Record, State
from tests.planning.builders import EMPTY, GIB, ROOMY, applied, cluster, image, in_order, nodes, observed, planned, wanted

SITES = tuple(LibvirtSite(name=name) for name in ("lab", "tokyo"))
CLOUDS = (SimulatedSite(name="lab", late=("macs", "private", "public")), SimulatedSite(name="tokyo", late=("public",)))
"""The same sites, which choose MACs and addresses, or only public ones."""
WITHOUT_VLANS = (
    SimulatedSite(name="lab", connects=Networking(vlans=False, router=True, translated=True, dhcp=True, frontend_offset=4)),
    SimulatedSite(name="tokyo", connects=Networking(vlans=False, translated=True, dhcp=True, frontend_offset=4), late=("macs",)),
)
"""The same sites as clouds that translate public addresses, with and without routers."""
NAMES = ("alpha", "beta", "gamma", "delta")
IMAGES = ("debian-12", "debian-13")
VLANS = {name: 100 + index for index, name in enumerate(NAMES)}
NETWORKS = (
    WantedNetwork(name="storage", cidr="192.168.70.0/24", roles=("compute", "store")),
    WantedNetwork(name="lan", cidr="172.30.0.0/24", bridge="br-lan", roles=("frontend", "compute", "gpu", "store")),
)


SCRATCH = WantedDisk(name="scratch", size_bytes=10 * GIB, mount="/scratch")
KEPT = WantedDisk(name="data", size_bytes=20 * GIB, mount="/data", keep=True)
DISKS = ((), (SCRATCH,), (replace(SCRATCH, size_bytes=30 * GIB),), (KEPT,), (SCRATCH, KEPT))


def roles(count: st.SearchStrategy[int], **more: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.builds(
        nodes,
        count,
        **more,
        cpus=st.integers(1, 2),
        memory_mib=st.sampled_from((512, 1024)),
        of=st.sampled_from(IMAGES),
        disk_bytes=st.sampled_from((None, 20 * GIB, 40 * GIB)),
        packages=st.sampled_from(((), ("openmpi-bin",))),
        disks=st.sampled_from(DISKS),
    )


def group(name: str) -> st.SearchStrategy[object]:
    return roles(
        st.integers(0, 3),
        group=st.just(name),
        machinefile=st.booleans(),
        wait_for=st.sampled_from(((), ("frontend",), ("frontend", "compute"))),
        overrides=st.sampled_from(((), ((1, nodes(1, cpus=2, of=IMAGES[1], group=name)),))),
    )


@st.composite
def clusters(draw: Callable[..., object], name: str) -> WantedCluster:
    groups = draw(st.lists(st.sampled_from(("gpu", "store")), unique=True, max_size=2))
    return cluster(
        name,
        groups=tuple(draw(group(each)) for each in groups),
        site=draw(st.sampled_from(("lab", "tokyo"))),
        frontend=draw(roles(st.just(1))),
        computes=draw(roles(st.integers(0, 4))),
        ssh_keys=draw(st.sampled_from((("ada",), ("ada", "grace")))),
        running=draw(st.booleans()),
        protect=draw(st.booleans()),
        vlan=draw(st.sampled_from((None, VLANS[name]))),
        public=draw(st.sampled_from((WantedPublic(), WantedPublic(kind="none")))),
        networks=draw(st.sampled_from(((), NETWORKS[:1], NETWORKS))),
    )


@st.composite
def specs(draw: Callable[..., object], sites: tuple[Site, ...] = SITES) -> Wanted:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3))
    version = draw(st.sampled_from(("", "2")))
    return wanted(*(draw(clusters(name)) for name in names), sites=sites, images=tuple(image(name, version) for name in IMAGES))


@st.composite
def states(draw: Callable[..., object], sites: tuple[Site, ...] = SITES) -> State:
    """The state after two applies, the second possibly unfinished."""
    state = EMPTY
    for spec in draw(st.lists(specs(sites), max_size=2)):
        state = applied(planned(spec, state), state)
    broken = draw(st.lists(st.sampled_from(state.records), max_size=3)) if state.records else []
    return state.with_records(replace(record, status=draw(st.sampled_from(("pending", "degraded")))) for record in broken)


def without_vlans(spec: Wanted) -> Wanted:
    return replace(spec, clusters=tuple(replace(each, vlan=None) for each in spec.clusters))


def with_host_parts(spec: Wanted) -> Wanted:
    """Return ``spec`` with devices for the group gpu, and pinned CPUs for every set of nodes with two of them."""

    def parts(each: WantedNodes) -> WantedNodes:
        overrides = tuple((index, replace(other, devices=(("gpu", 2),))) for index, other in each.overrides)
        devices = (("gpu", 1),) if each.group == "gpu" else ()
        return replace(each, devices=devices, pin=each.cpus > 1, overrides=overrides)

    return replace(
        spec,
        clusters=tuple(
            replace(each, computes=parts(each.computes), groups=tuple(map(parts, each.groups))) for each in spec.clusters
        ),
    )


laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@laws
@given(specs(), states())
def test_after_an_apply_the_next_plan_is_empty(spec: Wanted, state: State) -> None:
    after = applied(planned(spec, state), state)
    again = planned(spec, after)
    assert (again.actions, again.drift) == ((), ())
    wanted_running = {each.name for each in spec.clusters if each.running}
    assert {node.cluster for node in after.nodes() if node.running} == wanted_running


@laws
@given(specs(WITHOUT_VLANS).map(without_vlans), specs(WITHOUT_VLANS).map(without_vlans))
def test_at_sites_without_vlans_the_next_plan_is_empty_too(before: Wanted, spec: Wanted) -> None:
    state = applied(planned(before), EMPTY)
    after = applied(planned(spec, state), state)
    again = planned(spec, after)
    assert (again.actions, again.drift) == ((), ())
    for node in after.nodes():
        addresses = [nic.address for nic in node.interfaces]
        assert len(set(addresses)) == len(addresses)
        assert [nic.mac for nic in node.nics if nic.translated] in ([], [node.nics[0].mac])
        gateways = {nic.gateway for nic in node.nics if nic.gateway} - set(addresses)
        assert node.site == "tokyo" or len(gateways) == 1, "the router"


@laws
@given(specs().map(with_host_parts), specs().map(with_host_parts))
def test_devices_and_pinned_cpus_have_one_user_who_keeps_them(before: Wanted, spec: Wanted) -> None:
    state = applied(planned(before), EMPTY)
    after = applied(planned(spec, state), state)
    assert planned(spec, after).actions == ()
    for site in ("lab", "tokyo"):
        here = [node for node in after.nodes() if node.site == site]
        held = [part for node in here for part in (*device_addresses(node), *node.pinned)]
        assert len(set(held)) == len(held)
    earlier = {node.address: node for node in state.nodes()}
    for node in after.nodes():
        old = earlier.get(node.address, node)
        assert len(old.pinned) != len(node.pinned) or old.pinned == node.pinned
        assert len(old.devices) > len(node.devices) or set(old.devices) <= set(node.devices)


@laws
@given(specs(), states(), st.randoms(use_true_random=False))
def test_the_order_of_clusters_does_not_matter(spec: Wanted, state: State, random: object) -> None:
    shuffled = list(spec.clusters)
    random.shuffle(shuffled)
    assert planned(replace(spec, clusters=tuple(shuffled)), state).actions == planned(spec, state).actions


@laws
@given(specs(), states())
def test_every_action_depends_only_on_other_actions_of_the_plan(spec: Wanted, state: State) -> None:
    actions = {each.key: each for each in planned(spec, state).actions}
    assert len(actions) == len(planned(spec, state).actions)
    assert all(key in actions for each in actions.values() for key in each.after)
    assert len(list(TopologicalSorter({key: each.after for key, each in actions.items()}).static_order())) == len(actions)


@laws
@given(specs(), states())
def test_macs_addresses_and_vlans_are_unique(spec: Wanted, state: State) -> None:
    after = applied(planned(spec, state), state)
    for site in ("lab", "tokyo"):
        here = [node for node in after.nodes() if node.site == site]
        macs = [nic.mac for node in here for nic in node.nics]
        assert len(set(macs)) == len(macs)
        places = [
            (nic.network if nic.network in ("public", "lan") else (node.cluster, nic.network), nic.address)
            for node in here
            for nic in node.nics
            if nic.network != "lan"  # clusters share this bridge of the host, and the spec assigns its addresses
        ]
        assert len(set(places)) == len(places)
        allocations = [record.resource for record in after.records if isinstance(record.resource, Allocation)]
        vlans = [net.vlan for held in allocations if held.site == site for net in held.networks if net.vlan is not None]
        assert len(set(vlans)) == len(vlans)


@laws
@given(specs(), states())
def test_the_path_to_a_spec_does_not_matter(spec: Wanted, state: State) -> None:
    """Only granted values and clusters that are off depend on the state before; the plan lists what it defers for them."""
    running = {each.name for each in spec.clusters if each.running}
    plan = planned(spec, state)
    assert not {pending.address.split("/")[1] for pending in plan.pending} & running
    reached, made = applied(plan, state), applied(planned(spec), EMPTY)
    assert settings_of(reached, running) == settings_of(made, running)


def settings_of(state: State, clusters: set[str]) -> dict[str, object]:
    """Return the settings of ``clusters`` by address, without the values that their sites have granted."""
    found: dict[str, object] = {}
    for record in state.records:
        resource = record.resource
        if isinstance(resource, Node) and resource.cluster in clusters:
            nics = tuple((nic.network, nic.prefix, nic.mtu, nic.mac, bool(nic.gateway)) for nic in resource.nics)
            found[record.address] = (nics, record.status, replace(resource, nics=(), peers=""))
        elif isinstance(resource, Allocation) and resource.cluster in clusters:
            networks = tuple((network.name, network.bridge, network.mtu, bool(network.vlan)) for network in resource.networks)
            found[record.address] = (networks, len(resource.public), resource.protect)
    return found


NEW_NAMES = {**{name: f"new-{name}" for name in NAMES}, "lab": "hall", "tokyo": "osaka"}


def renamed(spec: Wanted, kinds: tuple[str, ...]) -> Wanted:
    """Return ``spec`` with renamed clusters, sites or both, and the ``moved:`` entries for them."""

    def new_name(kind: str, name: str) -> str:
        return NEW_NAMES[name] if kind in kinds else name

    moves = [Move(before=name, after=NEW_NAMES[name]) for name in NAMES if "cluster" in kinds]
    moves += [Move(before=site.name, after=NEW_NAMES[site.name], kind="site") for site in SITES if "site" in kinds]
    return replace(
        spec,
        sites=tuple(replace(site, name=new_name("site", site.name)) for site in spec.sites),
        clusters=tuple(
            replace(each, name=new_name("cluster", each.name), site=new_name("site", each.site)) for each in spec.clusters
        ),
        moves=tuple(moves),
    )


@laws
@given(specs(), st.sampled_from((("cluster",), ("site",), ("cluster", "site"))))
def test_a_declared_rename_changes_no_machine(spec: Wanted, kinds: tuple[str, ...]) -> None:
    before = applied(planned(spec), EMPTY)
    other = renamed(spec, kinds)
    plan = planned(other, before)
    assert {each.verb for each in plan.actions} <= {"update"}
    after = applied(plan, before)
    assert planned(other, after).empty, "the remaining moves have no effect"
    assert planned(replace(other, moves=()), after).empty
    assert sorted(record.original_address for record in after.records) == [record.address for record in before.records]


@laws
@given(specs(), specs(), st.sampled_from((("cluster",), ("site",), ("cluster", "site"))))
def test_a_rename_with_other_changes_has_the_result_of_those_changes_alone(
    spec: Wanted, then: Wanted, kinds: tuple[str, ...]
) -> None:
    before = applied(planned(spec), EMPTY)
    other = renamed(then, kinds)
    after = applied(planned(other, before), before)
    assert planned(other, after).empty
    quiet = {"update", "record"}  # the live update for the new name includes other live changes
    verbs = sorted(each.verb for each in planned(then, before).actions if each.verb not in quiet)
    assert sorted(each.verb for each in planned(other, before).actions if each.verb not in quiet) == verbs
    macs = [nic.mac for node in after.nodes() for nic in node.nics]
    assert len(set(macs)) == len(macs)


@laws
@given(clusters("alpha"), st.integers(1, 5))
def test_scaling_out_only_updates_the_peers_of_existing_nodes(asked: WantedCluster, more: int) -> None:
    asked = replace(asked, running=True)
    images = tuple(image(name) for name in IMAGES)
    before = applied(planned(wanted(asked, sites=SITES, images=images)), EMPTY)
    larger = replace(asked, computes=replace(asked.computes, count=asked.computes.count + more))
    # A first compute may add an image; networks stay.
    plan = planned(wanted(larger, sites=SITES, images=images), before)
    assert {each.verb for each in plan.actions if not isinstance(each.resource, Volume)} <= {"boot", "update", "stage"}
    after = applied(plan, before)
    for node in before.nodes():
        kept = after.record(node.address)
        assert kept is not None
        assert isinstance(kept.resource, Node)
        assert replace(kept.resource, peers="") == replace(node, peers="")
    assert after.record(f"{asked.site}/alpha/allocation") == before.record(f"{asked.site}/alpha/allocation")


@laws
@given(specs(), states(), st.data())
def test_a_targeted_plan_is_self_contained(spec: Wanted, state: State, data: st.DataObject) -> None:
    whole = planned(spec, state)
    if whole.empty:
        return
    some = st.lists(st.sampled_from([each.address for each in whole.actions]), max_size=3).map(tuple)
    targets = tuple(data.draw(some))
    request = PlanRequest(targets=targets, exclude=tuple(each for each in data.draw(some) if each not in targets))
    part = planned(spec, state, request=request)
    keys = {each.key for each in part.actions}
    assert all(key in keys for each in part.actions for key in each.after)
    for each in part.actions:
        assert each.address not in request.exclude
        same = {other.key for other in whole.actions if other.address == each.address}
        assert same <= keys
        if each.verb == "boot":
            needed = {key for key in action_of(whole.actions, each.key).after if key.startswith(("stage ", "allocate "))}
            assert needed <= keys
        elif not isinstance(each.resource, Node):
            assert set(action_of(whole.actions, each.key).after) <= keys
    assert all(any(each.address == target for each in part.actions) for target in request.targets) or request.exclude


def action_of(actions: tuple[object, ...], key: str) -> object:
    return next(each for each in actions if each.key == key)


@laws
@given(specs(), states(), st.data())
def test_any_lost_object_is_recreated(spec: Wanted, state: State, data: st.DataObject) -> None:
    after = applied(planned(spec, state), state)
    observations = {}
    for site in ("lab", "tokyo"):
        seen = observed(after, site)
        gone = data.draw(st.sets(st.sampled_from(seen.nodes))) if seen.nodes else set()
        keep_images = data.draw(st.booleans())
        observations[site] = replace(
            seen,
            nodes=tuple(node for node in seen.nodes if node not in gone),
            images=seen.images if keep_images else (),
        )
    repair = planned(spec, after, observations=observations, request=PlanRequest(accept_missing=True))
    drifted = {drift.address for drift in repair.drift}
    assert drifted <= {each.address for each in repair.actions}
    # If nothing is left of a cluster that is off, actions no longer depend on its nodes.
    waiting = {each.address.split("/")[1] for each in planned(spec, after).pending}
    for each in repair.actions:
        assert each.address in drifted or (
            waiting if isinstance(each.resource, StagedImage) else each.resource.cluster in waiting
        )
    assert planned(spec, applied(repair, after)).empty
    assert all(isinstance(record, Record) for record in applied(repair, after).records)


FLAVORS = (
    Flavor(name="m1.small", cpus=1, memory_mib=512),
    Flavor(name="m1.medium", cpus=1, memory_mib=1024),
    Flavor(name="c1.medium", cpus=2, memory_mib=512),
    Flavor(name="m1.large", cpus=2, memory_mib=2048),
)
FLAVORED = {name: replace(ROOMY, flavors=FLAVORS) for name in ("lab", "tokyo")}


@laws
@given(st.lists(specs(), min_size=1, max_size=3))
def test_after_an_apply_at_sites_with_flavors_the_next_plan_is_empty(path: list[Wanted]) -> None:
    state = EMPTY
    for spec in path:
        state = applied(planned(spec, state, inventories=FLAVORED), state)
        assert planned(spec, state, inventories=FLAVORED).empty
        assert planned(spec, state, inventories={}).empty, "a plan without changes does not need the flavors"
    assert all(node.flavor for node in state.nodes())


@laws
@given(specs(), specs())
def test_flavors_do_not_depend_on_earlier_specs(before: Wanted, spec: Wanted) -> None:
    """Except in clusters that are off, whose changes are deferred."""
    anew = applied(planned(spec, inventories=FLAVORED), EMPTY)
    state = applied(planned(before, inventories=FLAVORED), EMPTY)
    state = applied(planned(spec, state, inventories=FLAVORED), state)
    on = {each.name for each in spec.clusters if each.running}

    def sizes(found: State) -> dict[str, object]:
        nodes = [node for node in found.nodes() if node.cluster in on]
        return {node.address: (node.flavor, node.requested, node.cpus, node.memory_mib, node.disk_bytes) for node in nodes}

    assert sizes(state) == sizes(anew)


@laws
@given(specs(CLOUDS), states(CLOUDS))
def test_after_an_apply_at_sites_that_choose_addresses_the_next_plan_is_empty(spec: Wanted, state: State) -> None:
    after = applied(planned(spec, state), state)
    again = planned(spec, after)
    assert (again.actions, again.drift) == ((), ())
    running = [node for node in after.nodes() if node.running]
    assert all(nic.mac and nic.address for node in running for nic in node.nics)
    macs = [nic.mac for node in running for nic in node.nics]
    assert len(set(macs)) == len(macs)


@laws
@given(specs(CLOUDS), states(CLOUDS))
def test_the_path_to_a_spec_does_not_matter_where_sites_choose_addresses(spec: Wanted, state: State) -> None:
    running = {each.name for each in spec.clusters if each.running}
    reached, made = applied(planned(spec, state), state), applied(planned(spec), EMPTY)
    assert without_macs(settings_of(reached, running)) == without_macs(settings_of(made, running))


def without_macs(settings: dict[str, object]) -> dict[str, object]:
    """Return ``settings`` without the MACs of nodes, which their sites have chosen."""
    return {
        address: (tuple(facts[:3] for facts in found[0]), *found[1:]) if "/node/" in address else found
        for address, found in settings.items()
    }


@laws
@given(specs(CLOUDS), states(CLOUDS), st.data())
def test_an_interrupted_apply_at_sites_that_choose_addresses_converges(spec: Wanted, state: State, data: st.DataObject) -> None:
    """Any part of the actions is done, in a possible order; the next plan does the rest."""
    plan = planned(spec, state)
    done = in_order(plan)[: data.draw(st.integers(0, len(plan.actions)))]
    partly = applied(replace(plan, actions=tuple(done)), state)
    after = applied(planned(spec, partly), partly)
    assert planned(spec, after).empty
    digests: dict[tuple[str, str], set[str]] = {}
    for node in after.nodes():
        if node.running:
            digests.setdefault((node.site, node.cluster), set()).add(node.peers)
    assert all(len(known) == 1 and known.isdisjoint(("", LATER)) for known in digests.values())


@laws
@given(specs(CLOUDS), st.sampled_from((("cluster",), ("site",), ("cluster", "site"))))
def test_a_declared_rename_changes_no_machine_where_sites_choose_addresses(spec: Wanted, kinds: tuple[str, ...]) -> None:
    before = applied(planned(spec), EMPTY)
    other = renamed(spec, kinds)
    plan = planned(other, before)
    assert {each.verb for each in plan.actions} <= {"update"}
    after = applied(plan, before)
    assert planned(other, after).empty
    macs = sorted(nic.mac for node in before.nodes() for nic in node.nics)
    assert sorted(nic.mac for node in after.nodes() for nic in node.nics) == macs


@laws
@given(specs(CLOUDS), states(CLOUDS), st.data())
def test_partial_plans_at_sites_that_choose_addresses_lead_to_the_whole(spec: Wanted, state: State, data: st.DataObject) -> None:
    whole = planned(spec, state)
    if whole.empty:
        return
    targets = tuple(data.draw(st.lists(st.sampled_from([each.address for each in whole.actions]), max_size=3)))
    part = planned(spec, state, request=PlanRequest(targets=targets))
    keys = {each.key for each in part.actions}
    assert all(key in keys for each in part.actions for key in each.after)
    partly = applied(part, state)
    after = applied(planned(spec, partly), partly)
    assert planned(spec, after).empty
