"""Definitions of real libvirt after manual changes, compared with the wanted ones.

``tests/cases/domain_drift/<case>``: inactive.xml (``virsh dumpxml --inactive``), active.xml (of the machine that ran), found.txt.
node.json there is the configuration of their node.
"""

from pathlib import Path
from uuid import uuid4
from xml.etree.ElementTree import Element, fromstring, tostring

import libvirt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.providers.libvirt.domains.additions import additions, transient_additions, with_additions
from pragmaspec.providers.libvirt.domains.definition import differences
from pragmaspec.providers.libvirt.domains.disk_chain import layers, own_chain
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_element
from pragmaspec.providers.libvirt.xml import to_text
from pragmaspec.resources import Mark

CASES = Path(__file__).parents[3] / "cases" / "domain_drift"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
CONFIG = msgspec.json.decode((CASES / "node.json").read_bytes(), type=DomainConfig)


def wanted() -> Element:
    return domain_element(CONFIG)


def read(case: str, file: str) -> Element | None:
    path = CASES / case / file
    return fromstring(path.read_text(encoding="utf-8")) if path.exists() else None


def definition(case: str) -> Element:
    found = read(case, "inactive.xml")
    assert found is not None
    return found


@pytest.mark.parametrize("case", NAMES)
def test_differences_match_the_golden_file(case, golden):
    defined, active = definition(case), read(case, "active.xml")
    lines = [f"{each.repair}: {each.detail}" for each in differences(wanted(), defined, active)]
    for kind, root in (("definition", defined), ("running", active)):
        found = layers(own_chain(root), CONFIG.disk, CONFIG.base, {}, "/var/lib/libvirt/images") if root is not None else ()
        lines += [f"layer of the {kind}: {layer.file}{'' if layer.above else ', instead'}" for layer in found]
        lines += ["  stays when the node is cleaned" for layer in found if layer.stays]
    lines += [f"added: {words}" for words in additions(wanted(), defined)]
    lines += [f"added until it is off: {words}" for words in transient_additions(wanted(), defined, active)] if active else []
    golden(CASES / case / "found.txt", "\n".join(lines or ["as recorded"]) + "\n")


@pytest.mark.hypervisor
@pytest.mark.parametrize(
    "case",
    [
        "compute-on-host-bridges",
        "devices",
        "kvm-disk-boot",
        "pinned",
        "processor-highest-level",
        "processor-level-with-kvm",
        "processor-of-the-emulator",
        "uefi-chosen-by-libvirt",
        "uefi-loader-named",
    ],
)
def test_libvirts_version_of_a_definition_does_not_differ(case, real_virsh):
    config = msgspec.json.decode((CASES.parent / "domain_xml" / case / "input.json").read_bytes(), type=DomainConfig)
    mark = Mark(lineage=str(uuid4()), address=config.mark.address)
    ours = domain_element(replace(config, mark=mark))
    domain = real_virsh.defineXML(to_text(ours))
    try:
        defined = fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        assert ([*differences(ours, defined, None)], additions(ours, defined)) == ([], ())
    finally:
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)


@pytest.mark.parametrize("case", NAMES)
def test_a_redefinition_removes_differences_and_keeps_additions(case):
    defined = definition(case)
    merged = with_additions(wanted(), defined)
    assert [*differences(wanted(), merged, None)] == []
    assert additions(wanted(), merged) == additions(wanted(), defined)
    again = with_additions(wanted(), merged)
    assert tostring(again) == tostring(merged), "no addition is repeated"


@given(
    memory_mib=st.integers(1, 2**20),
    cpus=st.integers(1, 255),
    disk=st.sampled_from(("/pool/other.qcow2", CONFIG.disk)),
    seed=st.sampled_from(("/pool/other.iso", CONFIG.seed)),
    links=st.lists(st.sampled_from((*CONFIG.links, *(replace(link, mtu=1400) for link in CONFIG.links))), max_size=1),
)
def test_differences_are_exactly_the_changed_values(memory_mib, cpus, disk, seed, links):
    node = replace(CONFIG.node, memory_mib=memory_mib, cpus=cpus)
    theirs = fromstring(to_text(domain_element(replace(CONFIG, node=node, disk=disk, seed=seed, links=tuple(links)))))
    found = [each.detail for each in differences(wanted(), theirs, None)]
    assert any(detail.startswith("memory is ") for detail in found) == (memory_mib != CONFIG.node.memory_mib)
    assert any(detail.startswith("cpus is ") for detail in found) == (cpus != CONFIG.node.cpus)
    assert any(detail.startswith("disk vdb is ") for detail in found) == (seed != CONFIG.seed)
    assert any("interface" in detail for detail in found) == (tuple(links) != CONFIG.links)
    assert (own_chain(theirs)[0] != CONFIG.disk) == (disk != CONFIG.disk)


def test_equal_definitions_do_not_differ():
    assert [*differences(wanted(), fromstring(to_text(wanted())), None)] == []
    assert additions(wanted(), fromstring(to_text(wanted()))) == ()
