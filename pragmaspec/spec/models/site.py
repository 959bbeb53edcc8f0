"""Sites of the spec: where clusters run."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pragmaspec.spec.fields.addresses import address, address_range, vlan_ranges
from pragmaspec.spec.fields.libvirt_uri import libvirt_uri
from pragmaspec.spec.fields.public_network import public_network_errors
from pragmaspec.spec.fields.scalars import disk, duration, integer, memory, number, text
from pragmaspec.spec.fields.url import path_field
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.value_errors import part_errors, value_error

DEVICE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$"
FQDN_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$"
_DEVICE_NAME_MAX = 15
OBJECT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class PublicNetworkModel(Model):
    """Where frontends get their public address: a libvirt network, or a bridge of the host."""

    model_config = ConfigDict(
        json_schema_extra={"dependentRequired": {"bridge": ["addresses", "prefix"]}, "not": {"required": ["network", "bridge"]}}
    )

    network: Annotated[str | None, text(OBJECT_PATTERN, "write the name of a libvirt network, such as default")] = Field(
        default=None, description="Name of a libvirt network. Default when there is no `bridge`: `default`.", examples=["default"]
    )
    bridge: Annotated[str | None, text(DEVICE_PATTERN, "write the name of a bridge of the host, such as br0")] = Field(
        default=None, description="A bridge of the host. Needs `addresses` and `prefix`.", examples=["br0"]
    )
    addresses: tuple[Annotated[str, address_range()], ...] = Field(
        default=(),
        description="Addresses and inclusive ranges that clusters may take. Default: all that the libvirt network has to give.",
        examples=[["192.0.2.10", "192.0.2.20-192.0.2.40"]],
    )
    prefix: Annotated[int | None, integer(8, 30)] = Field(
        default=None, description="Length of the network prefix.", examples=[24]
    )
    gateway: Annotated[str | None, address("write the router's address, such as 192.0.2.1")] = Field(
        default=None, description="Router towards everything else.", examples=["192.0.2.1"]
    )
    dns: tuple[Annotated[str, address("write a name server's address")], ...] = Field(
        default=(), description="Name servers.", examples=[["192.0.2.1"]]
    )
    mtu: Annotated[int | None, integer(576, 65535)] = Field(
        default=None, description="Largest packet, in bytes. Default: what the network has at the site.", examples=[1400]
    )
    names: dict[
        Annotated[str, address()], Annotated[str, text(FQDN_PATTERN, "write a full host name such as vc1.example.org")]
    ] = Field(
        default_factory=dict,
        description="The full host name that belongs to an address.",
        examples=[{"192.0.2.10": "vc1.example.org"}],
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.network and self.bridge:
            raise value_error("Two public networks", "write either `network` or `bridge`; remove one")
        if self.bridge and (not self.addresses or self.prefix is None):
            raise value_error(
                "Addresses missing", "nobody hands out addresses on a bridge: write `addresses` and `prefix` (and `gateway`)"
            )
        parts = tuple(public_network_errors(self.addresses, self.prefix, self.gateway))
        if parts:
            raise part_errors(parts)
        return self


class ReserveModel(Model):
    """What the host keeps for itself."""

    cpus: Annotated[int, integer(0, 4096)] = Field(default=0, description="CPUs that clusters may not use.", examples=[2])
    memory_mib: Annotated[int, memory(0)] = Field(
        default=0,
        alias="memory",
        json_schema_extra={"default": "0 MiB"},
        description="Memory that clusters may not use.",
        examples=["4 GiB"],
    )


class OvercommitModel(Model):
    """How often a physical unit may be promised: 1.0 is never more than there is."""

    cpus: Annotated[float, number(0.1, 100)] = Field(
        default=4.0, description="Virtual CPUs for each physical one.", examples=[4.0]
    )
    memory: Annotated[float, number(0.1, 100)] = Field(
        default=1.0, description="Promised memory for each real unit.", examples=[1.0]
    )
    disk: Annotated[float, number(0.1, 1000)] = Field(
        default=10.0, description="Promised disk for each real unit; disks grow as they are filled.", examples=[10.0]
    )


class SiteCommonModel(Model):
    """What every kind of site has."""

    public: PublicNetworkModel | None = Field(
        default=None,
        description="Public network of the frontends. Default: what the site itself offers.",
        examples=[{"network": "default", "addresses": ["192.168.122.10-192.168.122.40"]}],
    )
    vlans: Annotated[tuple[tuple[int, int], ...], vlan_ranges()] = Field(
        default=((20, 219),),
        json_schema_extra={"default": "20-219"},
        description="VLAN numbers that clusters may take: a number, a range, or a list of them.",
        examples=["20-99", ["20-29", 40]],
    )
    reserve: ReserveModel = Field(
        default_factory=ReserveModel, description="CPUs and memory kept for the host.", examples=[{"cpus": 2, "memory": "4 GiB"}]
    )
    overcommit: OvercommitModel = Field(
        default_factory=OvercommitModel, description="How often CPUs, memory and disk may be promised.", examples=[{"cpus": 2.0}]
    )
    parallel: Annotated[int, integer(1, 64)] = Field(
        default=4, description="How many calls may be under way at the site at once.", examples=[8]
    )


class LibvirtSiteModel(SiteCommonModel):
    """A hypervisor host driven through libvirt."""

    provider: Literal["libvirt"] = Field(description="The kind of site.", examples=["libvirt"])
    uri: Annotated[str, libvirt_uri()] = Field(
        default="qemu:///system", description="Where libvirt is.", examples=["qemu:///system", "qemu+ssh://root@host/system"]
    )
    virt_type: Literal["kvm", "qemu"] | None = Field(
        default=None, description="`kvm`, or `qemu` for emulation. Default: probed.", examples=["kvm"]
    )
    pool: Annotated[str, text(OBJECT_PATTERN, "write the name of a storage pool, such as default")] = Field(
        default="default", description="Storage pool for images and disks.", examples=["default"]
    )
    bridge: Annotated[
        str | None,
        text(r"^[A-Za-z0-9_.-]*\{vlan\}[A-Za-z0-9_.-]*$", "write a pattern with {vlan} in it, such as br{vlan}, in quotes"),
    ] = Field(
        default=None,
        description="Existing bridges that private networks stand on, by VLAN number. Default: an isolated network each.",
        examples=["br{vlan}"],
    )
    fetch: Literal["auto", "host", "stream"] = Field(
        default="auto",
        description="How images from plain URLs get to a host behind ssh: fetched by the `host` itself, `stream`ed from here, or "
        "`auto`: by the host unless they are here and travel fast.",
        examples=["host"],
    )
    neighbourhood: Annotated[str | None, text(OBJECT_PATTERN, "write a word of your own, such as campus")] = Field(
        default=None,
        description="Sites with the same word are hosts of one administration on one network: an image that one of them has is "
        "fetched from it by the others, host to host, instead of taken from here by each. Needs a `qemu+ssh` URI. Default: none.",
        examples=["campus"],
    )

    @model_validator(mode="after")
    def _neighbours_have_shells(self) -> Self:
        if self.neighbourhood and not self.uri.partition(":")[0].endswith("+ssh"):
            raise value_error(
                "Neighbourhood without ssh",
                f"commands have to be run on hosts that hand images to each other; {self.uri} leads to none. Write a URI such as "
                "qemu+ssh://root@host/system, or remove `neighbourhood`",
            )
        return self

    @model_validator(mode="after")
    def _bridge_names_fit(self) -> Self:
        longest = len((self.bridge or "").replace("{vlan}", str(self.vlans[-1][1])))
        if longest > _DEVICE_NAME_MAX:
            raise value_error(
                "Bridge name too long", f"Linux device names have at most 15 characters; {self.bridge} makes {longest}"
            )
        return self


class SimulatedHostModel(Model):
    """One pretended hypervisor host."""

    cpus: Annotated[int, integer(1, 10_000_000)] = Field(default=64, description="Physical CPUs.", examples=[64])
    memory_mib: Annotated[int, memory()] = Field(
        default=262144, alias="memory", json_schema_extra={"default": "256 GiB"}, description="Memory.", examples=["256 GiB"]
    )
    disk_bytes: Annotated[int, disk()] = Field(
        default=4 * 2**40,
        alias="disk",
        json_schema_extra={"default": "4 TiB"},
        description="Size of the storage pool.",
        examples=["4 TiB"],
    )


class FaultModel(Model):
    """A fault to inject: a call that goes wrong."""

    call: Literal["inventory", "allocate", "stage", "boot", "shutdown", "clean", "observe"] = Field(
        description="Which call goes wrong.", examples=["boot"]
    )
    kind: Literal["refuse", "lost", "hang", "unready"] = Field(
        default="refuse",
        description="`refuse`: nothing happens; `lost`: it happens but the answer is lost; `hang`: it happens after `delay`; "
        "`unready`: the node boots but never answers.",
        examples=["lost"],
    )
    match: Annotated[str, text(r"^[ -~]*$", "write a part of an address, such as hello-compute-1")] = Field(
        default="", description="Only for addresses that contain this. Default: all.", examples=["hello-compute-1"]
    )
    nth: Annotated[int, integer(0, 1_000_000)] = Field(
        default=0, description="Only the nth such call, counted from 1. Default 0: every one.", examples=[1]
    )
    delay_ms: Annotated[int, duration(0, 3_600_000)] = Field(
        default=0, alias="delay", json_schema_extra={"default": "0 s"}, description="How long `hang` lasts.", examples=["5 s"]
    )


class SimulatedSiteModel(SiteCommonModel):
    """A whole site in memory or in a file, for demonstrations, tests and scale."""

    provider: Literal["simulated"] = Field(description="The kind of site.", examples=["simulated"])
    file: Annotated[str | None, path_field("write a path, relative to the file that this stands in")] = Field(
        default=None,
        description="Where the site is kept between runs. Default: in your own state folder, by the site's name.",
        examples=["./simulated-site.jsonl"],
    )
    host: SimulatedHostModel = Field(
        default_factory=SimulatedHostModel,
        description="What the pretended host has.",
        examples=[{"cpus": 64, "memory": "256 GiB"}],
    )
    latency_ms: Annotated[int, duration(0, 3_600_000)] = Field(
        default=0,
        alias="latency",
        json_schema_extra={"default": "0 s"},
        description="How long every call takes.",
        examples=["20 ms"],
    )
    faults: tuple[FaultModel, ...] = Field(
        default=(),
        description="What goes wrong.",
        examples=[[{"call": "boot", "kind": "refuse", "match": "compute-1", "nth": 1}]],
    )
    seed: Annotated[int, integer(0, 2**31)] = Field(
        default=0, description="Makes different pretended sites differ.", examples=[7]
    )


SiteModel = Annotated[LibvirtSiteModel | SimulatedSiteModel, Field(discriminator="provider")]
"""Any kind of site, told apart by `provider`."""
