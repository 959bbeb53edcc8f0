"""Models of sites."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from pragmaspec.delivery import Delivery
from pragmaspec.networking import LAST_FRONTEND_OFFSET, LateValue, Networking
from pragmaspec.spec.fields.addresses import address, address_range, vlan_ranges
from pragmaspec.spec.fields.libvirt_uri import libvirt_uri
from pragmaspec.spec.fields.pci_device import pci_device
from pragmaspec.spec.fields.public_network import public_network_errors
from pragmaspec.spec.fields.scalars import boolean, disk, duration, integer, memory, number, text, user_data_size
from pragmaspec.spec.fields.url import path_field
from pragmaspec.spec.models.base import Model, OneOrMore
from pragmaspec.spec.value_errors import PartError, part_errors, value_error
from pragmaspec.typing import override

DEVICE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$"
FQDN_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$"
_DEVICE_NAME_MAX = 15
_PINNABLE_MAX = 2048
_QUOTA_MAX = 1_000_000_000
PROCESSOR_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"
PROCESSOR_ADVICE = "write host, a level such as x86-64-v2, or the name of a model; the number of CPUs is `cpus`"
_PROCESSOR_LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
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


class SimulatedHostModel(Model):
    """The simulated hypervisor host."""

    cpus: Annotated[int, integer(1, 10_000_000)] = Field(default=64, description="Number of physical CPUs.", examples=[64])
    memory_mib: Annotated[int, memory()] = Field(
        default=262144,
        alias="memory",
        json_schema_extra={"default": "256 GiB"},
        description="Amount of physical memory.",
        examples=["256 GiB"],
    )
    disk_bytes: Annotated[int, disk()] = Field(
        default=4 * 2**40,
        alias="disk",
        json_schema_extra={"default": "4 TiB"},
        description="Size of the storage pool.",
        examples=["4 TiB"],
    )
    visible: Annotated[bool, boolean()] = Field(
        default=True, description="If false, the site does not report its capacity, as clouds do not.", examples=[False]
    )
    uefi: Annotated[bool, boolean()] = Field(
        default=True, description="If false, machines boot with BIOS only.", examples=[False]
    )
    threads: Annotated[int | None, integer(1, 8)] = Field(
        default=None,
        description="Number of CPUs of each core, if nodes can be pinned to CPUs. Default: nodes cannot be pinned.",
        examples=[2],
    )
    cells: Annotated[int, integer(1, 64)] = Field(
        default=1, description="Number of NUMA nodes, to which the CPUs belong in equal parts.", examples=[2]
    )

    @model_validator(mode="after")
    def _few_cpus_to_pin_to(self) -> Self:
        if self.threads and self.cpus > _PINNABLE_MAX:
            detail = f"with `threads`, the host has at most {_PINNABLE_MAX:,} CPUs, as real ones do; reduce `cpus`"
            raise value_error("Too many CPUs", detail)
        return self


class FlavorModel(Model):
    """A size of machines that a simulated site offers."""

    cpus: Annotated[int, integer(1, 1024)] = Field(description="Number of virtual CPUs.", examples=[2])
    memory_mib: Annotated[int, memory()] = Field(alias="memory", description="Amount of memory.", examples=["4 GiB"])
    disk_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="disk", description="Size of the disk. Default: any.", examples=["20 GiB"]
    )
    devices: dict[
        Annotated[str, text(OBJECT_PATTERN, "write the alias of a device, such as gpu")],
        Annotated[int, integer(1, DEVICES_MAX)],
    ] = Field(
        default_factory=dict,
        description="Number of passed-through devices, by alias.",
        examples=[{"gpu": 1}],
        json_schema_extra={"additionalProperties": False},
    )
    description: Annotated[str, text(r"^[ -~]*$", "write a remark in ASCII")] = Field(
        default="", description="Remark that is shown with the flavor.", examples=["local SSD"]
    )


class QuotasModel(Model):
    """Limits of a simulated site, of all its users together. Default of each: none."""

    instances: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of machines.", examples=[10]
    )
    cores: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of virtual CPUs.", examples=[20]
    )
    memory_mib: Annotated[int | None, memory(0)] = Field(
        default=None, alias="memory", description="Amount of memory.", examples=["40 GiB"]
    )
    disk_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="disk", description="Total size of the machines' disks.", examples=["1 TiB"]
    )
    addresses: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of public addresses.", examples=[2]
    )
    networks: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of networks that are made for clusters.", examples=[4]
    )
    ports: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of interfaces of machines, without those of public addresses.", examples=[50]
    )
    volumes: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(default=None, description="Number of volumes.", examples=[10])
    volume_storage_bytes: Annotated[int | None, disk()] = Field(
        default=None, alias="volume_storage", description="Total size of volumes.", examples=["1 TiB"]
    )
    security_groups: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of security groups, of which each cluster takes one.", examples=[10]
    )
    security_rules: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of rules of security groups, of which each cluster takes one.", examples=[100]
    )
    subnets: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of subnets, of which each network of a cluster takes one.", examples=[10]
    )
    routers: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of routers, of which each cluster takes one.", examples=[10]
    )
    keys: Annotated[int | None, integer(0, _QUOTA_MAX)] = Field(
        default=None, description="Number of key pairs, of which each cluster takes one.", examples=[10]
    )


class NetworkingModel(Model):
    """How a simulated site connects the nodes of a cluster. The default is a hypervisor's way."""

    vlans: Annotated[bool, boolean()] = Field(
        default=True,
        description="If false, networks have no VLAN numbers: the site keeps them apart itself, as clouds do.",
        examples=[False],
    )
    router: Annotated[bool, boolean()] = Field(
        default=False,
        description="If true, a router of the site is the gateway of private networks, at their first address, and not the "
        "frontend.",
        examples=[True],
    )
    translated: Annotated[bool, boolean()] = Field(
        default=False,
        description="If true, the site translates public addresses to the private interfaces of frontends, which have no public "
        "ones.",
        examples=[True],
    )
    dhcp: Annotated[bool, boolean()] = Field(
        default=False,
        description="If true, the site configures the interfaces of nodes by DHCP.",
        examples=[True],
    )
    frontend_offset: Annotated[int | None, integer(1, LAST_FRONTEND_OFFSET)] = Field(
        default=None,
        description="Offset of the frontend's address in its networks; those before it are the site's. Default: 1, with `router` "
        "2.",
        examples=[4],
    )

    @model_validator(mode="after")
    def _addresses_differ(self) -> Self:
        if self.router and self.frontend_offset == 1:
            raise value_error("Address used twice", "the router has the first address; write a `frontend_offset` of 2 or more")
        return self


