"""The keys of a site in the spec."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pragmaspec.providers.options import Model, disk, integer, memory, text, value_error
from pragmaspec.spec.fields.url import url_field
from pragmaspec.spec.models.security import SecuredSiteOptions
from pragmaspec.typing import override

_ENDPOINT_ADVICE = "write the URL of the service, such as http://cloud:8773/services/compute/"
_CREDENTIAL_ADVICE = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws/credentials) instead"
_ID_ADVICE = "write the id of one at the site"


class InstanceTypeModel(Model):
    """An instance type of a service that does not describe its types itself."""

    cpus: Annotated[int, integer(1, 4096)] = Field(description="Number of virtual CPUs.", examples=[2])
    memory_mib: Annotated[int, memory()] = Field(alias="memory", description="Amount of memory.", examples=["4 GiB"])
    disk_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="disk", description="Size of its first disk. Default: any.", examples=["20 GiB"]
    )


class Ec2SiteModel(SecuredSiteOptions):
    """An account at AWS, at Eucalyptus, or at OpenStack's ec2-api. Credentials are those of AWS's own tools."""

    provider: Literal["ec2"] = Field(description="The provider of the site.", examples=["ec2"])
    endpoint: Annotated[str | None, url_field(_ENDPOINT_ADVICE, credential_advice=_CREDENTIAL_ADVICE)] = Field(
        default=None,
        description="URL of the service. Default: AWS, or AWS_ENDPOINT_URL_EC2.",
        examples=["http://cloud.example.org:8773/services/compute/"],
    )
    region: Annotated[str | None, text(r"^[A-Za-z0-9-]{1,63}$", "write a region such as eu-central-1")] = Field(
        default=None, description="Region. Default: that of the environment or the profile.", examples=["eu-central-1"]
    )
    profile: Annotated[str | None, text(advice="write the name of a profile in ~/.aws/config")] = Field(
        default=None, description="Profile with the credentials. Default: AWS_PROFILE, or none.", examples=["clusters"]
    )
    zone: Annotated[str | None, text(r"^[A-Za-z0-9-]{1,63}$", "write a zone such as eu-central-1a")] = Field(
        default=None,
        description="Availability zone of new subnets and volumes. Default: that of `subnet`, or the first.",
        examples=["eu-central-1a"],
    )
    vpc: Annotated[str | None, text(r"^vpc-[0-9a-f]{8,17}$", _ID_ADVICE)] = Field(
        default=None,
        description="VPC in which each network of a cluster gets a subnet. Default: each cluster has a VPC of its own.",
        examples=["vpc-0a1b2c3d4e5f60718"],
    )
    subnet: Annotated[str | None, text(r"^subnet-[0-9a-f]{8,17}$", _ID_ADVICE)] = Field(
        default=None,
        description="Subnet of the only cluster of the site, whose private `cidr` has to be its range. Default: made for each.",
        examples=["subnet-0a1b2c3d4e5f60718"],
    )
    security_group: Annotated[str | None, text(r"^sg-[0-9a-f]{8,17}$", _ID_ADVICE)] = Field(
        default=None,
        description="Existing security group that all nodes have beside the one of their cluster. Default: none.",
        examples=["sg-0a1b2c3d4e5f60718"],
    )
    types: tuple[Annotated[str, text(r"^[A-Za-z0-9.*?-]{1,64}$", "write a type or a pattern, such as t3.*")], ...] = Field(
        default=(),
        description="Instance types that nodes may have, as names or patterns. Default: all current ones.",
        examples=[["t3.*", "m7i.large"]],
    )
    architecture: Literal["x86_64", "arm64"] = Field(
        default="x86_64", description="Architecture of the images, which instance types have to fit.", examples=["arm64"]
    )
    sizes: dict[Annotated[str, text(r"^[!-~]{1,64}$", "write the name of an instance type")], InstanceTypeModel] = Field(
        default_factory=dict,
        description="Instance types, where the service does not describe them.",
        examples=[{"m1.small": {"cpus": 1, "memory": "2 GiB", "disk": "20 GiB"}}],
        json_schema_extra={"additionalProperties": False},
    )
    key: Annotated[str | None, text(advice="write the name of a key pair")] = Field(
        default=None, description="Key pair of new machines, beside the keys of the spec. Default: none.", examples=["admin"]
    )
    market: Literal["on-demand", "spot"] = Field(
        default="on-demand", description="Market in which machines are bought.", examples=["spot"]
    )
    tags: dict[
        Annotated[str, text(r"^(?!aws:|pragmaspec)[^\x00-\x1f:]{1,128}$", "write a key without a colon")],
        Annotated[str, text(r"^[^\x00-\x1f]{1,256}$", "write a string")],
    ] = Field(
        default_factory=dict,
        description="Tags of all objects, beside those of pragmaspec.",
        examples=[{"project": "pragma"}],
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.vpc and self.subnet:
            raise value_error("Two networks", "`vpc` and `subnet` are both set; keep one: a subnet is in one VPC")
        if self.types and self.sizes:
            raise value_error("Two lists of sizes", "`types` and `sizes` are both set; `sizes` is for services without types")
        return self

    @override
    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the keys as :class:`pragmaspec.providers.ec2.settings.Ec2Settings` reads them."""
        sizes = [
            {"name": name, "cpus": size.cpus, "memory_mib": size.memory_mib, "disk_bytes": size.disk_bytes or 0}
            for name, size in sorted(self.sizes.items())
        ]
        own = {"sizes": sizes, "tags": sorted([key, value] for key, value in self.tags.items())}
        options = {**super().plain_options(directory), **own}
        return {name: value for name, value in options.items() if value}
