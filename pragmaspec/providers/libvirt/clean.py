"""Removal of objects that this stack created, and of nothing else."""

import libvirt

from pragmaspec.failpoints import reach
from pragmaspec.providers.libvirt import volumes
from pragmaspec.providers.libvirt.domains.extra_disks import remove_volume
from pragmaspec.providers.libvirt.domains.files import domain_volumes, find_node_files, require_unused, top_layers_first
from pragmaspec.providers.libvirt.domains.lookup import find_holder
from pragmaspec.providers.libvirt.domains.power import force_off
from pragmaspec.providers.libvirt.errors import code_of, ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images.remove import release_image
from pragmaspec.providers.libvirt.networks.allocate import release_allocation
from pragmaspec.resources import Allocation, Mark, Node, Resource, StagedImage, Volume

_UNDEFINE_FLAGS = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


def clean(host: Host, resource: Resource, mark: Mark) -> None:
    """Remove the resource with everything that belongs to it. Absent: no effect."""
    match resource:
        case Node() as node:
            _clean_node(host, node, mark)
        case Allocation() as allocation:
            release_allocation(host, allocation, mark)
        case StagedImage() as image:
            release_image(host, image.digest, mark)
        case Volume():
            remove_volume(host, mark)


def _clean_node(host: Host, node: Node, mark: Mark) -> None:
    """Remove the domain and the volumes of this generation and of earlier ones, with the files of its snapshots.

    A later generation is another machine, perhaps the one in use. If a foreign domain has the name, so are the volumes.
    """
    holder = find_holder(host, node, mark)
    if holder is not None and (holder[1] is None or not holder[1].is_for(mark)):
        return
    handle = holder[0] if holder is not None and holder[1] is not None and holder[1].generation <= mark.generation else None
    written, running = frozenset[str](), False
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        if handle is not None:
            written, running = domain_volumes(host, handle), bool(handle.isActive())
    volumes.refresh(host)
    files = find_node_files(host, node, mark, written)
    require_unused(host, node, mark, files)
    if handle is not None:
        _remove_domain(handle)
    if running:
        volumes.refresh(host)  # Its console log may have been rotated as it ended.
        files = find_node_files(host, node, mark, written)
    for name in top_layers_first(files.own):
        volumes.remove(host, name)
        reach("libvirt.volume.removed")


def _remove_domain(domain: libvirt.virDomain) -> None:
    force_off(domain)
    reach("libvirt.domain.stopped")
    try:
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            domain.undefineFlags(_UNDEFINE_FLAGS)
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        domain.undefine()  # The driver supports none of these flags, so there is nothing more to remove.
    reach("libvirt.domain.undefined")
