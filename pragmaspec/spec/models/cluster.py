"""The words of the spec: what a person may write, with types, defaults, descriptions and examples.

The JSON Schema in ``schemas/`` is made from these models (``json_schema``); cross references are checked in ``checks``.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from pragmaspec.spec.fields.addresses import VLAN_MAX, network, public_address
from pragmaspec.spec.fields.scalars import boolean, disk, duration, integer, memory, name, text
from pragmaspec.spec.fields.ssh_keys import ssh_key
from pragmaspec.spec.fields.state_url import StateModel, state_url
from pragmaspec.spec.fields.user_data import user_data
from pragmaspec.spec.models.base import Model, ShortForm
from pragmaspec.spec.models.image import BuildModel, ImageModel
from pragmaspec.spec.models.move import MoveModel
from pragmaspec.spec.models.site import DEVICE_PATTERN, LibvirtSiteModel, SimulatedSiteModel, SiteModel

COMPUTES_MAX = 1_000_000
PackageName = Annotated[str, text(r"^[A-Za-z0-9][A-Za-z0-9+._:~=-]*$", "write the name of a package of the image's distribution")]
UserData = Annotated[dict[str, Any] | str, user_data()]


class RoleModel(Model):
    """What frontend and computes have in common."""

    image: Annotated[str | None, text(advice="write the name of an image")] = Field(
        default=None, description="Image of this role. Default: the cluster's.", examples=["debian-12"]
    )
    cpus: Annotated[int, integer(1, 1024)] = Field(default=1, description="Virtual CPUs of each node.", examples=[2])
    memory_mib: Annotated[int, memory()] = Field(
        default=1024,
        alias="memory",
        description="Memory of each node.",
        examples=["2 GiB"],
        json_schema_extra={"default": "1 GiB"},
    )
    disk_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="disk", description="Size of each node's disk. Default: the image's own.", examples=["20 GB"]
    )
    packages: tuple[PackageName, ...] = Field(
        default=(), description="Packages to install at first boot, beside the cluster's.", examples=[["nfs-kernel-server"]]
    )
    user_data: UserData = Field(
        default_factory=dict,
        description="cloud-init user-data to merge after the cluster's: a mapping, or the path of a `#cloud-config` file.",
        examples=["./frontend.yaml", {"timezone": "Asia/Tokyo"}],
    )


class FrontendModel(RoleModel):
    """The node that people log in to; gateway for the computes."""


class ComputesModel(RoleModel):
    """The nodes that compute, all alike."""

    count: Annotated[int, integer(0, COMPUTES_MAX)] = Field(description="How many.", examples=[2])
    wait_for: Literal["frontend"] | None = Field(
        default=None,
        description="`frontend`: they boot only when the frontend is ready, because their image takes its set-up from it (Rocks, "
        "NIS, NFS). Default: all nodes boot together.",
        examples=["frontend"],
    )


class PrivateModel(Model):
    """The network that joins the frontend and the computes."""

    range: Annotated[str | None, network()] = Field(
        default=None, description="Its IPv4 network. Default: chosen with the VLAN.", examples=["10.22.0.0/24"]
    )
    vlan: Annotated[int | None, integer(1, VLAN_MAX)] = Field(
        default=None, description="Its VLAN number. Default: the first free one of the site.", examples=[22]
    )
    mtu: Annotated[int, integer(576, 65535)] = Field(default=1500, description="Largest packet, in bytes.", examples=[9000])
    domain: Annotated[str, text(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", "write a domain such as local")] = Field(
        default="local", description="Its DNS domain.", examples=["local"]
    )


class NetworkModel(Model):
    """An extra network of a cluster."""

    range: Annotated[str, network()] = Field(description="Its IPv4 network.", examples=["192.168.70.0/24"])
    bridge: Annotated[str | None, text(DEVICE_PATTERN, "write the name of a bridge of the host, such as br70")] = Field(
        default=None, description="An existing bridge of the host. Default: an isolated network of its own.", examples=["br70"]
    )
    roles: tuple[Literal["frontend", "compute"], ...] = Field(
        default=("frontend", "compute"), description="Which nodes are on it. Default: all.", examples=[["compute"]], min_length=1
    )
    mtu: Annotated[int, integer(576, 65535)] = Field(default=1500, description="Largest packet, in bytes.", examples=[9000])


class ReadinessModel(Model):
    """When a booted node counts as ready."""

    when: Literal["cloud-init", "ssh", "none"] = Field(
        default="cloud-init",
        description="`cloud-init`: it has finished without error; `ssh`: a login works; `none`: it was started.",
        examples=["ssh"],
    )
    timeout_ms: Annotated[int, duration(1000, 86_400_000)] = Field(
        default=600_000,
        alias="timeout",
        json_schema_extra={"default": "10 min"},
        description="How long each stage of waiting may last.",
        examples=["10 min"],
    )


class ClusterModel(Model):
    """A frontend and its computes at one site."""

    site: Annotated[str, text(advice="write the name of a site")] = Field(description="Where it runs.", examples=["lab"])
    image: Annotated[str | None, text(advice="write the name of an image")] = Field(
        default=None, description="What its nodes boot. A role may name its own.", examples=["debian-12"]
    )
    frontend: FrontendModel = Field(
        default_factory=FrontendModel, description="The node that people log in to.", examples=[{"cpus": 2, "memory": "2 GiB"}]
    )
    computes: ComputesModel = Field(
        default_factory=lambda: ComputesModel(count=0),
        description="The nodes that compute. Default: none.",
        examples=[{"count": 2, "cpus": 4, "memory": "8 GiB"}],
    )
    ssh_keys: tuple[Annotated[str, ssh_key()], ...] | None = Field(
        default=None,
        description="Who may log in as root: lines of `authorized_keys`, or paths that end in .pub, .keys or authorized_keys. "
        "Default: your own keys in ~/.ssh, or those of your ssh agent.",
        examples=[["~/.ssh/id_ed25519.pub", "./keys/ada.pub"]],
    )
    public: Annotated[str, public_address()] = Field(
        default="pool",
        description="Public address of the frontend: `pool` (a free one of the site), a named one, or `none`.",
        examples=["pool", "192.0.2.10", "none"],
    )
    private: PrivateModel = Field(
        default_factory=PrivateModel,
        description="The network inside the cluster.",
        examples=[{"range": "10.22.0.0/24", "vlan": 22}],
    )
    networks: dict[Annotated[str, name()], NetworkModel] = Field(
        default_factory=dict,
        description="Extra networks, by name.",
        examples=[{"storage": {"range": "192.168.70.0/24"}}],
        json_schema_extra={"additionalProperties": False},
    )
    packages: tuple[PackageName, ...] = Field(
        default=(), description="Packages to install on all nodes at first boot.", examples=[["openmpi-bin"]]
    )
    user_data: UserData = Field(
        default_factory=dict,
        description="cloud-init user-data to merge on all nodes: a mapping, or the path of a `#cloud-config` file.",
        examples=["./user-data.yaml", {"timezone": "Asia/Tokyo"}],
    )
    readiness: Annotated[ReadinessModel, ShortForm("when", ("cloud-init", "ssh", "none"))] = Field(
        default_factory=ReadinessModel,
        description="When a booted node counts as ready: `cloud-init`, `ssh`, `none`, or a mapping with a limit.",
        examples=["ssh", {"when": "cloud-init", "timeout": "15 min"}],
    )
    protect: Annotated[bool, boolean()] = Field(
        default=False, description="Whether to refuse to remove or rebuild it.", examples=[True]
    )
    autostart: Annotated[bool, boolean()] = Field(
        default=False,
        description="Whether its nodes start with their host. They do not while `state` is `off`.",
        examples=[True],
    )
    state: Literal["running", "off"] = Field(default="running", description="Whether its nodes run.", examples=["off"])


_OWN_KEYS: JsonDict = {"patternProperties": {"^x-": {"description": "Yours: a place for anchors, which nothing reads."}}}


class SpecModel(Model):
    """Virtual clusters, the images they boot and the sites they run at."""

    model_config = ConfigDict(json_schema_extra=_OWN_KEYS)

    stack: Annotated[str | None, name()] = Field(
        default=None, description="Name of this spec's recorded state. Default: made from the file's name.", examples=["hello"]
    )
    state: Annotated[StateModel | None, ShortForm("url", schema=state_url().schema)] = Field(
        default=None,
        description="Where its state is recorded: a folder, a URL, or a mapping. Default: state/<stack> beside the spec.",
        examples=["s3://clusters/hello", {"url": "https://git.example.org/api/v4/projects/7/terraform/state/hello"}],
    )
    moved: tuple[MoveModel, ...] = Field(
        default=(),
        description="Clusters and sites that have another name now: what was made under the old one is kept.",
        examples=[[{"from": "hello", "to": "world"}]],
    )
    images: dict[Annotated[str, name()], ImageModel] = Field(
        default_factory=dict,
        description="Disks to boot, by name.",
        examples=[{"debian-12": {"build": {"debian": "bookworm"}}}],
        json_schema_extra={"additionalProperties": False},
    )
    sites: dict[Annotated[str, name()], SiteModel] = Field(
        default_factory=dict,
        description="Where clusters run, by name. Sites may also stand in sites.yaml beside the spec or in your configuration.",
        examples=[{"lab": {"provider": "libvirt"}}],
        json_schema_extra={"additionalProperties": False},
    )
    clusters: dict[Annotated[str, name()], ClusterModel] = Field(
        description="What shall run, by name. `{}`: nothing.",
        examples=[{"hello": {"site": "lab", "image": "debian-12", "computes": {"count": 2}}}],
        json_schema_extra={"additionalProperties": False},
    )


class SitesModel(Model):
    """A sites file: sites for several specs."""

    model_config = ConfigDict(json_schema_extra=_OWN_KEYS)

    sites: dict[Annotated[str, name()], SiteModel] = Field(
        description="Where clusters run, by name.",
        examples=[{"lab": {"provider": "libvirt"}}],
        json_schema_extra={"additionalProperties": False},
    )


__all__ = [
    "BuildModel",
    "ClusterModel",
    "ComputesModel",
    "FrontendModel",
    "ImageModel",
    "LibvirtSiteModel",
    "MoveModel",
    "NetworkModel",
    "PrivateModel",
    "ReadinessModel",
    "RoleModel",
    "SimulatedSiteModel",
    "SiteModel",
    "SitesModel",
    "SpecModel",
    "StateModel",
]
