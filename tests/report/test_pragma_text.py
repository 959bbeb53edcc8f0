from pragmaspec.images.pragma.repository import Listed
from pragmaspec.images.pragma.vc_in import Appliance, Disk, Machine
from pragmaspec.report.pragma_text import appliances_form, appliances_text
from pragmaspec.report.style import Pen

PARTS = Disk(packing="splited_gzip", files=("a.1", "a.2"), format="raw", bus="virtio")
PLAIN = Disk(packing="raw", files=("b.qcow2",), format="qcow2", bus="")
ROCKS = Appliance(
    name="rocks",
    frontend=Machine(role="frontend", cpus=2, memory_mib=2048, disk=PARTS),
    compute=Machine(role="compute", cpus=16, memory_mib=0, disk=None),
    wait_s=300,
)
ALONE = Appliance(name="alone", frontend=Machine(role="frontend", cpus=1, memory_mib=512, disk=PLAIN), compute=None)
LISTED = (
    Listed(name="rocks", path="rocks/rocks.xml", appliance=ROCKS),
    Listed(name="alone", path="alone.xml", appliance=ALONE),
    Listed(name="bad", path="bad.xml", trouble="It has no <frontend>."),
)


def test_one_line_for_each_role() -> None:
    assert appliances_text(LISTED, Pen()).splitlines() == [
        "CLUSTER  ROLE      CPUS   MEMORY  DISK                       BUS     NOTES",
        "rocks    frontend     2    2 GiB  raw, split, gzip, 2 parts  virtio",
        "         compute     16           the frontend's                     started 300 s after the frontend",
        "alone    frontend     1  512 MiB  qcow2",
        "bad                                                                  It has no <frontend>.",
    ]
    assert appliances_text((), Pen()) == "The repository is empty.\n"


def test_computes_that_do_not_wait_have_no_note() -> None:
    text = appliances_text(
        (Listed(name="x", path="x", appliance=Appliance(name="x", frontend=ALONE.frontend, compute=ALONE.frontend)),), Pen()
    )
    assert "NOTES" not in text


def test_the_same_for_programs() -> None:
    form = appliances_form(LISTED, "https://host/vms")
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
