"""Models of the spec, of sites files, and of clusters: keys with types, defaults, descriptions and examples.

The JSON Schema in ``schemas/`` is generated from the models by :mod:`pragmaspec.spec.json_schema`.
"""

from copy import copy
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import AfterValidator, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from pragmaspec.spec.fields.addresses import VLAN_MAX, network, public_address
from pragmaspec.spec.fields.disks import disk_name
from pragmaspec.spec.fields.scalars import boolean, disk, duration, index, integer, memory, name, text
from pragmaspec.spec.fields.ssh_keys import ssh_key
from pragmaspec.spec.fields.state_url import StateModel, state_url
from pragmaspec.spec.fields.user_data import user_data
from pragmaspec.spec.fields.user_name import user_name
from pragmaspec.spec.models.base import Model, OneOrMore, ShortForm
from pragmaspec.spec.models.disk import DiskModel
from pragmaspec.spec.models.image import BuildModel, ImageModel
from pragmaspec.spec.models.move import MoveModel
from pragmaspec.spec.models.simulated_site import SimulatedSiteModel
from pragmaspec.spec.models.site import (
    DEVICE_PATTERN,
    DEVICES_MAX,
    FLAVOR_PATTERN,
    OBJECT_PATTERN,
    PROCESSOR_ADVICE,
    PROCESSOR_PATTERN,
    LibvirtSiteModel,
    SiteOptions,
)

SiteModel = Annotated[LibvirtSiteModel | SimulatedSiteModel, Field(discriminator="provider")]
"""A site of any provider."""
COMPUTES_MAX = 1_000_000
READINESS_WORDS = ("cloud-init", "ssh", "none")
PackageName = Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9+._:~=-]*$", "write the name of a package of the image's distribution")]


def _set_name(written: str) -> str:
    return "compute" if written == "computes" else written


SetName = Annotated[str, text(advice="write frontend, computes, or the name of a group"), AfterValidator(_set_name)]
"""The name of a set of nodes, as of :class:`~pragmaspec.spec.models.roles.NodeSet`: written ``computes`` or ``compute``, it is
``compute``."""
UserData = Annotated[dict[str, Any] | str, user_data()]


class ReadinessModel(Model):
    """The readiness condition of booted nodes."""

    when: Literal["cloud-init", "ssh", "none"] = Field(
        default="cloud-init",
        description="`cloud-init`: it has finished without errors; `ssh`: ssh logins work; `none`: the node was started.",
        examples=["ssh"],
    )
    timeout_ms: Annotated[int, duration(1000, 86_400_000)] = Field(
        default=600_000,
        alias="timeout",
        json_schema_extra={"default": "10 min"},
        description="Timeout of each stage of waiting.",
        examples=["10 min"],
    )


class RoleModel(Model):
    """Keys common to the frontend, the computes and the groups."""

    image: Annotated[str | None, text(advice="write the name of an image")] = Field(
        default=None, description="Name of an image. Default: the cluster's.", examples=["debian-12"]
    )
    cpus: Annotated[int, integer(1, 1024)] = Field(default=1, description="Number of virtual CPUs per node.", examples=[2])
    cpu: Annotated[str | None, text(PROCESSOR_PATTERN, PROCESSOR_ADVICE)] = Field(
        default=None,
        description="Processor: `host` (that of the host, with all its features), a level (`x86-64`, `x86-64-v2`, `x86-64-v3`, "
        "`x86-64-v4`), or a model of the site. Default: the cluster's.",
        examples=["x86-64-v3", "host"],
    )
    memory_mib: Annotated[int, memory()] = Field(
        default=1024,
        alias="memory",
        description="Amount of memory per node.",
        examples=["2 GiB"],
        json_schema_extra={"default": "1 GiB"},
    )
    disk_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="disk", description="Disk size per node. Default: that of the image.", examples=["20 GB"]
    )
    disks: dict[Annotated[str, disk_name()], DiskModel] = Field(
        default_factory=dict,
        description="Further disks of each node, by name.",
        examples=[{"scratch": {"size": "100 GiB", "mount": "/scratch"}}],
        json_schema_extra={"additionalProperties": False},
    )
    devices: dict[
        Annotated[str, text(OBJECT_PATTERN, "write the alias of a device of the site, such as gpu")],
        Annotated[int, integer(1, DEVICES_MAX)],
    ] = Field(
        default_factory=dict,
        description="Number of devices of the site's hosts that each node has for itself, by the alias that the site defines.",
        examples=[{"gpu": 1}],
        json_schema_extra={"additionalProperties": False},
    )
    pin: Annotated[bool | None, boolean()] = Field(
        default=None,
        description="If true, each virtual CPU has a host CPU of its own, which no other pinned node uses. Default: the "
        "cluster's.",
        examples=[True],
    )
    flavor: Annotated[str | None, text(FLAVOR_PATTERN, "write the name of a flavor of the site, such as m1.small")] = Field(
        default=None,
        description="Name of a flavor, at sites that offer flavors. Default: the smallest that has `cpus`, `memory` and `disk`. "
        "With `flavor`, these are optional, and the flavor must have them.",
        examples=["m1.small"],
    )
    packages: tuple[PackageName, ...] = Field(
        default=(),
        description="Packages to install at first boot, in addition to the cluster's.",
        examples=[["nfs-kernel-server"]],
    )
    user_data: UserData = Field(
        default_factory=dict,
        description="cloud-init user-data to merge into the cluster's: a mapping, or the path of a `#cloud-config` file.",
        examples=["./frontend.yaml", {"timezone": "Asia/Tokyo"}],
    )
    readiness: Annotated[ReadinessModel | None, ShortForm("when", READINESS_WORDS)] = Field(
        default=None, description="Readiness condition of these nodes. Default: the cluster's.", examples=["ssh"]
    )


