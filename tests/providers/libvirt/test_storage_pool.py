"""A storage pool that is not started is started, and said; one that cannot be is told with the command to type."""

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
def stopped(by_hand: libvirt.virConnect) -> Iterator[libvirt.virStoragePool]:
    """The test driver's pool, as a reboot leaves one without autostart."""
    pool = by_hand.storagePoolLookupByName(SITE.pool)
    pool.destroy()
    yield pool
    if not pool.isActive():
        pool.create(0)
    pool.setAutostart(1)


@pytest.mark.parametrize("ask", ["observe", "inventory", "stored"])
def test_whatever_is_asked_of_the_site_starts_its_pool(stopped: libvirt.virStoragePool, ask: str) -> None:
    provider = LibvirtProvider(SITE)
    getattr(provider, ask)(*(("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607",) if ask == "observe" else ()))
    assert stopped.isActive()
    provider.close()


@pytest.mark.parametrize("lasting", [False, True])
def test_that_it_was_started_is_a_warning_with_the_command_that_makes_it_last(
    stopped: libvirt.virStoragePool, by_hand: libvirt.virConnect, lasting: bool
) -> None:
    stopped.setAutostart(int(lasting))
    first, again = (active_pool(by_hand, SITE, SITE.pool) for _ in range(2))
    assert first.warning is not None
    assert first.warning.severity == "warning"
    assert ("virsh -c test:///default pool-autostart default-pool" in first.warning.detail) is not lasting
    assert again.warning is None


def test_where_we_may_not_start_it_the_command_is_said(stopped: libvirt.virStoragePool) -> None:
    handle = libvirt.openReadOnly(SITE.uri)
    with pytest.raises(SiteError) as caught:
        active_pool(handle, SITE, SITE.pool)
    (problem,) = caught.value.problems
    assert problem.summary == "The storage pool is not started"
    assert "manage permission on the host has to start it: virsh -c test:///default pool-start default-pool" in problem.detail
    handle.close()


@pytest.mark.hypervisor
def test_a_pool_whose_folder_is_gone_says_what_to_do_about_the_folder(
    contract_site: LibvirtSite, real_by_hand: libvirt.virConnect
) -> None:
    folder = Path("/var/lib/libvirt") / contract_site.pool
    away = folder.with_name(f"{folder.name}-away")
    real_by_hand.storagePoolLookupByName(contract_site.pool).destroy()
    folder.rename(away)
    provider = LibvirtProvider(contract_site)
    try:
        with pytest.raises(SiteError) as caught:
            provider.observe("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607")
    finally:
        away.rename(folder)
    (problem,) = caught.value.problems
    assert f"{folder}, or its folder, does not exist on the host" in problem.detail
    assert f"Then start it: virsh -c {contract_site.uri} pool-start {contract_site.pool}" in problem.detail
    assert provider.observe("3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607").warnings[0].summary == "The storage pool was not started"
    provider.close()
