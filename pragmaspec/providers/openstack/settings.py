"""The options of an OpenStack site, as plain values."""

from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.providers.ingress import EVERYWHERE, Ingress

AntiAffinity = Literal["none", "soft", "strict"]
"""``soft``: computes are spread over hosts as far as possible; ``strict``: a compute without a host of its own does not boot."""

Fetch = Literal["upload", "auto", "cloud"]
"""The transfer of public images: uploaded; downloaded by the cloud, or else uploaded; or only downloaded by the cloud."""


class OpenStackSettings(Frozen, frozen=True):
    """The keys of the site, as :meth:`~pragmaspec.providers.openstack.options.OpenStackSiteModel.plain_options` returns them."""

    cloud: str = ""
    """Name in ``clouds.yaml``; empty: ``OS_CLOUD``, or the variables ``OS_*``."""
    region: str = ""
    """Empty: that of the cloud's configuration."""
    network: str = ""
    """Name of a shared network whose addresses are public; empty: public addresses are floating ones."""
    zones: tuple[str, ...] = ()
    """Availability zones over which nodes are spread by their index; none: the scheduler chooses."""
    volume_type: str = ""
    """Type of new volumes; empty: the cloud's default."""
    volume_zone: str = ""
    """Availability zone of new volumes; empty: the cloud chooses."""
    anti_affinity: AntiAffinity = "none"
    fetch: Fetch = "upload"
    ssh_from: tuple[str, ...] = EVERYWHERE
    ingress: tuple[Ingress, ...] = ()

    @property
    def title(self) -> str:
        """The cloud's name for people."""
        return self.cloud or "of the environment"