class FrontendModel(RoleModel):
    """The node for user logins, and the gateway of the others."""


class OverrideModel(RoleModel):
    """The keys in which one node differs from the others; packages and user-data are added to theirs."""


class NodesModel(RoleModel):
    """Keys common to the computes and the groups."""

    count: Annotated[int, integer(0, COMPUTES_MAX)] = Field(description="Number of nodes.", examples=[2])
    wait_for: Annotated[tuple[SetName, ...], OneOrMore()] = Field(
        default=(),
        description="Nodes that have to be ready before these boot, for images that get their configuration from them (Rocks, "
        "NIS, NFS): `frontend`, `computes`, the name of a group, or a list of these. Default: all nodes boot at the same time.",
        examples=["frontend", ["frontend", "store"]],
        min_length=1,
    )
    overrides: dict[Annotated[int, index(COMPUTES_MAX - 1)], OverrideModel] = Field(
        default_factory=dict,
        description="Single nodes that differ, by index, which begins with 0.",
        examples=[{0: {"memory": "64 GiB"}}],
        json_schema_extra={"additionalProperties": False},
    )
    machinefile: Annotated[bool, boolean()] = Field(
        default=True, description="If false, MPI's machine file does not list these nodes.", examples=[False]
    )


class ComputesModel(NodesModel):
    """The compute nodes."""


class GroupModel(NodesModel):
    """A group of nodes with its own settings."""


class UserModel(Model):
    """A user of all nodes of a cluster."""

    ssh_keys: tuple[Annotated[str, ssh_key()], ...] = Field(
        description="Public keys authorized to log in, as in the cluster's `ssh_keys`.",
        examples=[["./keys/ada.pub"]],
        min_length=1,
    )
    sudo: Annotated[bool, boolean()] = Field(
        default=False, description="If true, sudo runs any command without a password.", examples=[True]
    )
    uid: Annotated[int | None, integer(1000, 60_000)] = Field(
        default=None,
        description="Number of the user on all nodes. Default: derived from the name.",
        examples=[2001],
    )
    shell: Annotated[str | None, text(r"^/[A-Za-z0-9/._-]+$", "write the path of a shell, such as /bin/bash")] = Field(
        default=None, description="Login shell. Default: bash, or sh where there is none.", examples=["/bin/zsh"]
    )


