"""Sites are queried concurrently, and the error lists every site that failed."""

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNodes
from pragmaspec.resources import Allocation, Network
from pragmaspec.site import Fault, LibvirtSite, SimulatedSite, Site
from pragmaspec.stack.location import locate_stack
from pragmaspec.stack.resolve_spec import site_position
from pragmaspec.stack.sites import Sites, known_sites, sites_in_use
from pragmaspec.stack.state.orphans import find_orphans
from pragmaspec.state_model import Record, State

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"


def _sites(count: int, **options: object) -> list[SimulatedSite]:
    return [SimulatedSite(name=f"site-{index}", **options) for index in range(count)]


def test_sites_are_observed_concurrently() -> None:
    began = time.monotonic()
    with Sites(_sites(6, latency_s=0.3)) as sites:
        seen = sites.observe([f"site-{index}" for index in range(6)], State(lineage=LINEAGE))
    assert sorted(seen) == [f"site-{index}" for index in range(6)]
    assert time.monotonic() - began < 1.5


def test_the_error_lists_every_failed_site() -> None:
    bad = (Fault(call="inventory"),)
    with Sites([*_sites(2, faults=bad), SimulatedSite(name="good")]) as sites:
        with pytest.raises(SiteError) as failed:
            sites.inventories(["site-0", "site-1", "good"])
        assert len(failed.value.problems) == 2
        assert sites.inventories(["good"])["good"].cpus
        with pytest.raises(SiteError, match="neither in the spec nor in the recorded state"):
            sites.provider("nowhere")


def test_different_failures_raise_a_common_site_error() -> None:
    with Sites([*_sites(1, faults=(Fault(call="observe"),)), SimulatedSite(name="lost", file="/proc")]) as sites:
        with pytest.raises(SiteError) as failed:
            sites.observe(["site-0", "lost"], State(lineage=LINEAGE))
        assert type(failed.value) is SiteError
        assert len(failed.value.problems) == 2
        with pytest.raises(SiteUnreachableError):
            sites.observe(["lost"], State(lineage=LINEAGE))


def test_a_site_in_the_spec_overrides_the_recorded_one() -> None:
    old, new = SimulatedSite(name="lab", seed=1), SimulatedSite(name="lab", seed=2)
    state = State(lineage=LINEAGE, sites=(old, SimulatedSite(name="gone")))
    wanted = Wanted(spec_file="a", spec_sha256="", sites=(new,), images=(), clusters=())
    assert {site.name: site.seed for site in known_sites(wanted, state)} == {"lab": 2, "gone": 0}
    assert known_sites(None, state) == state.sites


def test_sites_in_use_depend_on_the_selected_clusters() -> None:
    nodes = WantedNodes(count=0, cpus=1, memory_mib=64, image="x")
    cluster = WantedCluster(name="new", site="lab", frontend=nodes, computes=nodes)
    wanted = Wanted(spec_file="a", spec_sha256="", sites=(), images=(), clusters=(cluster,))
    network = Network(name="private", cidr="10.0.0.0/24")
    allocation = Allocation(site="away", cluster="old", networks=(network,))
    state = State(lineage=LINEAGE).with_record(Record(resource=allocation))
    assert sites_in_use(wanted, state, PlanRequest()) == ("away", "lab")
    assert sites_in_use(wanted, state, PlanRequest(only_clusters=("new",))) == ("lab",)
    assert sites_in_use(wanted, state, PlanRequest(only_clusters=("old",))) == ("away",)


def test_a_site_error_has_the_position_of_the_site_in_the_spec(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text("sites:\n  far: {provider: libvirt, uri: 'test:///nosuch'}\n")
    spec = tmp_path / "cluster.yaml"
    spec.write_text("clusters: {}\nsites:\n  near:\n    provider: simulated\n")
    location = locate_stack(spec)
    for name, where in (("near", f"{spec}:3:3"), ("far", f"{tmp_path}/sites.yaml:2:3"), ("gone", "None")):
        assert str(site_position(location, name)) == where
    failing = SimulatedSite(name="near", faults=(Fault(call="observe"),))
    with Sites([failing], lambda name: site_position(location, name)) as sites, pytest.raises(SiteError) as failed:
        sites.observe(["near"], State(lineage=LINEAGE))
    assert str(failed.value.problems[0].where) == f"{spec}:3:3"
    spec.write_text("clusters: 1\n")
    assert site_position(location, "near") is None


class RecordingSites(Sites):
    """Sites that record the calls."""

    def __init__(self, sites: list[Site]) -> None:
        super().__init__(sites)
        self.calls: list[str] = []

    def refresh_storage(self, names: Iterable[str]) -> None:
        self.calls.append("refresh storage")
        super().refresh_storage(names)

    def observe(self, names: Iterable[str], state: State) -> dict[str, Observations]:
        self.calls.append("observe")
        return super().observe(names, state)


def test_storage_is_refreshed_before_orphans_are_searched() -> None:
    """Otherwise a snapshot file that the libvirt pool does not list yet is missed."""
    near = LibvirtSite(name="near", uri="test:///default", pool="default-pool")
    with RecordingSites([near, *_sites(1)]) as sites:
        assert find_orphans(State(lineage=LINEAGE), sites, iter(("near", "site-0"))) == ()
    assert sites.calls == ["refresh storage", "observe"]
