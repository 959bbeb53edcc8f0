"""The site's storage pool, started: after a reboot of its host a pool may be defined and not active, and then lists nothing.

Starting one makes nothing and loses nothing: libvirt opens the pool's directory and lists it, as it does by itself for a pool
with the autostart flag. Without it the site cannot be observed, so a plan does it too.
"""

from typing import NamedTuple

import libvirt

from pragmaspec.errors import Problem, SiteError
from pragmaspec.providers.libvirt.errors import code_of, kind_of, words_of
from pragmaspec.providers.libvirt.host_advice import host_advice
from pragmaspec.site import LibvirtSite


class ActivePool(NamedTuple):
    """A pool that can be used; ``warning`` when it had to be started."""

    handle: libvirt.virStoragePool
    warning: Problem | None = None


def active_pool(handle: libvirt.virConnect, site: LibvirtSite, name: str) -> ActivePool:
    """The pool called ``name``. Raises SiteError with the commands to type when it does not exist or cannot be started."""
    try:
        pool = handle.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        known = sorted(pool.name() for pool in handle.listAllStoragePools())
        raise SiteError.of([_no_pool(site, known)]) from error
    if pool.isActive():
        return ActivePool(pool)
    try:
        pool.create(0)
    except libvirt.libvirtError as error:
        if not pool.isActive():  # else another command was faster
            raise SiteError.of([_not_started(site, error)]) from error
    return ActivePool(pool, _started(site, autostart=bool(pool.autostart())))


def _virsh(site: LibvirtSite) -> str:
    return f"virsh -c {site.uri}"


def _started(site: LibvirtSite, *, autostart: bool) -> Problem:
    lasting = "" if autostart else f" To have it started with its host: {_virsh(site)} pool-autostart {site.pool}"
    return Problem(
        summary="The storage pool was not started",
        detail=f"Pool {site.pool} of site {site.name} ({site.uri}) was stopped, as after a reboot of its host; it has been "
        f"started.{lasting}",
        severity="warning",
    )


def _not_started(site: LibvirtSite, error: libvirt.libvirtError) -> Problem:
    start = f"{_virsh(site)} pool-start {site.pool}"
    if kind_of(error) == "forbidden":
        advice = f"Somebody with libvirt's manage permission on the host has to start it: {start}"
    else:
        mend = host_advice(words_of(error))
        advice = f"{f'{mend} Then' if mend else 'Once that is mended'} start it: {start}"
    return Problem(
        summary="The storage pool is not started",
        detail=f"Pool {site.pool} of site {site.name} ({site.uri}) is stopped, and could not be started. libvirt says: "
        f"{words_of(error)}. {advice}",
    )


def _no_pool(site: LibvirtSite, known: list[str]) -> Problem:
    virsh, target = _virsh(site), "images" if site.pool == "default" else site.pool
    other = f"write one of them as `pool:` under the site, or make {site.pool}" if known else f"make {site.pool}"
    return Problem(
        summary="The storage pool does not exist",
        detail=f"Site {site.name} ({site.uri}) has no storage pool called {site.pool}; it has: {', '.join(known) or 'none'}. "
        f"{other[0].upper()}{other[1:]}: {virsh} pool-define-as {site.pool} dir --target /var/lib/libvirt/{target} && "
        f"{virsh} pool-build {site.pool} && {virsh} pool-start {site.pool} && {virsh} pool-autostart {site.pool}",
    )
