"""Models of sites."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pragmaspec.delivery import Delivery
from pragmaspec.networking import LateValue, Networking
from pragmaspec.spec.fields.addresses import address, address_range, vlan_ranges
from pragmaspec.spec.fields.libvirt_uri import libvirt_uri
from pragmaspec.spec.fields.pci_device import pci_device
from pragmaspec.spec.fields.public_network import public_network_errors
from pragmaspec.spec.fields.scalars import integer, memory, number, text
from pragmaspec.spec.models.base import Model, OneOrMore
from pragmaspec.spec.value_errors import part_errors, value_error

DEVICE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$"
FQDN_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$"
_DEVICE_NAME_MAX = 15
PROCESSOR_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
PROCESSOR_ADVICE = "write host, a level such as x86-64-v2, or the name of a model; the number of CPUs is `cpus`"
FLAVOR_PATTERN = r"^[!-~]([ -~]{0,253}[!-~])?$"
DEVICES_MAX = 64
"""Largest number of devices of one alias that a machine can have."""
OBJECT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class PublicNetworkModel(Model):
    """The network that provides public addresses to frontends: a libvirt network or a bridge of the host."""

    model_config = ConfigDict(
        json_schema_extra={"dependentRequired": {"bridge": ["addresses", "prefix"]}, "not": {"required": ["network", "bridge"]}}
    )

    network: Annotated[str | None, text(OBJECT_PATTERN, "write the name of a libvirt network, such as default")] = Field(
        default=None, description="Name of a libvirt network. Default: `default`, unless `bridge` is set.", examples=["default"]
    )
    bridge: Annotated[str | None, text(DEVICE_PATTERN, "write the name of a bridge of the host, such as br0")] = Field(
        default=None, description="Name of a bridge of the host. Requires `addresses` and `prefix`.", examples=["br0"]
    )
    addresses: tuple[Annotated[str, address_range()], ...] = Field(
        default=(),
        description="Addresses and inclusive ranges that clusters may use. Default: all addresses of the libvirt network.",
        examples=[["192.0.2.10", "192.0.2.20-192.0.2.40"]],
    )
    prefix: Annotated[int | None, integer(8, 30)] = Field(
        default=None, description="Length of the network prefix.", examples=[24]
    )
    gateway: Annotated[str | None, address("write the router's address, such as 192.0.2.1")] = Field(
        default=None, description="Default gateway.", examples=["192.0.2.1"]
    )
    dns: tuple[Annotated[str, address("write the address of a name server")], ...] = Field(
        default=(), description="Addresses of name servers.", examples=[["192.0.2.1"]]
    )
    mtu: Annotated[int | None, integer(576, 65535)] = Field(
        default=None, description="Maximum packet size in bytes. Default: that of the network at the site.", examples=[1400]
    )
    names: dict[
        Annotated[str, address()], Annotated[str, text(FQDN_PATTERN, "write a fully qualified name such as vc1.example.org")]
    ] = Field(
        default_factory=dict,
        description="Fully qualified host names, by address.",
        examples=[{"192.0.2.10": "vc1.example.org"}],
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.network and self.bridge:
            raise value_error("Two public networks", "`network` and `bridge` are both set; keep one")
        if self.bridge and (not self.addresses or self.prefix is None):
            raise value_error(
                "Addresses missing",
                "the addresses of a bridge cannot be detected; write `addresses` and `prefix` (and `gateway`)",
            )
        parts = tuple(public_network_errors(self.addresses, self.prefix, self.gateway))
        if parts:
            raise part_errors(parts)
        return self


class ReserveModel(Model):
    """Capacity reserved for the host itself."""

    cpus: Annotated[int, integer(0, 4096)] = Field(
        default=0, description="Number of CPUs that clusters may not use.", examples=[2]
    )
    memory_mib: Annotated[int, memory(0)] = Field(
        default=0,
        alias="memory",
        json_schema_extra={"default": "0 MiB"},
        description="Amount of memory that clusters may not use.",
        examples=["4 GiB"],
    )


class OvercommitModel(Model):
    """Ratios of allocatable to physical capacity; 1.0 means no overcommitment."""

    cpus: Annotated[float, number(0.1, 100)] = Field(default=4.0, description="Virtual CPUs per physical CPU.", examples=[4.0])
    memory: Annotated[float, number(0.1, 100)] = Field(
        default=1.0, description="Allocatable memory per unit of physical memory.", examples=[1.0]
    )
    disk: Annotated[float, number(0.1, 1000)] = Field(
        default=10.0,
        description="Allocatable disk space per unit of physical space; disks grow as data is written.",
        examples=[10.0],
    )


class SiteOptions(Model):
    """Keys common to all providers. Base of the options of every provider."""

    public: PublicNetworkModel | None = Field(
        default=None,
        description="Public network of the frontends. Default: chosen by the site.",
        examples=[{"network": "default", "addresses": ["192.168.122.10-192.168.122.40"]}],
    )
    vlans: Annotated[tuple[tuple[int, int], ...], vlan_ranges()] = Field(
        default=((20, 219),),
        json_schema_extra={"default": "20-219"},
        description="VLAN numbers that clusters may use: a number, a range, or a list of numbers and ranges.",
        examples=["20-99", ["20-29", 40]],
    )
    reserve: ReserveModel = Field(
        default_factory=ReserveModel,
        description="CPUs and memory reserved for the host.",
        examples=[{"cpus": 2, "memory": "4 GiB"}],
    )
    overcommit: OvercommitModel = Field(
        default_factory=OvercommitModel, description="Overcommit ratios of CPUs, memory and disk.", examples=[{"cpus": 2.0}]
    )
    parallel: Annotated[int, integer(1, 64)] = Field(
        default=4, description="Maximum number of concurrent calls to the site.", examples=[8]
    )

    def delivery(self, declared: Delivery) -> Delivery:
        """Return how a new node of this site is told about itself. ``declared``: by the provider's description."""
        return declared

    def late_values(self, declared: tuple[LateValue, ...]) -> tuple[LateValue, ...]:
        """Return the values that only this site can choose. ``declared``: by the provider's description."""
        return declared

    def networking(self, declared: Networking) -> Networking:
        """Return how this site connects the nodes of a cluster. ``declared``: by the provider's description."""
        return declared

    def fetches_images(self) -> bool:
        """Return True if this site downloads public images by itself, so that they are not uploaded from here."""
        return False

    def plain_options(self, directory: Path) -> dict[str, object]:
        """Return the provider's own keys as JSON types, for :class:`pragmaspec.site.ExternalSite`.

        ``directory`` contains the file that defines the site. Override this method to make paths absolute.
        """
        del directory
        return self.model_dump(mode="json", exclude={*SiteOptions.model_fields, "provider"})


