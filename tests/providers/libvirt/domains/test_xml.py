"""The XML for each kind of node: golden files that are valid for libvirt's schema."""

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


def config_of(case: Path) -> DomainConfig:
    return msgspec.json.decode((case / "input.json").read_bytes(), type=DomainConfig)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_xml_matches_the_golden_file(case, golden):
    golden(case / "domain.xml", domain_xml(config_of(case)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_xml_is_valid_for_libvirts_schema(case):
    done = subprocess.run(
        ["virt-xml-validate", case / "domain.xml", "domain"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_owner_of_a_domain_is_read_back():
    config = config_of(CASES[0])
    owner = domain_owner(parse(domain_xml(config)))
    assert owner is not None
    assert owner.is_for(config.mark)
    assert owner.generation == config.mark.generation


def test_guest_information_does_not_change_the_definition():
    config = config_of(CASES[0])
    changed = replace(config, node=replace(config.node, keys="0" * 16, peers="1" * 16, first_boot="2" * 16, protect=True))
    assert domain_xml(changed) == domain_xml(config)


def test_generations_have_different_uuids():
    config = config_of(CASES[0])
    later = replace(config, mark=Mark(lineage=config.mark.lineage, address=config.mark.address, generation=7))
    uuids = {parse(domain_xml(each)).findtext("uuid") for each in (config, later)}
    assert len(uuids) == 2
