"""The subjects of the contract tests: providers, each at a site of its own."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from pragmaspec.networking import Networking
from pragmaspec.site import Flavor, IdentityKind, LibvirtSite, PublicNetwork, QuotaKind, SimulatedHost, SimulatedSite
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject, left_as_found, small_image

__all__ = ["Subject", "left_as_found", "small_image"]

OWN = os.getpid() % 10
"""Separates concurrent runs of these tests at one hypervisor."""
NAME = f"pragmaspec-contract-{OWN}"
NETWORK = f"192.168.{151 + OWN}"


_CLOUD: dict[str, Any] = {
    "host": SimulatedHost(visible=False),
    "flavors": (
        Flavor(name="m1.small", cpus=1, memory_mib=128),
        Flavor(name="m1.medium", cpus=2, memory_mib=256),
        Flavor(name="m1.large", cpus=8, memory_mib=4096, disk_bytes=2**30),
    ),
    "quotas": (("instances", 4), ("cores", 40), *((kind, 2**40) for kind in get_args(QuotaKind)[2:])),
    "user_data_limit": 16 * 2**10,
}
"""Options of sites with flavors, quotas, a host that they do not report, and user-data instead of seeds."""


def simulated_memory(request: pytest.FixtureRequest, directory: Path) -> Subject:
    site = SimulatedSite(name=f"memory-{uuid4()}", file=":memory:", devices=(("gpu", 2),))
    return Subject.at(site, directory, public="192.0.2.10", rounds=50)


def simulated_file(request: pytest.FixtureRequest, directory: Path) -> Subject:
    site = SimulatedSite(name="file", file=str(directory / "site.jsonl"), devices=(("gpu", 2),))
    return Subject.at(site, directory, public="192.0.2.10", rounds=20)


def simulated_token(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site that creates one machine per token."""
    return _simulated_identity("token", directory)


