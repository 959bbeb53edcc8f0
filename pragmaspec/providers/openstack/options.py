"""The keys of an OpenStack site in the spec."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pragmaspec.providers.options import Model, SiteOptions, integer, text, value_error
from pragmaspec.spec.fields.addresses import source_network
from pragmaspec.spec.models.base import OneOrMore
from pragmaspec.typing import override

_NAME = r"^[!-~]([ -~]{0,253}[!-~])?$"
_EVERYWHERE = ("0.0.0.0/0",)
_PORT_MAX = 65535


class IngressModel(Model):
    """Traffic from outside of a cluster that its nodes accept."""

    ports: Annotated[
        str | int, text(r"^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$", "write a port such as 443, or a range such as 8000-8080")
    ] = Field(description="A port, or an inclusive range.", examples=["8000-8080"])
    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="The protocol.", examples=["udp"])
    sources: Annotated[tuple[Annotated[str, source_network()], ...], OneOrMore()] = Field(
        default=_EVERYWHERE, alias="from", description="Networks that may connect. Default: all.", examples=[["192.0.2.0/24"]]
    )

    @model_validator(mode="after")
    def _ports_in_order(self) -> Self:
        first, last = self.port_range
        if not 1 <= first <= last <= _PORT_MAX:
            raise value_error(
                "Not a range of ports", f"{self.ports} is not a range within 1 to {_PORT_MAX}; write one such as 8000-8080"
            )
        return self

    @property
    def port_range(self) -> tuple[int, int]:
        """The first and the last port."""
        first, _, last = str(self.ports).partition("-")
        return int(first), int(last or first)


class OpenStackSiteModel(SiteOptions):
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
    zones: Annotated[tuple[Annotated[str, text(_NAME, "write the name of an availability zone")], ...], OneOrMore()] = Field(
        default=(),
        description="Availability zones, over which the nodes of each role are spread by index. Default: the cloud chooses.",
        examples=[["az1", "az2"]],
    )
    ssh_from: Annotated[tuple[Annotated[str, source_network()], ...], OneOrMore()] = Field(
        default=_EVERYWHERE,
        description="Networks that may connect to nodes by ssh, and ping them. Default: all.",
        examples=[["192.0.2.0/24"]],
    )
    ingress: tuple[IngressModel, ...] = Field(
        default=(),
        description="Further traffic from outside that nodes accept. Within a cluster all traffic is allowed.",
        examples=[[{"ports": 443}]],
    )
    parallel: Annotated[int, integer(1, 64)] = Field(
        default=16, description="Maximum number of concurrent calls to the site.", examples=[8]
    )

    @override
    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the keys as :class:`pragmaspec.providers.openstack.settings.OpenStackSettings` reads them."""
        del directory
        ingress = [
            {"protocol": each.protocol, "first": each.port_range[0], "last": each.port_range[1], "sources": list(each.sources)}
            for each in self.ingress
        ]
        options: dict[str, object] = {
            "cloud": self.cloud,
            "region": self.region,
            "zones": list(self.zones),
            "ssh_from": list(self.ssh_from),
            "ingress": ingress,
        }
        return {name: value for name, value in options.items() if value}
