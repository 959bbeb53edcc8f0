"""libvirt, with machines that get user-data and the configuration of their network from the site."""

from msgspec.structs import replace

from pragmaspec.guest.cloud_init.iso9660 import iso_image
from pragmaspec.guest.cloud_init.yaml import yaml_text
from pragmaspec.guest.interfaces import ethernet
from pragmaspec.providers.api import BootRequest, ExternalSite, Frozen, Outputs, SiteError, override
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.site import LibvirtSite


class CloudSiteOptions(Frozen, frozen=True):
    """The keys of the site."""

    pool: str


class CloudProvider(LibvirtProvider):
    """The provider of one site. Its disk with user-data stands for the metadata service of a cloud."""

    def __init__(self, site: ExternalSite) -> None:
        pool = site.read_options(CloudSiteOptions).pool
        super().__init__(LibvirtSite(name=site.name, public=site.public, overcommit=site.overcommit, pool=pool))
        self._cloud = site

    @override
    def boot(self, request: BootRequest) -> Outputs:
        if request.seed or len(request.user_data) > (self._cloud.delivery.user_data_limit or 0):
            raise SiteError("Not a cloud", "A cloud takes user-data of a limited size only.")
        return super().boot(replace(request, seed=_metadata(request) if request.user_data else b"", user_data=b""))


def _metadata(request: BootRequest) -> bytes:
    """Return the site's own knowledge about the machine, and the user-data, byte for byte."""
    network = {"version": 2, "ethernets": {nic.network: ethernet(nic, "cloud.example") for nic in request.node.nics}}
    files = {
        "meta-data": yaml_text({"instance-id": request.mark.uuid, "local-hostname": "ip-10-0-0-1"}).encode(),
        "network-config": yaml_text(network).encode(),
        "user-data": request.user_data,
    }
    return iso_image("cidata", files)
