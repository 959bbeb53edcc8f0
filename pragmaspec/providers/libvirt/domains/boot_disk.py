"""Creation of a node's disk: an empty overlay on its image, or one with initial files for an image without cloud-init.

The latter takes several calls, so a marker exists until it is complete. The marker is removed before the domain is defined, so a
disk with a marker was never booted from: it holds no data, and is created anew.
"""

from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.xml import DomainConfig
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volumes import overlay_xml


def create_overlay(host: Host, request: BootRequest, config: DomainConfig) -> bool:
    """Create the disk as an empty overlay. False if it exists."""
    name = names.disk_volume(request.node.name, request.mark)
    return volumes.create(host, overlay_xml(name, request.node.disk_bytes, config.base, config.base_format)) is not None


def create_filled_overlay(host: Host, request: BootRequest, config: DomainConfig) -> bool:
    """Create the disk with the files of the request. False if a complete one exists."""
    name, marker = names.disk_volume(request.node.name, request.mark), names.filling_marker(request.node.name, request.mark)
    if request.overlay is None or (volumes.find(host, name) is not None and volumes.find(host, marker) is None):
        return False
    with request.overlay(config.base) as file:
        volumes.create_marker(host, marker)
        reach("libvirt.disk.filling")
        volume = volumes.replace(host, overlay_xml(name, request.node.disk_bytes, config.base, config.base_format))
        reach("libvirt.disk.empty")
        volumes.overwrite(host, volume, file)
        reach("libvirt.disk.filled")
    volumes.remove(host, marker)
    return True
