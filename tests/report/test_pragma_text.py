from pragmaspec.images.pragma.repository import ListedCluster
from pragmaspec.images.pragma.vc_in import Appliance, ApplianceDisk, ApplianceMachine
from pragmaspec.report.pragma_text import appliances_json, appliances_text
from pragmaspec.report.style import Style

PARTS = ApplianceDisk(packing="splited_gzip", files=("a.1", "a.2"), format="raw", bus="virtio")
PLAIN = ApplianceDisk(packing="raw", files=("b.qcow2",), format="qcow2", bus="")
ROCKS = Appliance(
    name="rocks",
    frontend=ApplianceMachine(role="frontend", cpus=2, memory_mib=2048, disk=PARTS),
    compute=ApplianceMachine(role="compute", cpus=16, memory_mib=0, disk=None),
    wait_s=300,
)
ALONE = Appliance(name="alone", frontend=ApplianceMachine(role="frontend", cpus=1, memory_mib=512, disk=PLAIN), compute=None)
LISTED = (
    ListedCluster(name="rocks", path="rocks/rocks.xml", appliance=ROCKS),
    ListedCluster(name="alone", path="alone.xml", appliance=ALONE),
    ListedCluster(name="bad", path="bad.xml", trouble="It has no <frontend>."),
)


def test_one_row_per_role() -> None:
    assert appliances_text(LISTED, Style()).splitlines() == [
        "CLUSTER  ROLE      CPUS   MEMORY  DISK                       BUS     NOTES",
        "rocks    frontend     2    2 GiB  raw, split, gzip, 2 parts  virtio",
        "         compute     16           the frontend's                     started 300 s after the frontend",
        "alone    frontend     1  512 MiB  qcow2",
        "bad                                                                  It has no <frontend>.",
    ]
    assert appliances_text((), Style()) == "The repository is empty.\n"


def test_computes_without_a_wait_have_no_note() -> None:
    text = appliances_text(
        (ListedCluster(name="x", path="x", appliance=Appliance(name="x", frontend=ALONE.frontend, compute=ALONE.frontend)),),
        Style(),
    )
    assert "NOTES" not in text


def test_repository_json() -> None:
    form = appliances_json(LISTED, "https://host/vms")
    assert (form["kind"], form["format"], form["repository"]) == ("pragma-repository", 1, "https://host/vms")
    rocks, alone, bad = form["clusters"]
    assert rocks["frontend"] == {
        "cpus": 2,
        "memory_mib": 2048,
        "disk": {"packing": "splited_gzip", "format": "raw", "bus": "virtio", "files": ["a.1", "a.2"]},
    }
    assert rocks["compute"] == {"cpus": 16, "memory_mib": None, "disk": None}
    assert (rocks["wait_s"], rocks["trouble"]) == (300, None)
    assert (alone["compute"], alone["frontend"]["disk"]["bus"]) == (None, None)
    assert (bad["frontend"], bad["trouble"], bad["wait_s"]) == (None, "It has no <frontend>.", 0)