class PrivateModel(Model):
    """The private network, which connects the frontend and the computes."""

    range: Annotated[str | None, network()] = Field(
        default=None, description="IPv4 network. Default: chosen by VLAN number.", examples=["10.22.0.0/24"]
    )
    vlan: Annotated[int | None, integer(1, VLAN_MAX)] = Field(
        default=None, description="VLAN number. Default: the site's first free one.", examples=[22]
    )
    mtu: Annotated[int, integer(576, 65535)] = Field(default=1500, description="Maximum packet size in bytes.", examples=[9000])
    domain: Annotated[str, text(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", "write a domain such as local")] = Field(
        default="local", description="DNS domain.", examples=["local"]
    )


class NetworkModel(Model):
    """An additional network of a cluster."""

    range: Annotated[str, network()] = Field(description="IPv4 network.", examples=["192.168.70.0/24"])
    bridge: Annotated[str | None, text(DEVICE_PATTERN, "write the name of a bridge of the host, such as br70")] = Field(
        default=None, description="Name of an existing bridge of the host. Default: a new isolated network.", examples=["br70"]
    )
    roles: tuple[SetName, ...] | None = Field(
        default=None,
        description="Nodes connected to it: `frontend`, `computes`, and names of groups. Default: all nodes.",
        examples=[["computes"], ["frontend", "store"]],
        min_length=1,
    )
    mtu: Annotated[int, integer(576, 65535)] = Field(default=1500, description="Maximum packet size in bytes.", examples=[9000])


class ClusterModel(Model):
    """A frontend, its computes and other groups of nodes at one site."""

    site: Annotated[str, text(advice="write the name of a site")] = Field(
        description="Name of the site that runs it.", examples=["lab"]
    )
    image: Annotated[str | None, text(advice="write the name of an image")] = Field(
        default=None, description="Name of the image that its nodes boot, unless their role has its own.", examples=["debian-12"]
    )
    cpu: Annotated[str | None, text(PROCESSOR_PATTERN, PROCESSOR_ADVICE)] = Field(
        default=None,
        description="Processor of its nodes, unless they have their own: `host`, a level (`x86-64`, `x86-64-v2`, `x86-64-v3`, "
        "`x86-64-v4`), or a model of the site. Default: a level that the site chooses for new nodes; others keep theirs.",
        examples=["x86-64-v3", "host"],
    )
    pin: Annotated[bool, boolean()] = Field(
        default=False,
        description="If true, each virtual CPU of its nodes has a host CPU of its own, which no other pinned node uses, for "
        "measurements.",
        examples=[True],
    )
    frontend: FrontendModel = Field(
        default_factory=FrontendModel, description="The node for user logins.", examples=[{"cpus": 2, "memory": "2 GiB"}]
    )
    computes: ComputesModel = Field(
        default_factory=lambda: ComputesModel(count=0),
        description="The compute nodes. Default: none.",
        examples=[{"count": 2, "cpus": 4, "memory": "8 GiB"}],
    )
    groups: dict[Annotated[str, name()], GroupModel] = Field(
        default_factory=dict,
        description="Further groups of nodes, by name: node 0 of group `gpu` in cluster `hello` is `hello-gpu-0`.",
        examples=[{"gpu": {"count": 2, "image": "debian-12-cuda"}, "store": {"count": 1, "disk": "1 TiB"}}],
        json_schema_extra={"additionalProperties": False},
    )
    ssh_keys: tuple[Annotated[str, ssh_key()], ...] | None = Field(
        default=None,
        description="Public keys authorized to log in as root: lines of `authorized_keys`, or paths that end in .pub, .keys or "
        "authorized_keys. Default: your own keys in ~/.ssh, or those of your ssh agent.",
        examples=[["~/.ssh/id_ed25519.pub", "./keys/ada.pub"]],
    )
    users: dict[Annotated[str, user_name()], UserModel] = Field(
        default_factory=dict,
        description="Users of all nodes besides root, by name. They can be added, changed and removed while nodes run.",
        examples=[{"ada": {"ssh_keys": ["./keys/ada.pub"], "sudo": True}}],
        json_schema_extra={"additionalProperties": False},
    )
    public: Annotated[str, public_address()] = Field(
        default="pool",
        description="Public address of the frontend: `pool` (the site's next free one), an address, or `none`.",
        examples=["pool", "192.0.2.10", "none"],
    )
    private: PrivateModel = Field(
        default_factory=PrivateModel,
        description="The private network of the cluster.",
        examples=[{"range": "10.22.0.0/24", "vlan": 22}],
    )
    networks: dict[Annotated[str, name()], NetworkModel] = Field(
        default_factory=dict,
        description="Additional networks, by name.",
        examples=[{"storage": {"range": "192.168.70.0/24"}}],
        json_schema_extra={"additionalProperties": False},
    )
    packages: tuple[PackageName, ...] = Field(
        default=(), description="Packages to install on all nodes at first boot.", examples=[["openmpi-bin"]]
    )
    user_data: UserData = Field(
        default_factory=dict,
        description="cloud-init user-data of all nodes: a mapping, or the path of a `#cloud-config` file.",
        examples=["./user-data.yaml", {"timezone": "Asia/Tokyo"}],
    )
    readiness: Annotated[ReadinessModel, ShortForm("when", READINESS_WORDS)] = Field(
        default_factory=ReadinessModel,
        description="Readiness condition of booted nodes: `cloud-init`, `ssh`, `none`, or a mapping with a timeout.",
        examples=["ssh", {"when": "cloud-init", "timeout": "15 min"}],
    )
    protect: Annotated[bool, boolean()] = Field(
        default=False, description="If true, pragmaspec refuses to remove or rebuild it.", examples=[True]
    )
    autostart: Annotated[bool, boolean()] = Field(
        default=False,
        description="If true, its nodes start with their host, unless `state` is `off`.",
        examples=[True],
    )
    state: Literal["running", "off"] = Field(
        default="running", description="Power state of its nodes: `running` or `off`.", examples=["off"]
    )


_EXTENSION_KEYS: JsonDict = {"patternProperties": {"^x-": {"description": "Ignored; can be used to define YAML anchors."}}}


_Sites = TypeVar("_Sites", "SpecModel", "SitesModel")


class SpecModel(Model):
    """Virtual clusters, the images they boot, and the sites they run at."""

    model_config = ConfigDict(json_schema_extra=_EXTENSION_KEYS)

    stack: Annotated[str | None, name()] = Field(
        default=None,
        description="Name of the stack. Default: derived from the file name.",
        examples=["hello"],
    )
    state: Annotated[StateModel | None, ShortForm("url", schema=state_url().schema)] = Field(
        default=None,
        description="Location of the state: a directory, a URL, or a mapping. Default: state/<stack> next to the spec.",
        examples=["s3://clusters/hello", {"url": "https://git.example.org/api/v4/projects/7/terraform/state/hello"}],
    )
    moved: tuple[MoveModel, ...] = Field(
        default=(),
        description="Renamed clusters and sites, whose resources are kept.",
        examples=[[{"from": "hello", "to": "world"}]],
    )
    images: dict[Annotated[str, name()], ImageModel] = Field(
        default_factory=dict,
        description="Images, by name.",
        examples=[{"debian-12": {"build": {"debian": "bookworm"}}}],
        json_schema_extra={"additionalProperties": False},
    )
    sites: dict[Annotated[str, name()], SiteModel] = Field(
        default_factory=dict,
        description="Sites, by name. They may also be defined in sites.yaml next to the spec or in your configuration directory.",
        examples=[{"lab": {"provider": "libvirt"}}],
        json_schema_extra={"additionalProperties": False},
    )
    clusters: dict[Annotated[str, name()], ClusterModel] = Field(
        description="Clusters, by name. `{}` for none.",
        examples=[{"hello": {"site": "lab", "image": "debian-12", "computes": {"count": 2}}}],
        json_schema_extra={"additionalProperties": False},
    )


class SitesModel(Model):
    """A sites file, which defines sites for several specs."""

    model_config = ConfigDict(json_schema_extra=_EXTENSION_KEYS)

    sites: dict[Annotated[str, name()], SiteModel] = Field(
        description="Sites, by name.",
        examples=[{"lab": {"provider": "libvirt"}}],
        json_schema_extra={"additionalProperties": False},
    )


ExternalModels = tuple[tuple[str, type[SiteOptions]], ...]
"""Models of sites of other packages, by the value of ``provider:``."""


def spec_model(external: ExternalModels = ()) -> type[SpecModel]:
    """Return the model of specs whose sites may also have the providers ``external``."""
    return _with_providers(SpecModel, external) if external else SpecModel


def sites_model(external: ExternalModels = ()) -> type[SitesModel]:
    """Return the model of sites files whose sites may also have the providers ``external``."""
    return _with_providers(SitesModel, external) if external else SitesModel


@lru_cache
def _with_providers(model: type[_Sites], external: ExternalModels) -> type[_Sites]:
    kinds = [LibvirtSiteModel, SimulatedSiteModel, *(_with_provider(kind, provider) for provider, kind in external)]
    one = Annotated[Union[tuple(kinds)], Field(discriminator="provider")]  # type: ignore[valid-type]  # noqa: UP007
    sites = (dict[Annotated[str, name()], one], copy(model.model_fields["sites"]))  # type: ignore[valid-type]
    fields: dict[str, Any] = {"sites": sites}
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, __module__=__name__, **fields)


def _with_provider(model: type[SiteOptions], provider: str) -> type[SiteOptions]:
    """Return ``model`` with the key ``provider``."""
    field = (Literal[provider], Field(description="The provider of the site.", examples=[provider]))
    fields: dict[str, Any] = {"provider": field}
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, __module__=model.__module__, **fields)


__all__ = [
    "BuildModel",
    "ClusterModel",
    "ComputesModel",
    "DiskModel",
    "FrontendModel",
    "GroupModel",
    "ImageModel",
    "LibvirtSiteModel",
    "MoveModel",
    "NetworkModel",
    "NodesModel",
    "OverrideModel",
    "PrivateModel",
    "ReadinessModel",
    "RoleModel",
    "SimulatedSiteModel",
    "SiteModel",
    "SiteOptions",
    "SitesModel",
    "SpecModel",
    "StateModel",
    "UserModel",
    "sites_model",
    "spec_model",
]
