"""Removing what we made, and nothing else."""

import libvirt

from pragmaspec.failpoints import reach
from pragmaspec.providers.libvirt import allocation, domains, names, power, releasing, volumes
from pragmaspec.providers.libvirt.failures import absent_is_fine, code_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.recorded import Allocation, Mark, Node, Resource, StagedImage

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
    """Remove the domain and the volumes of this build and of earlier ones.

    A later build is another machine, perhaps the one in use; and where somebody else has the name, so are the volumes theirs.
    """
    if not _remove_domain(host, node, mark):
        return
    ours = (names.made_name(node.name, mark), mark.short)
    volumes.reread(host)
    for name in volumes.listed(host):
        found = names.parsed_node_volume(name)
        if found is not None and (found.node, found.short) == ours and found.generation <= mark.generation:
            volumes.remove(host, name)
            reach("libvirt.volume.removed")


def _remove_domain(host: Host, node: Node, mark: Mark) -> bool:
    """Whether the name is free of other people's machines, and now also of ours."""
    holder = domains.holder(host, node, mark)
    if holder is None:
        return True
    handle, owner = holder
    if owner is None or not owner.is_for(mark):
        return False
    if owner.generation > mark.generation:
        return True
    power.take_power(handle)
    reach("libvirt.domain.stopped")
    try:
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            handle.undefineFlags(_WITH_EVERYTHING)
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        handle.undefine()  # A driver without these extras has nothing of them to remove.
    reach("libvirt.domain.undefined")
    return True