class FaultModel(Model):
    """An injected fault."""

    call: Literal["inventory", "allocate", "stage", "boot", "shutdown", "clean", "observe"] = Field(
        description="The call that fails.", examples=["boot"]
    )
    kind: Literal["refuse", "lost", "hang", "unready"] = Field(
        default="refuse",
        description="`refuse`: the call has no effect; `lost`: it takes effect, but the response is lost; `hang`: it takes "
        "effect after `delay`; `unready`: the node boots, but never becomes ready.",
        examples=["lost"],
    )
    match: Annotated[str, text(r"^[ -~]*$", "write a part of an address, such as hello-compute-1")] = Field(
        default="", description="Only for addresses that contain this text. Default: all.", examples=["hello-compute-1"]
    )
    nth: Annotated[int | None, integer(1, 1_000_000)] = Field(
        default=None, description="Only the nth such call, counted from 1. Default: all.", examples=[1]
    )
    delay_ms: Annotated[int, duration(0, 3_600_000)] = Field(
        default=0, alias="delay", json_schema_extra={"default": "0 s"}, description="Duration of `hang`.", examples=["5 s"]
    )

    @model_validator(mode="after")
    def _with_effect(self) -> Self:
        if self.kind == "unready" and self.call != "boot":
            raise value_error("Fault without effect", f"`unready` is a fault of `boot`, not of `{self.call}`; write `call: boot`")
        if self.kind == "hang" and not self.delay_ms:
            raise value_error("Fault without effect", "`hang` requires a `delay`; add, for example, `delay: 5 s`")
        if self.kind != "hang" and self.delay_ms:
            raise value_error("Fault without effect", f"`delay` is for `kind: hang`, not `{self.kind}`; remove it")
        return self


class SimulatedImageModel(Model):
    """An image that lives at a simulated site."""

    name: Annotated[str, text(advice="write the name of the image, such as Featured-Ubuntu24")] = Field(
        description="Name of the image. Several images may have the same.", examples=["Featured-Ubuntu24"]
    )
    id: Annotated[str, text(r"^[A-Za-z0-9._:-]+$", "write an id such as ami-0abc")] = Field(
        description="Identifier of the image at the site.", examples=["ami-0abc"]
    )
    size_bytes: Annotated[int, disk()] = Field(
        default=4 * 2**30,
        alias="size",
        json_schema_extra={"default": "4 GiB"},
        description="Size of its disk.",
        examples=["4 GiB"],
    )
    checksum: Annotated[
        str, text(r"^(sha256:[0-9a-f]{64}|(md5|sha512):[0-9a-f]+)?$", "write sha256: and 64 hexadecimal digits")
    ] = Field(default="", description="Checksum that the site reports. Default: none.", examples=["sha256:" + "9f86d081" * 8])
    created: Annotated[str, text(r"^[0-9TZ:.+-]*$", "write a date such as 2026-11-01")] = Field(
        default="", description="Date of its creation. Default: not reported.", examples=["2026-11-01"]
    )
    firmware: Literal["bios", "uefi"] | None = Field(
        default=None, description="Firmware that boots it. Default: not reported.", examples=["uefi"]
    )
    min_memory_mib: Annotated[int, memory(0)] = Field(
        default=0,
        alias="min_memory",
        json_schema_extra={"default": "0 MiB"},
        description="Least memory of its nodes.",
        examples=["2 GiB"],
    )


