"""Instance types as flavors: described by the service, or by the options of the site."""

import threading
from collections.abc import Iterator
from fnmatch import fnmatchcase

from pragmaspec.errors import SiteError
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.service import Service
from pragmaspec.site import Flavor

_WILDCARDS = {"*", "?"}


class Sizes:
    """The instance types that a site offers. Read once per process. Thread-safe."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._offered: tuple[Flavor, ...] | None = None
        self._others: dict[str, Flavor | None] = {}

    def offered(self) -> tuple[Flavor, ...]:
        """Return the types that new machines may have, by name. Raises SiteError if the service does not describe them."""
        with self._lock:
            if self._offered is None:
                self._offered = tuple(sorted(self._read(), key=lambda each: each.name))
            return self._offered

    def find(self, name: str) -> Flavor | None:
        """Return an offered type; None: it is not offered."""
        return next((each for each in self.offered() if each.name == name), None)

    def of_machine(self, name: str) -> Flavor | None:
        """Return the type of a machine, offered or not; None: unknown."""
        found = self.find(name)
        if found:
            return found
        with self._lock:
            if name not in self._others:
                self._others[name] = next(map(_flavor, self._described(name)), None)
            return self._others[name]

    def shows_serials(self, name: str) -> bool:
        """True if guests of a type see the serial numbers of volumes, as they do with NVMe: all types but those of Xen."""
        return all(each.get("Hypervisor") != "xen" for each in self._described(name))

    def _described(self, name: str) -> Iterator[Answer]:
        """Yield the type as the service describes it; nothing if it does not."""
        if self._service.capabilities.has("instance_types"):
            named = [{"Name": "instance-type", "Values": [name]}]
            listed = self._service.connection.listed("describe_instance_types", "InstanceTypes", Filters=named)
            yield from (each for each in listed if each["InstanceType"] == name)

    def _read(self) -> Iterator[Flavor]:
        settings = self._service.settings
        if settings.sizes:
            for size in settings.sizes:
                yield Flavor(name=size.name, cpus=size.cpus, memory_mib=size.memory_mib, disk_bytes=size.disk_bytes)
            return
        if not self._service.capabilities.has("instance_types"):
            raise SiteError(
                "Instance types unknown",
                f"The service of site {self._service.site} does not describe its instance types. Write those that nodes may have "
                "as `sizes` of the site, such as `sizes: {m1.small: {cpus: 1, memory: 2 GiB, disk: 20 GiB}}`.",
            )
        if settings.types and not any(set(name) & _WILDCARDS for name in settings.types):
            named = self._service.connection.call("describe_instance_types", InstanceTypes=list(settings.types))
            yield from map(_flavor, named["InstanceTypes"])
            return
        wanted = [{"Name": "processor-info.supported-architecture", "Values": [settings.architecture]}]
        wanted += [{"Name": "instance-type", "Values": list(settings.types)}] if settings.types else []
        wanted += [] if settings.types else [{"Name": "current-generation", "Values": ["true"]}]
        for each in self._service.connection.listed("describe_instance_types", "InstanceTypes", Filters=wanted):
            if _fits(each, settings.types, settings.architecture):
                yield _flavor(each)


def _fits(described: Answer, patterns: tuple[str, ...], architecture: str) -> bool:
    """True if new machines may have the type. The service's filters are checked again: not every service has them."""
    name = described["InstanceType"]
    if architecture not in described.get("ProcessorInfo", {}).get("SupportedArchitectures", (architecture,)):
        return False
    if patterns:
        return any(fnmatchcase(name, pattern) for pattern in patterns)
    return bool(described.get("CurrentGeneration", True)) and not described.get("BareMetal", False)


def _flavor(described: Answer) -> Flavor:
    """Return the flavor. Its disk has any size: it is a volume, whose least size is the image's."""
    local = described.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0)
    devices = tuple(sorted(_devices(described).items()))
    return Flavor(
        name=described["InstanceType"],
        cpus=described["VCpuInfo"]["DefaultVCpus"],
        memory_mib=described["MemoryInfo"]["SizeInMiB"],
        devices=devices,
        description=f"{local} GB of local disks" if local else "",
    )


def _devices(described: Answer) -> dict[str, int]:
    gpus = described.get("GpuInfo", {}).get("Gpus", ())
    count = sum(each.get("Count", 0) for each in gpus)
    return {"gpu": count} if count else {}
