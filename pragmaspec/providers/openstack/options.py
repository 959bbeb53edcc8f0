"""The keys of an OpenStack site in the spec."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec.structs import replace
from pydantic import Field

from pragmaspec.networking import LateValue, Networking
from pragmaspec.providers.options import integer, text
from pragmaspec.spec.models.base import OneOrMore
from pragmaspec.spec.models.security import SecuredSiteOptions
from pragmaspec.typing import override

_NAME = r"^[!-~]([ -~]{0,253}[!-~])?$"


class OpenStackSiteModel(SecuredSiteOptions):
    """A project of an OpenStack cloud."""

    provider: Literal["openstack"] = Field(description="The provider of the site.", examples=["openstack"])
    cloud: Annotated[str | None, text(_NAME, "write the name of a cloud in clouds.yaml")] = Field(
        default=None,
        description="Name of the cloud in `clouds.yaml`, which has the credentials. Default: that of the variables `OS_*`.",
        examples=["campus"],
    )
    region: Annotated[str | None, text(_NAME, "write the name of a region")] = Field(
        default=None, description="Region. Default: that of the cloud's configuration.", examples=["RegionOne"]
    )
    network: Annotated[str | None, text(_NAME, "write the name of a network")] = Field(
        default=None,
        description="Shared network with public addresses, on which frontends have an interface. Default: floating addresses.",
        examples=["campus"],
    )
    anti_affinity: Literal["none", "soft", "strict"] = Field(
        default="none",
        description="`soft`: the computes of a cluster are on different hosts as far as possible; `strict`: always.",
        examples=["soft"],
    )
    fetch: Literal["upload", "auto", "cloud"] = Field(
        default="upload",
        description="`cloud`: the cloud downloads publicly available images, by its import method `web-download`; `auto`: as "
        "`cloud`, and where that fails they are uploaded from this machine; `upload`: they are uploaded.",
        examples=["auto"],
    )
    zones: Annotated[tuple[Annotated[str, text(_NAME, "write the name of an availability zone")], ...], OneOrMore()] = Field(
        default=(),
        description="Availability zones, over which the nodes of each role are spread by index. Default: the cloud chooses.",
        examples=[["az1", "az2"]],
    )
    volume_type: Annotated[str | None, text(_NAME, "write the name of a volume type")] = Field(
        default=None,
        description="Type of the volumes that are made for disks. Default: that of the cloud.",
        examples=["ssd"],
    )
    volume_zone: Annotated[str | None, text(_NAME, "write the name of an availability zone")] = Field(
        default=None,
        description="Availability zone of the volumes that are made for disks. Default: the cloud chooses.",
        examples=["nova"],
    )
    parallel: Annotated[int, integer(1, 64)] = Field(
        default=16, description="Maximum number of concurrent calls to the site.", examples=[8]
    )

    @override
    def networking(self, declared: Networking) -> Networking:
        """Return the networking with floating addresses, or that of frontends on a shared network."""
        return replace(declared, router=False, translated=False) if self.network else declared

    @override
    def late_values(self, declared: tuple[LateValue, ...]) -> tuple[LateValue, ...]:
        """Return the values that only the cloud chooses: on a shared network also the MAC of an interface."""
        return ("macs", *declared) if self.network else declared

    @override
    def fetches_images(self) -> bool:
        """Return True if the cloud downloads images by itself."""
        return self.fetch != "upload"

    @override
    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the keys as :class:`pragmaspec.providers.openstack.settings.OpenStackSettings` reads them."""
        options = super().plain_options(directory)
        return {name: value for name, value in options.items() if value and value not in ("none", "upload")}
