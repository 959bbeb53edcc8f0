"""The site's storage pool, started if necessary: after a reboot of its host it may be inactive, and then lists no volumes.

Starting a pool creates and removes nothing: libvirt opens the pool's directory and lists it, as it does by itself for a pool
with the autostart flag. An inactive pool cannot be observed, so a plan starts it too.
"""

from typing import NamedTuple

import libvirt

from pragmaspec.errors import Problem, SiteError
from pragmaspec.providers.libvirt.errors import code_of, kind_of, message_of
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.site import LibvirtSite


class ActivePool(NamedTuple):
    """A usable pool; ``warning`` if it had to be started."""

    handle: libvirt.virStoragePool
    warning: Problem | None = None


def active_pool(handle: libvirt.virConnect, site: LibvirtSite, name: str) -> ActivePool:
    """Return the pool ``name``. Raises SiteError with the commands to run when it does not exist or cannot be started."""
    try:
        pool = handle.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        known = sorted(pool.name() for pool in handle.listAllStoragePools())
        raise _no_pool(site, known) from error
    if pool.isActive():
        return ActivePool(pool)
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        if not pool.isActive():  # Otherwise another command was faster.
            raise _not_started(site, error) from error
    return ActivePool(pool, _started(site, autostart=bool(pool.autostart())))


def _virsh(site: LibvirtSite) -> str:
    return f"virsh -c {site.uri}"


def _started(site: LibvirtSite, *, autostart: bool) -> Problem:
    advice = "" if autostart else f" To start it with its host: {_virsh(site)} pool-autostart {site.pool}"
    return Problem(
        summary="The storage pool was not started",
        detail=f"Pool {site.pool} of site {site.name} ({site.uri}) was stopped, as after a reboot of its host; it has been "
        f"started.{advice}",
        severity="warning",
    )


def _not_started(site: LibvirtSite, error: libvirt.libvirtError) -> SiteError:
    start = f"{_virsh(site)} pool-start {site.pool}"
    if kind_of(error) == "forbidden":
        advice = f"A user with libvirt's manage permission on the host has to start it: {start}"
    else:
        repair = host_advice(message_of(error))
        advice = f"{f'{repair} Then' if repair else 'Once that is repaired,'} start it: {start}"
    return SiteError(
        "The storage pool is not started",
        f"Pool {site.pool} of site {site.name} ({site.uri}) is stopped, and could not be started. libvirt reports: "
        f"{message_of(error)}. {advice}",
    )


def _no_pool(site: LibvirtSite, known: list[str]) -> SiteError:
    virsh, target = _virsh(site), "images" if site.pool == "default" else site.pool
    other = f"Write one of them as `pool:` under the site, or create {site.pool}" if known else f"Create {site.pool}"
    return SiteError(
        "The storage pool does not exist",
        f"Site {site.name} ({site.uri}) has no storage pool {site.pool}; it has: {', '.join(known) or 'none'}. "
        f"{other}: {virsh} pool-define-as {site.pool} dir --target /var/lib/libvirt/{target} && "
        f"{virsh} pool-build {site.pool} && {virsh} pool-start {site.pool} && {virsh} pool-autostart {site.pool}",
    )