def _checked_processors(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    parts: list[PartError] = []
    for position, each in enumerate(value or ()):
        if each in (value or ())[:position]:
            parts.append(((position,), "Processor twice", f"`{each}` is already in the list; remove it"))
        elif each.startswith("x86-64") and each not in _PROCESSOR_LEVELS:
            detail = f"`{each}` is not a level; the levels are {', '.join(_PROCESSOR_LEVELS)}"
            parts.append(((position,), "Unknown processor level", detail))
    if parts:
        raise part_errors(parts)
    return value


class SimulatedSiteModel(SiteOptions):
    """A simulated site in memory or in a file, for demonstrations and tests."""

    provider: Literal["simulated"] = Field(description="The provider of the site.", examples=["simulated"])
    file: Annotated[str | None, path_field("write a path relative to this file")] = Field(
        default=None,
        description="File that stores the site between runs. Default: in your state directory, named after the site.",
        examples=["./simulated-site.jsonl"],
    )
    host: SimulatedHostModel = Field(
        default_factory=SimulatedHostModel,
        description="Capacity of the simulated host.",
        examples=[{"cpus": 64, "memory": "256 GiB"}],
    )
    latency_ms: Annotated[int, duration(0, 3_600_000)] = Field(
        default=0,
        alias="latency",
        json_schema_extra={"default": "0 s"},
        description="Duration of every call.",
        examples=["20 ms"],
    )
    faults: tuple[FaultModel, ...] = Field(
        default=(),
        description="Faults to inject.",
        examples=[[{"call": "boot", "kind": "refuse", "match": "compute-1", "nth": 1}]],
    )
    seed: Annotated[int, integer(0, 2**31)] = Field(
        default=0, description="Seed of the simulation's random numbers.", examples=[7]
    )
    flavors: dict[Annotated[str, text(FLAVOR_PATTERN, "write a name such as m1.small")], FlavorModel] | None = Field(
        default=None,
        description="The offered sizes of machines, by name. Default: any size.",
        examples=[{"m1.small": {"cpus": 1, "memory": "2 GiB", "disk": "20 GiB"}}],
        json_schema_extra={"additionalProperties": False},
    )
    quotas: QuotasModel = Field(
        default_factory=QuotasModel,
        description="Limits of the objects at the site.",
        examples=[{"instances": 10, "cores": 20, "memory": "40 GiB"}],
    )
    processors: Annotated[
        tuple[Annotated[str, text(PROCESSOR_PATTERN, PROCESSOR_ADVICE)], ...] | None, AfterValidator(_checked_processors)
    ] = Field(
        default=None,
        description="The processors that machines may have; `[]`: the site does not report them. New nodes get x86-64-v2 if "
        "it is one of them, else the first. Default: the four x86-64 levels.",
        examples=[["host", "x86-64-v2", "EPYC-Milan"]],
    )
    devices: dict[
        Annotated[str, text(OBJECT_PATTERN, "write an alias of your choice, such as gpu")], Annotated[int, integer(1, 10_000)]
    ] = Field(
        default_factory=dict,
        description="Number of devices of the host that machines may have for themselves, by alias. With `flavors`, the flavors "
        "have devices instead.",
        examples=[{"gpu": 4}],
        json_schema_extra={"additionalProperties": False},
    )
    late: tuple[Literal["macs", "private", "public"], ...] = Field(
        default=(),
        description="Values that only the site chooses, as clouds do: plans show them as known after apply. Default: none.",
        examples=[["macs", "private", "public"]],
    )
    images: tuple[SimulatedImageModel, ...] = Field(
        default=(),
        description="Images that live at the site, for `at:` of an image.",
        examples=[[{"name": "Featured-Ubuntu24", "id": "ami-0abc"}]],
    )
    user_data_limit_bytes: Annotated[int | None, user_data_size()] = Field(
        default=None,
        alias="user_data_limit",
        description="Size of the largest user-data of a machine, the only information that new nodes then get, as at clouds. "
        "Default: nodes get any information.",
        examples=["16 KiB"],
    )
    connects: NetworkingModel = Field(
        default_factory=NetworkingModel,
        alias="networking",
        description="How the site connects the nodes of a cluster.",
        examples=[{"vlans": False, "router": True, "translated": True}],
    )

    @override
    def networking(self, declared: Networking) -> Networking:
        """Return how this site connects the nodes of a cluster."""
        asked = self.connects
        found = Networking(
            vlans=asked.vlans,
            router=asked.router,
            translated=asked.translated,
            dhcp=asked.dhcp,
            frontend_offset=asked.frontend_offset or (2 if asked.router else 1),
        )
        # msgspec omits a default from the state only if it is the identical object.
        return declared if found == declared else found


SiteModel = Annotated[LibvirtSiteModel | SimulatedSiteModel, Field(discriminator="provider")]
"""A site of any provider."""
