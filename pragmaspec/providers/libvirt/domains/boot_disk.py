"""Making a node's disk: an empty overlay on its image, or one with files in it for an image without cloud-init.

The latter takes several calls, so a marker stands beside it until it is whole. It is gone before the machine is defined, and so a
disk with a marker has never been booted from: it holds nothing of anybody's, and is made anew.
"""

from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.xml import DomainConfig
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volumes import overlay_xml


def disk_made(host: Host, request: BootRequest, parts: DomainConfig) -> bool:
    """Make the disk as an empty overlay; False when one is there."""
    name = names.disk_volume(request.node.name, request.mark)
    return volumes.make(host, overlay_xml(name, request.node.disk_bytes, parts.base, parts.base_format)) is not None


def disk_filled(host: Host, request: BootRequest, parts: DomainConfig) -> bool:
    """Make the disk with the files of the request in it; False when a whole one is there."""
    name, marker = names.disk_volume(request.node.name, request.mark), names.filling_marker(request.node.name, request.mark)
    if request.overlay is None or (volumes.find(host, name) is not None and volumes.find(host, marker) is None):
        return False
    with request.overlay(parts.base) as file:
        volumes.mark(host, marker)
        reach("libvirt.disk.filling")
        document = overlay_xml(name, request.node.disk_bytes, parts.base, parts.base_format)
        volume = volumes.make(host, document)
        while volume is None:
            volumes.remove(host, name)
            volume = volumes.make(host, document)
        reach("libvirt.disk.empty")
        volumes.overwrite(host, volume, file)
        reach("libvirt.disk.filled")
    volumes.remove(host, marker)
    return True
