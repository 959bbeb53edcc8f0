"""``list site``."""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, PublicPool, Quota, QuotaUse, SiteIdentity
from pragmaspec.report.json_forms import json_text
from pragmaspec.report.site_text import SiteView, sites_json, sites_text
from pragmaspec.report.style import Style
from pragmaspec.site import Flavor, LibvirtSite, PublicNetwork, Reserve, SimulatedSite
from tests.report.samples import ALLOCATION, SEEN

CASES = Path(__file__).parents[1] / "cases" / "report"
Golden = Callable[[Path, str], None]
STYLE = Style()
LINEAGE = "3f9a1c2b-7d1e-4c55-9a3f-0c2d4e6f8a10"
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
    SiteView(
        site=SimulatedSite(name="cloud"),
        inventory=replace(
            BARE,
            reports_capacity=False,
            holdings=(
                replace(FULL.holdings[0], flavor="m1.small", running_s=442_800),
                CapacityUse(owner="an image", disk_bytes=2**30),
            ),
            processors=("host", "x86-64-v2", "EPYC-Milan"),
            default_processor="x86-64-v2",
            flavors=(
                Flavor(name="m1.small", cpus=1, memory_mib=2048, disk_bytes=20 * 2**30),
                Flavor(name="g1.large", cpus=8, memory_mib=65536, devices=(("gpu", 2), ("nic", 1)), description="two GPUs"),
            ),
            quotas=(
                Quota(kind="instances", limit=10, used=3, users=(QuotaUse(owner="cluster a of stack 3f9a1c2b", amount=3),)),
                Quota(kind="memory", limit=40960, used=51200),
                Quota(kind="security_groups", limit=None, used=7),
            ),
        ),
    ),
    SiteView(site=SimulatedSite(name="away"), trouble="The site does not answer\x1b"),
)


def test_sites(golden: Golden) -> None:
    golden(CASES / "sites.txt", sites_text(VIEWS, STYLE))
    golden(CASES / "sites.json", json_text(sites_json(VIEWS)))
    assert "No sites" in sites_text((), STYLE)
