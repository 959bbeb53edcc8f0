"""An inactive storage pool is started with a warning; one that cannot be started is an error with the command."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.storage_pool import active_pool
from pragmaspec.site import LibvirtSite

SITE = LibvirtSite(name="lab", uri="test:///default", pool="default-pool")


@pytest.fixture
def stopped(virsh: libvirt.virConnect) -> Iterator[libvirt.virStoragePool]:
    """The test driver's pool, inactive as after a reboot without autostart."""
    pool = virsh.storagePoolLookupByName(SITE.pool)
    pool.destroy()
    yield pool
    if not pool.isActive():
        pool.create(0)
    pool.setAutostart(1)


@pytest.mark.parametrize("query", ["observe", "inventory", "stored"])
def test_every_query_starts_an_inactive_pool(stopped: libvirt.virStoragePool, query: str) -> None:
    provider = LibvirtProvider(SITE)
    getattr(provider, query)(*(("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607",) if query == "observe" else ()))
    assert stopped.isActive()
    provider.close()


@pytest.mark.parametrize("autostart", [False, True])
def test_starting_the_pool_warns_with_the_autostart_command(
    stopped: libvirt.virStoragePool, virsh: libvirt.virConnect, autostart: bool
) -> None:
    stopped.setAutostart(int(autostart))
    first, again = (active_pool(virsh, SITE, SITE.pool) for _ in range(2))
    assert first.warning is not None
    assert first.warning.severity == "warning"
    assert ("virsh -c test:///default pool-autostart default-pool" in first.warning.detail) is not autostart
    assert again.warning is None


def test_a_pool_that_may_not_be_started_is_an_error_with_the_command(stopped: libvirt.virStoragePool) -> None:
    handle = libvirt.openReadOnly(SITE.uri)
    with pytest.raises(SiteError) as caught:
        active_pool(handle, SITE, SITE.pool)
    (problem,) = caught.value.problems
    assert problem.summary == "The storage pool is not started"
    assert "manage permission on the host has to start it: virsh -c test:///default pool-start default-pool" in problem.detail
    handle.close()


@pytest.mark.hypervisor
def test_a_pool_without_its_folder_is_an_error_with_advice(contract_site: LibvirtSite, real_virsh: libvirt.virConnect) -> None:
    directory = Path("/var/lib/libvirt") / contract_site.pool
    away = directory.with_name(f"{directory.name}-away")
    real_virsh.storagePoolLookupByName(contract_site.pool).destroy()
    directory.rename(away)
    provider = LibvirtProvider(contract_site)
    try:
        with pytest.raises(SiteError) as caught:
            provider.observe("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607")
    finally:
        away.rename(directory)
    (problem,) = caught.value.problems
    assert f"{directory}, or its directory, does not exist on the host" in problem.detail
    assert f"Then start it: virsh -c {contract_site.uri} pool-start {contract_site.pool}" in problem.detail
    assert provider.observe("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607").warnings[0].summary == "The storage pool was not started"
    provider.close()