def simulated_tag(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site that creates one machine per request."""
    return _simulated_identity("tag", directory)


def _simulated_identity(kind: IdentityKind, directory: Path) -> Subject:
    site = SimulatedSite(name=f"{kind}-{uuid4()}", file=":memory:", identity=kind, window_s=60)
    return Subject.at(site, directory, public="192.0.2.10")


def simulated_cloud(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site with flavors, quotas, a host that it does not report, and user-data instead of seeds."""
    site = SimulatedSite(name=f"cloud-{uuid4()}", file=":memory:", **_CLOUD)
    return Subject.at(site, directory, public="192.0.2.10")


def simulated_routed(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site like an OpenStack cloud with floating addresses: without VLANs, with routers that translate public addresses."""
    site = SimulatedSite(
        name=f"routed-{uuid4()}",
        file=":memory:",
        identity="tag",
        window_s=60,
        late=("public",),
        connects=Networking(vlans=False, router=True, translated=True, dhcp=True, frontend_offset=4),
        **_CLOUD,
    )
    return Subject.at(site, directory, public="192.0.2.10")


def simulated_translated(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site like EC2: the frontend is the gateway, with a translated address."""
    site = SimulatedSite(
        name=f"translated-{uuid4()}",
        file=":memory:",
        identity="token",
        window_s=60,
        late=("macs", "public"),
        connects=Networking(vlans=False, translated=True, dhcp=True, frontend_offset=4),
        **_CLOUD,
    )
    return Subject.at(site, directory, public="192.0.2.10")


def simulated_late(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """A site that chooses MACs and addresses."""
    site = SimulatedSite(name="late", file=str(directory / "site.jsonl"), late=("macs", "private", "public"))
    return Subject.at(site, directory, public="192.0.2.10")


def simulated_late_tag(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """The same, where every request creates a machine."""
    site = SimulatedSite(name=f"late-{uuid4()}", file=":memory:", identity="tag", window_s=60, late=("macs", "private"))
    return Subject.at(site, directory, public="192.0.2.10")


def libvirt_test(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """libvirt's in-process test driver. Its state is shared in this process, so every test cleans up.

    It starts any machine, and cannot resize a disk.
    """
    site = LibvirtSite(name="pretended", uri="test:///default")
    return replace(Subject.at(site, directory, public="192.168.122.10"), faithful=False)


def libvirt_system(request: pytest.FixtureRequest, directory: Path) -> Subject:
    """The real daemon, with its own pool and public network. Its guests have nothing to boot, which is fast."""
    site = request.getfixturevalue("contract_site")
    return Subject.at(site, directory, vlan=3900 + 10 * OWN, public=f"{NETWORK}.10")


BASIC = ("autostart", "boot_check", "duplicate_removal", "faithful", "guest_simulation", "image_listing", "processors",
         "public", "site_images", "volume_storage")  # fmt: skip
SIMULATED = (*BASIC, "vlans")
CLOUD = ("few_instances", "flavors", "quotas", "user_data")
LATE = ("late_macs", "late_private")
LIBVIRT = ("autostart", "boot_check", "ident", "image_listing", "network_use", "paused_boot", "peer_images", "processors",
           "public", "site_images", "storage_refresh", "vlans", "volume_storage")  # fmt: skip


@pytest.fixture(
    params=[
        pytest.param(simulated_memory, id="simulated-memory", marks=has("ident", "devices", *SIMULATED)),
        pytest.param(simulated_file, id="simulated-file", marks=has("ident", "devices", *SIMULATED)),
        pytest.param(simulated_token, id="simulated-token", marks=has("token", *SIMULATED)),
        pytest.param(simulated_tag, id="simulated-tag", marks=has("tag", *SIMULATED)),
        pytest.param(simulated_cloud, id="simulated-cloud", marks=has("ident", *CLOUD, *SIMULATED)),
        pytest.param(simulated_routed, id="simulated-routed", marks=has("tag", "late_public", "translated", *CLOUD, *BASIC)),
        pytest.param(
            simulated_translated,
            id="simulated-translated",
            marks=has("token", "late_macs", "late_public", "translated", *CLOUD, *BASIC),
        ),
        pytest.param(simulated_late, id="simulated-late", marks=has("ident", "late_public", *LATE, *SIMULATED)),
        pytest.param(simulated_late_tag, id="simulated-late-tag", marks=has("tag", *LATE, *SIMULATED)),
        pytest.param(libvirt_system, id="libvirt-system", marks=[pytest.mark.hypervisor, has("faithful", *LIBVIRT)]),
        pytest.param(libvirt_test, id="libvirt-test", marks=has(*LIBVIRT)),
    ]
)
def new_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """One stack at a site of each kind, for the contract of :mod:`pragmaspec.testing`."""
    return request.param(request, tmp_path)


@pytest.fixture(scope="session")
def contract_site(hypervisor: None) -> Iterator[LibvirtSite]:
    """A storage pool and a public network at the real daemon for these tests, which must be empty at the end."""
    import libvirt

    connection = libvirt.open("qemu:///system")
    directory = Path("/var/lib/libvirt") / NAME
    directory.mkdir(mode=0o711, exist_ok=True)
    pool = connection.storagePoolDefineXML(
        f"<pool type='dir'><name>{NAME}</name><target><path>{directory}</path></target></pool>"
    )
    pool.create()
    network = connection.networkDefineXML(
        f"<network><name>{NAME}</name><bridge name='ps-contract-{OWN}'/><ip address='{NETWORK}.1' prefix='24'>"
        f"<dhcp><range start='{NETWORK}.100' end='{NETWORK}.200'/></dhcp></ip></network>"
    )
    network.create()
    yield LibvirtSite(name="lab", virt_type="qemu", pool=NAME, public=PublicNetwork(network=NAME))
    left = pool.listVolumes()
    for volume in pool.listAllVolumes():
        volume.delete()
    for thing in (network, pool):
        thing.destroy()
        thing.undefine()
    directory.rmdir()
    connection.close()
    assert left == []
