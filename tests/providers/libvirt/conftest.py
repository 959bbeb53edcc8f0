"""Stacks at libvirt sites: the in-process test driver, and the real daemon in a pool and networks that only tests use."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from pragmaspec.providers.libvirt.host import Host
from tests.hypervisor import hypervisor  # noqa: F401 - a fixture for the tests of this folder
from tests.providers.conftest import Subject, left_as_found, libvirt_system, libvirt_test


@pytest.fixture
def pretended(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A stack at libvirt's test driver, whose memory ends with its last connection."""
    yield from left_as_found(libvirt_test(request, tmp_path))


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A stack at the real daemon; nothing of it may be left at the end."""
    request.getfixturevalue("hypervisor")
    subject = libvirt_system(request, tmp_path)
    before = listing(subject)
    yield from left_as_found(subject)
    assert listing(subject) == before


def listing(subject: Subject) -> list[str]:
    """What virsh would list of the test's pool, and of machines and networks in the names of its stacks."""
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
def by_hand() -> Iterator[libvirt.virConnect]:
    """What a person with virsh does to the test driver behind our back."""
    handle = libvirt.open("test:///default")
    yield handle
    handle.close()


@pytest.fixture
def real_by_hand(hypervisor: None) -> Iterator[libvirt.virConnect]:  # noqa: F811 - the fixture itself
    """What a person with virsh does to the real daemon behind our back."""
    handle = libvirt.open("qemu:///system")
    yield handle
    handle.close()


def host_of(subject: Subject) -> Host:
    """The host behind a subject's provider, to call the rooms below it."""
    return subject.provider._host
