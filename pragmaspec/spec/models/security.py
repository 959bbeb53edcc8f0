"""Keys of sites with security groups: the traffic that nodes accept from outside of their cluster."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pragmaspec.spec.fields.addresses import source_network
from pragmaspec.spec.fields.ports import port_range
from pragmaspec.spec.models.base import Model, OneOrMore
from pragmaspec.spec.models.site import SiteOptions
from pragmaspec.typing import override

_EVERYWHERE = ("0.0.0.0/0",)


class IngressModel(Model):
    """Traffic from outside of a cluster that its nodes accept."""

    ports: Annotated[tuple[int, int], port_range()] = Field(
        description="A port, or an inclusive range of ports.", examples=["8000-8080"]
    )
    protocol: Literal["tcp", "udp"] = Field(default="tcp", description="The protocol.", examples=["udp"])
    sources: Annotated[tuple[Annotated[str, source_network()], ...], OneOrMore()] = Field(
        default=_EVERYWHERE, alias="from", description="Networks that may connect. Default: all.", examples=[["192.0.2.0/24"]]
    )


class SecuredSiteOptions(SiteOptions):
    """Keys common to sites with security groups."""

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

    @override
    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the keys with ``ingress`` as :class:`pragmaspec.providers.ingress.Ingress` reads it."""
        ingress = [
            {"protocol": each.protocol, "first": each.ports[0], "last": each.ports[1], "sources": list(each.sources)}
            for each in self.ingress
        ]
        return {**super().plain_options(directory), "ingress": ingress}
