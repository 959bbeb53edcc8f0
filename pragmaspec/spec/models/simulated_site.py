"""Models of simulated sites."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pragmaspec.networking import LAST_FRONTEND_OFFSET, Networking
from pragmaspec.spec.fields.scalars import boolean, disk, duration, integer, memory, text, user_data_size
from pragmaspec.spec.fields.url import path_field
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.models.site import (
    DEVICES_MAX,
    FLAVOR_PATTERN,
    OBJECT_PATTERN,
    PROCESSOR_ADVICE,
    PROCESSOR_PATTERN,
    SiteOptions,
)
from pragmaspec.spec.value_errors import PartError, part_errors, value_error
from pragmaspec.typing import override

_PINNABLE_MAX = 2048
_QUOTA_MAX = 1_000_000_000
_PROCESSOR_LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")


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
