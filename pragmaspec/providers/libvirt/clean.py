"""Removing what we made, and nothing else."""

import libvirt

from pragmaspec.failpoints import reach
from pragmaspec.providers.libvirt import volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains import power
from pragmaspec.providers.libvirt.domains.files import belongings, require_unused, uppermost_first, written_by
from pragmaspec.providers.libvirt.errors import absent_is_fine, code_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images import remove as releasing
from pragmaspec.providers.libvirt.networks import allocate as allocation
from pragmaspec.resources import Allocation, Mark, Node, Resource, StagedImage

_WITH_EVERYTHING = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def clean(host: Host, resource: Resource, mark: Mark) -> None:
    """Remove the resource with all that belongs to it; absent: nothing to do."""
    match resource:
        case Node() as node:
            _clean_node(host, node, mark)
        case Allocation() as granted:
            allocation.release(host, granted, mark)
        case StagedImage() as image:
            releasing.release(host, image.digest, mark)


def _clean_node(host: Host, node: Node, mark: Mark) -> None:
    """Remove the domain and the volumes of this build and of earlier ones, with the files of its snapshots.

    A later build is another machine, perhaps the one in use; and where somebody else has the name, so are the volumes theirs.
    """
    holder = domains.holder(host, node, mark)
    if holder is not None and (holder[1] is None or not holder[1].is_for(mark)):
        return
    handle = holder[0] if holder is not None and holder[1] is not None and holder[1].generation <= mark.generation else None
    written, running = frozenset[str](), False
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        if handle is not None:
            written, running = written_by(host, handle), bool(handle.isActive())
    volumes.reread(host)
    found = belongings(host, node, mark, written)
    require_unused(host, node, mark, found)
    if handle is not None:
        _remove_domain(handle)
    if running:
        volumes.reread(host)  # Its console log may have been rotated as it ended.
        found = belongings(host, node, mark, written)
    for name in uppermost_first(found.ours):
        volumes.remove(host, name)
        reach("libvirt.volume.removed")


def _remove_domain(domain: libvirt.virDomain) -> None:
    power.take_power(domain)
    reach("libvirt.domain.stopped")
    try:
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            domain.undefineFlags(_WITH_EVERYTHING)
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        domain.undefine()  # A driver without these extras has nothing of them to remove.
    reach("libvirt.domain.undefined")
