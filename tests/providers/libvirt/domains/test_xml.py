"""What is written for each kind of node, as golden files that libvirt's own schema accepts."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_xml
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Mark

CASES = sorted((Path(__file__).parents[3] / "cases" / "domain_xml").iterdir())


def parts_of(case: Path) -> DomainConfig:
    return msgspec.json.decode((case / "input.json").read_bytes(), type=DomainConfig)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_xml_is_what_a_person_has_read(case, golden):
    golden(case / "domain.xml", domain_xml(parts_of(case)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_xml_follows_libvirts_schema(case):
    done = subprocess.run(
        ["virt-xml-validate", case / "domain.xml", "domain"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_owner_can_be_read_back():
    parts = parts_of(CASES[0])
    owner = domain_owner(parse(domain_xml(parts)))
    assert owner is not None
    assert owner.is_for(parts.mark)
    assert owner.generation == parts.mark.generation


def test_what_the_guest_alone_is_told_does_not_change_the_definition():
    parts = parts_of(CASES[0])
    told = replace(parts, node=replace(parts.node, keys="0" * 16, peers="1" * 16, first_boot="2" * 16, protect=True))
    assert domain_xml(told) == domain_xml(parts)


def test_two_generations_are_two_machines():
    parts = parts_of(CASES[0])
    later = replace(parts, mark=Mark(lineage=parts.mark.lineage, address=parts.mark.address, generation=7))
    uuids = {parse(domain_xml(each)).findtext("uuid") for each in (parts, later)}
    assert len(uuids) == 2
