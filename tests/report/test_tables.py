"""``list``, ``show`` and ``status`` as people see them, and as programs do."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError, Problem, Where
from pragmaspec.images.firmware.detect import BootSupport
from pragmaspec.planning.observed import CapacityUse, Inventory, Observations, ObservedNode, PoolUse, PublicPool, SiteIdentity
from pragmaspec.planning.plan import Action, Drift
from pragmaspec.planning.wanted import Move
from pragmaspec.report.image_text import InspectedFile, inspected_json, inspected_text
from pragmaspec.report.json_forms import error_json, json_text
from pragmaspec.report.lists_text import (
    ImageRow,
    cluster_summaries,
    clusters_json,
    clusters_text,
    image_names,
    nodes_text,
    repository_json,
    repository_text,
)
from pragmaspec.report.plan.json import plan_json
from pragmaspec.report.site_text import SiteView, sites_json, sites_text
from pragmaspec.report.state_text import show_text
from pragmaspec.report.status_text import status_json, status_text
from pragmaspec.report.style import Style
from pragmaspec.resources import Blob, Network, Readiness
from pragmaspec.site import LibvirtSite, PublicNetwork, Reserve, SimulatedSite
from pragmaspec.state_model import Record
from tests.report.values import ALLOCATION, IMAGE, SEEN, first_plan, line, node, plan, rebooted, running_state, state

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]
PEN = Style()
STATE = running_state()
LINEAGE = "3f9a1c2b-7d1e-4c55-9a3f-0c2d4e6f8a10"
IMAGES = (
    ImageRow(
        name="debian-12",
        origin="built from Debian bookworm",
        format="qcow2",
        digest="ab" * 32,
        size_bytes=612 * 2**20,
        sites=("lab",),
        local=True,
    ),
    ImageRow(name="tiny", origin="./tiny.qcow2", format="raw", digest="cd" * 32, size_bytes=20 * 2**20),
)
FULL = Inventory(
    identity=SEEN,
    cpus=16,
    memory_mib=65536,
    disk_bytes=2**40,
    disk_free_bytes=2**39,
    cpus_per_node=16,
    holdings=(
        CapacityUse(
            owner="stack 3f9a1c2b: hello-frontend",
            cpus=1,
            memory_mib=1024,
            disk_bytes=4 * 2**30,
            lineage=LINEAGE,
            address="lab/hello/node/hello-frontend",
        ),
        CapacityUse(owner="domain build", cpus=4, memory_mib=8192),
    ),
    public=PublicPool(network="default", cidr="192.168.122.0/24"),
    addresses=(PoolUse(value="192.168.122.10", owner="hello", lineage=LINEAGE, address=ALLOCATION.address),),
    vlans=(PoolUse(value="22", owner=f"{ALLOCATION.address} of stack {LINEAGE}", lineage=LINEAGE, address=ALLOCATION.address),),
    cidrs=(PoolUse(value="10.22.0.0/24", owner="somebody else"),),
    images=("ab" * 32,),
)
BARE = Inventory(
    identity=SiteIdentity(id="x", title="simulated"),
    cpus=1,
    memory_mib=1024,
    disk_bytes=2**30,
    disk_free_bytes=2**30,
    cpus_per_node=1,
)
VIEWS = (
    SiteView(
        site=LibvirtSite(
            name="lab",
            vlans=((20, 99), (120, 120)),
            reserve=Reserve(cpus=2, memory_mib=4096),
            public=PublicNetwork(network="default"),
        ),
        inventory=FULL,
    ),
    SiteView(site=SimulatedSite(name="pretended", vlans=()), inventory=BARE),
    SiteView(site=SimulatedSite(name="bridged"), inventory=replace(BARE, public=PublicPool(bridge="br0"))),
    SiteView(site=SimulatedSite(name="away"), trouble="The site does not answer\x1b"),
)
OBSERVED = {
    "lab": Observations(
        site="lab",
        identity=SEEN,
        nodes=(
            ObservedNode(address=node().address, generation=0, status="running"),
            ObservedNode(address=node(1).address, generation=0, status="off"),
        ),
    )
}
DRIFT = (
    Drift(address=node(0).address, detail="is gone from the site", kind="gone"),
    Drift(address=ALLOCATION.address, detail="has lost network private", kind="changed"),
)


def test_clusters(golden: Golden) -> None:
    summaries = cluster_summaries(STATE)
    golden(CASES / "clusters.txt", clusters_text(summaries, PEN))
    golden(CASES / "clusters.json", json_text(clusters_json(summaries, STATE)))


def test_a_cluster_is_what_its_nodes_are() -> None:
    ready, off = Record(resource=node()), Record(resource=node(running=False))
    granted = Record(resource=ALLOCATION)
    words = [
        cluster_summaries(state(*records))[0].status
        for records in (
            (granted, ready),
            (granted, off),
            (granted, ready, Record(resource=node(0, running=False))),
            (granted, ready, Record(resource=node(0), status="pending")),
            (granted, ready, Record(resource=node(0), status="pending"), Record(resource=node(1), status="degraded")),
            (granted,),
            (ready,),
        )
    ]
    assert words == ["ready", "off", "degraded", "pending", "degraded", "pending", "pending"]
    assert "No clusters" in clusters_text((), PEN)
    orphan = cluster_summaries(state(ready))
    assert "pending" in clusters_text(orphan, PEN)
    assert clusters_json(orphan, state(ready))["clusters"][0]["allocation"] is None


def test_nodes(golden: Golden) -> None:
    records = [record for each in STATE.nodes("hello") if (record := STATE.record(each.address))]
    golden(CASES / "nodes.txt", nodes_text(records, image_names(STATE), PEN))
    assert "abababababababab" in nodes_text([Record(resource=node(0, nics=())), Record(resource=ALLOCATION)], {}, PEN)


def test_repository(golden: Golden) -> None:
    golden(CASES / "repository.txt", repository_text(IMAGES, PEN))
    golden(CASES / "repository.json", json_text(repository_json(IMAGES)))
    assert "No images" in repository_text((), PEN)


def test_sites(golden: Golden) -> None:
    golden(CASES / "sites.txt", sites_text(VIEWS, PEN))
    golden(CASES / "sites.json", json_text(sites_json(VIEWS)))
    assert "No sites" in sites_text((), PEN)


@pytest.mark.parametrize("name", ["hello-frontend", "hello-compute-0"])
def test_show_node(name: str, golden: Golden) -> None:
    record = STATE.record(f"lab/hello/node/{name}")
    assert record is not None
    golden(CASES / f"show-{name}.txt", show_text(record, image_names(STATE), PEN))


def test_a_node_that_starts_by_uefi_says_so() -> None:
    assert "firmware" not in show_text(Record(resource=node(0)), {}, PEN)
    assert "firmware    uefi\n" in show_text(Record(resource=node(0, firmware="uefi")), {}, PEN)


def test_show_tells_a_node_that_starts_with_its_host() -> None:
    assert "autostart" not in show_text(Record(resource=node(0)), {}, PEN)
    assert "autostart   yes\n" in show_text(Record(resource=node(0, autostart=True)), {}, PEN)


@pytest.mark.parametrize(
    ("boots", "words", "form"),
    [
        (None, "yes, with the kernel of the spec", None),
        (BootSupport(bios=True), "yes, with BIOS", {"firmware": "bios", "bios": True, "uefi": [], "problem": None}),
        (
            BootSupport(bios=True, uefi=("x86_64",)),
            "yes, with BIOS; with UEFI (x86_64) if `firmware: uefi`",
            {"firmware": "bios", "bios": True, "uefi": ["x86_64"], "problem": None},
        ),
        (
            BootSupport(bios=False, uefi=("aarch64", "x86_64")),
            "yes, with UEFI (aarch64, x86_64)",
            {"firmware": "uefi", "bios": False, "uefi": ["aarch64", "x86_64"], "problem": None},
        ),
        (
            BootSupport(bios=False),
            "no: it has no boot code in its first sector and no EFI system partition",
            {
                "firmware": None,
                "bios": False,
                "uefi": [],
                "problem": "no boot code in its first sector and no EFI system partition",
            },
        ),
    ],
)
def test_how_a_disk_starts_is_told(boots: BootSupport | None, words: str, form: object) -> None:
    seen = InspectedFile(
        file="d", layers=(), format="raw", virtual_size_bytes=1, becomes="raw", digest="0" * 64, size_bytes=1, boots=boots
    )
    assert inspected_text(seen, PEN).splitlines()[-1] == f"boots      {words}"
    assert inspected_json(seen)["boots"] == form


def test_show_others(golden: Golden) -> None:
    wide = replace(ALLOCATION, networks=(*ALLOCATION.networks, Network(name="storage", cidr="10.9.0.0/24")), protect=True)
    direct = replace(
        IMAGE, kernel=Blob(sha256="11" * 32, size_bytes=5), initrd=Blob(sha256="22" * 32, size_bytes=5), cmdline="quiet"
    )
    records = (
        Record(resource=ALLOCATION),
        Record(resource=wide),
        Record(resource=IMAGE),
        Record(resource=direct),
        Record(resource=node(0, protect=True, nics=(replace(node(0).nics[0], mtu=9000),))),
        Record(resource=node(1, readiness=Readiness(when="none"))),
    )
    golden(CASES / "show-others.txt", "\n".join(show_text(record, {}, PEN) for record in records))


def test_status(golden: Golden) -> None:
    text = status_text(STATE, OBSERVED, DRIFT, 0.05, PEN) + "\n" + status_text(STATE, OBSERVED, (), 0.05, PEN)
    golden(CASES / "status.txt", text)
    begun = state(Record(resource=node(0), status="pending"), Record(resource=node(1), status="pending"))
    assert "but 2 nodes are pending. `pragmaspec plan` shows" in status_text(begun, {}, (), 0.0, PEN)
    golden(CASES / "status.json", json_text(status_json(STATE, OBSERVED, DRIFT)))
    assert "not asked" in status_text(state(Record(resource=node(0, nics=()))), {}, (), 0.0, PEN)
    assert "No nodes" in status_text(state(), {}, (), 0.0, PEN)


def test_plan_json(golden: Golden) -> None:
    golden(CASES / "plan-first.json", json_text(plan_json(first_plan())))
    changed = plan(*rebooted(node(0), node(0, memory_mib=2048)), drift=DRIFT, asked=False)
    golden(CASES / "plan-changed.json", json_text(plan_json(changed)))
    moved = replace(first_plan(), moves=(Move(before="old", after="hello", where=line(9)),))
    (told,) = plan_json(moved)["moves"]
    assert (told["kind"], told["from"], told["to"], told["where"]["line"]) == ("cluster", "old", "hello", 9)


def test_a_place_in_another_file_names_it() -> None:
    from pragmaspec.report.plan.text import plan_text

    elsewhere = Action(verb="stage", resource=IMAGE, reason="new", where=Where(file="conf/sites.yaml", line=4))
    assert plan_text(plan(elsewhere), width=120, colour=False).splitlines()[2].endswith("sites.yaml:4")


def test_errors_as_json(golden: Golden) -> None:
    problem = Problem(summary="The plan removes nodes", detail="hello-compute-3.", where=line(3), quote="x")
    golden(CASES / "error.json", json_text(error_json(PlanRefusedError.of([problem, Problem(summary="Another")]))))
