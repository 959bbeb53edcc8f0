"""Stacks at libvirt sites: the in-process test driver, and the real daemon with its own pool and networks."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from pragmaspec.providers.libvirt.host import Host
from tests.hypervisor import hypervisor  # noqa: F401 - a fixture for the tests of this directory
from tests.providers.conftest import Subject, left_as_found, libvirt_system, libvirt_test


@pytest.fixture
def fake_stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A stack at libvirt's test driver, whose state ends with its last connection."""
    yield from left_as_found(libvirt_test(request, tmp_path))


@pytest.fixture
def real_stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A stack at the real daemon, of which nothing may be left at the end."""
    request.getfixturevalue("hypervisor")
    subject = libvirt_system(request, tmp_path)
    before = listing(subject)
    yield from left_as_found(subject)
    assert listing(subject) == before


def listing(subject: Subject) -> list[str]:
    """The volumes of the test's pool, and the machines and networks of its stacks, as virsh lists them."""
    handle = libvirt.open(subject.site.uri)
    try:
        found = [f"volume {name}" for name in handle.storagePoolLookupByName(subject.site.pool).listVolumes()]
        numbers = [f"pragmaspec-vlan-{subject.vlan + offset}" for offset in range(10)]
        found += [
            f"{type(thing).__name__} {thing.name()}"
            for thing in (*handle.listAllDomains(), *handle.listAllNetworks())
            if thing.name() in numbers or any(thing.name().endswith(f".{lineage[:8]}") for lineage in subject.stacks)
        ]
        return sorted(found)
    finally:
        handle.close()


@pytest.fixture
def virsh() -> Iterator[libvirt.virConnect]:
    """A connection to the test driver for manual changes, as by virsh."""
    handle = libvirt.open("test:///default")
    yield handle
    handle.close()


@pytest.fixture
def real_virsh(hypervisor: None) -> Iterator[libvirt.virConnect]:  # noqa: F811 - the fixture itself
    """A connection to the real daemon for manual changes, as by virsh."""
    handle = libvirt.open("qemu:///system")
    yield handle
    handle.close()


def host_of(subject: Subject) -> Host:
    """The host of a subject's provider, to call its functions directly."""
    return subject.provider._host
