"""The real hypervisor, with a pool and a public network only for tests, and the tiny guest."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy, copytree

import libvirt
import openstack
import pytest
from openstack.connection import Connection

from tests.e2e.workspace import HOST_ADDRESS, NETWORK, POOL, Workspace, connect, listing
from tests.guest_images.tiny import build_tiny
from tests.labs.openstack.lab import OpenStackLab

POOL_DIRECTORY = Path("/var/lib/libvirt/pragmaspec-test")


@pytest.fixture(scope="session")
def tiny_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tiny guest's kernel, initrd and disk, kept between runs."""
    directory = Path(__file__).parents[2] / ".cache" / "tiny"
    build_tiny(directory)
    return directory


@pytest.fixture(scope="session")
def site(hypervisor: None) -> Iterator[None]:
    """The pool and the public network, created for this run and removed after it."""
    connection = connect()
    _remove(connection)
    POOL_DIRECTORY.mkdir(mode=0o711, exist_ok=True)
    pool = connection.storagePoolDefineXML(
        f"<pool type='dir'><name>{POOL}</name><target><path>{POOL_DIRECTORY}</path></target></pool>"
    )
    pool.create()
    connection.networkDefineXML(
        f"<network><name>{NETWORK}</name><forward mode='open'/><bridge name='ps-test'/>"
        f"<ip address='{HOST_ADDRESS}' prefix='24'><dhcp><range start='192.168.150.100' end='192.168.150.200'/></dhcp></ip>"
        "</network>"
    ).create()
    yield
    _remove(connection)
    connection.close()


def _remove(connection: libvirt.virConnect) -> None:
    for network in connection.listAllNetworks():
        if network.name() == NETWORK:
            if network.isActive():
                network.destroy()
            network.undefine()
    for pool in connection.listAllStoragePools():
        if pool.name() == POOL:
            if pool.isActive():
                for volume in pool.listAllVolumes():
                    volume.delete()
                pool.destroy()
            pool.undefine()
    if POOL_DIRECTORY.exists():
        for leftover in POOL_DIRECTORY.iterdir():
            leftover.unlink()
        POOL_DIRECTORY.rmdir()


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the results of the KVM probe, which takes 20 s where KVM does not work: one is enough for all homes."""
    return tmp_path_factory.mktemp("probes")


@pytest.fixture(scope="module")
def workspace(site: None, tiny_image: Path, probes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A user's directory. The remains of a module's tests are cleaned, and nothing may be left then."""
    before = listing()
    space = Workspace(tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("home"), tiny_image)
    copytree(probes, space.cache, dirs_exist_ok=True)
    yield space
    for result in space.cache.glob("virt-type-*.json"):
        copy(result, probes)
    if (space.directory / "state").exists():
        space.spec()
        space.run("clean", "trial", "--shutdown", "--auto-approve")
    assert listing() == before


@pytest.fixture(scope="module")
def cloud(openstack_lab: OpenStackLab) -> Iterator[Connection]:
    """The user's own access to the project at OpenStack, to look at it and to damage it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(openstack_lab.clouds_file))
        connection = openstack.connect(cloud="lab-demo")
    yield connection
    connection.close()