class LibvirtSiteModel(SiteOptions):
    """A hypervisor host controlled through libvirt."""

    provider: Literal["libvirt"] = Field(description="The provider of the site.", examples=["libvirt"])
    uri: Annotated[str, libvirt_uri()] = Field(
        default="qemu:///system",
        description="libvirt's connection URI.",
        examples=["qemu:///system", "qemu+ssh://root@host/system"],
    )
    virt_type: Literal["kvm", "qemu"] | None = Field(
        default=None, description="`kvm`, or `qemu` for emulation. Default: probed at the host.", examples=["kvm"]
    )
    pool: Annotated[str, text(OBJECT_PATTERN, "write the name of a storage pool, such as default")] = Field(
        default="default", description="Storage pool for images and disks.", examples=["default"]
    )
    bridge: Annotated[
        str | None,
        text(r"^[A-Za-z0-9_.-]*\{vlan\}[A-Za-z0-9_.-]*$", 'write a quoted pattern that contains {vlan}, such as "br{vlan}"'),
    ] = Field(
        default=None,
        description="Name pattern of existing bridges for private networks. Default: an isolated network per cluster.",
        examples=["br{vlan}"],
    )
    fetch: Literal["auto", "host", "stream"] = Field(
        default="auto",
        description="How images at public URLs get to a host connected by ssh: downloaded by the `host`, or `stream`ed from this "
        "machine. `auto`: by the host, unless they are already on this machine and the connection is fast.",
        examples=["host"],
    )
    neighbourhood: Annotated[str | None, text(OBJECT_PATTERN, "write a name of your choice, such as campus")] = Field(
        default=None,
        description="Sites with the same value are hosts of one administration on one network, which copy images from each "
        "other, so that this machine uploads each image only once. Requires a `qemu+ssh` URI. Default: none.",
        examples=["campus"],
    )
    devices: dict[
        Annotated[str, text(OBJECT_PATTERN, "write an alias of your choice, such as gpu")],
        Annotated[tuple[Annotated[str, pci_device()], ...], OneOrMore()],
    ] = Field(
        default_factory=dict,
        description="Devices of the host that nodes may have for themselves, by alias: PCI addresses (`0000:41:00.0`), or "
        "vendor and product of PCI devices (`10de:20b0`, as in `lspci -nn`), or a list of these.",
        examples=[{"gpu": "10de:20b0", "nic": ["0000:41:00.1", "0000:41:00.2"]}],
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _neighbourhood_uses_ssh(self) -> Self:
        if self.neighbourhood and not self.uri.partition(":")[0].endswith("+ssh"):
            raise value_error(
                "Neighbourhood without ssh",
                f"copying images between hosts requires running commands on them over ssh, which {self.uri} does not use. Write "
                "a URI such as qemu+ssh://root@host/system, or remove `neighbourhood`",
            )
        return self

    @model_validator(mode="after")
    def _bridge_names_are_short(self) -> Self:
        longest = len((self.bridge or "").replace("{vlan}", str(self.vlans[-1][1])))
        if longest > _DEVICE_NAME_MAX:
            raise value_error(
                "Bridge name too long",
                f"Linux device names have at most 15 characters, and {self.bridge} results in up to {longest}",
            )
        return self
