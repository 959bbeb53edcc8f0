"""``vc-in.xml``: what a PRAGMA repository says of a virtual cluster, with the part of a libvirt domain for each role.

Source: pragma_boot's ``xmlprocessor.py`` and README. What its readers never looked at (driver, networks) is not read here either.
"""

import re
from typing import Literal
from xml.etree import ElementTree as ET

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen

Role = Literal["frontend", "compute"]
Packing = Literal["raw", "gzip", "splited", "splited_gzip"]
PACKINGS: tuple[Packing, ...] = ("raw", "gzip", "splited", "splited_gzip")
"""In the ancestor's spelling. A split file is in several parts; gzip is around the file, or around all parts together."""
FORMATS = ("raw", "qcow2")
MOST_BYTES = 2**20
_MOST_PARTS = 10_000
_FILE = re.compile(r"[A-Za-z0-9_+,=@%~-][A-Za-z0-9._+,=@%~ -]*(/[A-Za-z0-9_+,=@%~-][A-Za-z0-9._+,=@%~ -]*)*")
# Units of libvirt's <memory>: formatdomain.html, "Memory Allocation".
_UNITS = {"": 1024, "b": 1, "bytes": 1, "kb": 1000, "k": 1024, "kib": 1024, "mb": 1000**2, "m": 2**20, "mib": 2**20,
          "gb": 1000**3, "g": 2**30, "gib": 2**30}  # fmt: skip


class ApplianceDisk(Frozen, frozen=True):
    """A disk of a repository: how it is packed, in which files beside the XML, what it is unpacked; ``bus``: as libvirt says."""

    packing: Packing
    files: tuple[str, ...]
    format: str
    bus: str


class ApplianceMachine(Frozen, frozen=True):
    """What a role needs."""

    role: Role
    cpus: int
    memory_mib: int
    disk: ApplianceDisk | None


class Appliance(Frozen, frozen=True):
    """A virtual cluster of a repository. ``wait_s``: how long computes waited for the frontend before they were started."""

    name: str
    frontend: ApplianceMachine
    compute: ApplianceMachine | None
    wait_s: int = 0

    def disk(self, role: Role) -> ApplianceDisk:
        """The disk of a role: a compute without one of its own has the frontend's. Raises ImageError when there is none."""
        machine = self.compute if role == "compute" else self.frontend
        found = (machine.disk if machine else None) or self.frontend.disk
        if found is None:
            raise _refused([f"it has no disk for its {role}"])
        return found


def read_vc_in(document: bytes, name: str) -> Appliance:
    """The virtual cluster called ``name`` in a ``vc-in.xml``. Raises ImageError with every reason against it."""
    root = _root(document)
    wrong: list[str] = []
    for virtualization in root.iter("virtualization"):
        arch = virtualization.get("arch", "x86_64")
        if arch != "x86_64":
            wrong.append(f"it is for {arch} machines, and only x86_64 is supported")
    frontend = _machine(root, "frontend", wrong)
    compute = _machine(root, "compute", wrong)
    if frontend is None:
        wrong.append("it has no <frontend>")
    if wrong or frontend is None:
        raise _refused(wrong)
    return Appliance(name=name, frontend=frontend, compute=compute, wait_s=_wait(root))


def _root(document: bytes) -> ET.Element:
    if len(document) > MOST_BYTES:
        raise _refused([f"its XML has more than {MOST_BYTES} bytes"])
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise _refused(["its XML declares entities, which a repository has no need of"])
    try:
        return ET.fromstring(document)  # noqa: S314 - entities, the danger, were refused above
    except ET.ParseError as error:
        raise _refused([f"its XML cannot be read: {error}"]) from None


def _machine(root: ET.Element, role: Role, wrong: list[str]) -> ApplianceMachine | None:
    element = root.find(role)
    if element is None:
        return None
    return ApplianceMachine(
        role=role,
        cpus=_whole(element.findtext(".//vcpu"), f"the {role}'s number of CPUs", wrong) or 1,
        memory_mib=_memory(element, role, wrong),
        disk=_disk(root, element, role, wrong),
    )


def _memory(element: ET.Element, role: Role, wrong: list[str]) -> int:
    memory = element.find(".//memory")
    if memory is None:
        return 0
    factor = _UNITS.get(memory.get("unit", "").lower())
    if factor is None:
        wrong.append(f"the {role}'s memory has the unit {memory.get('unit')!r}, which is not known")
        return 0
    return -(-_whole(memory.text, f"the {role}'s memory", wrong) * factor // 2**20)


def _disk(root: ET.Element, element: ET.Element, role: Role, wrong: list[str]) -> ApplianceDisk | None:
    disk = next((one for one in element.iter("disk") if one.get("device", "disk") == "disk"), None)
    if disk is None:
        return None
    source, driver, target = disk.find("source"), disk.find("driver"), disk.find("target")
    name = source.get("file", "") if source is not None else ""
    if not name:
        wrong.append(f"the {role}'s disk is not a file of the repository (a volume of a storage pool, perhaps)")
        return None
    kind = driver.get("type", "raw") if driver is not None else "raw"
    if kind not in FORMATS:
        wrong.append(f"the {role}'s disk is of the type {kind!r}; raw and qcow2 are known")
    packing, files = _packed(root, element, name, wrong)
    if packing not in PACKINGS:
        wrong.append(f"the {role}'s disk is packed as {packing!r}; {', '.join(PACKINGS)} are known")
    if len(files) > _MOST_PARTS or (len(files) > 1 and packing in {"raw", "gzip"}):
        wrong.append(f"the {role}'s disk has {len(files)} parts, and is packed as {packing}")
    wrong += [f"{file!r} is not the name of a file in the repository" for file in files if not _FILE.fullmatch(file)]
    bus = target.get("bus", "") if target is not None else ""
    return ApplianceDisk(packing=next((one for one in PACKINGS if one == packing), "raw"), files=files, format=kind, bus=bus)


def _packed(root: ET.Element, element: ET.Element, name: str, wrong: list[str]) -> tuple[str, tuple[str, ...]]:
    """How the file ``name`` is packed, and in which parts: said within the role, in old repositories beside the roles."""
    beside = {one.get("filename", ""): one for one in root.iterfind("./files/file")}
    said = next(element.iter("file"), None)
    if said is None:
        said = beside.get(name)
    if said is None:
        if "" in beside:
            wrong.append(
                f"a <file> in <files> has no filename, so it may be what {name} is packed in, or not; write filename='…'"
            )
        return "raw", (name,)
    parts = tuple((part.text or "").strip() for part in said.iter("part"))
    return said.get("type", "raw"), parts or (said.get("filename", "") or name,)


def _wait(root: ET.Element) -> int:
    """Seconds between frontend and computes."""
    for wait in root.iterfind("./compute/boot_dependency/wait"):
        if wait.get("type") == "clock" and (value := wait.get("value", "")).isdecimal():
            return min(int(value), 86_400)
    return 0


def _whole(text: str | None, what: str, wrong: list[str]) -> int:
    stripped = (text or "").strip()
    if stripped and not re.fullmatch(r"[0-9]{1,12}", stripped):
        wrong.append(f"{what} is {stripped[:20]!r}, which is not a whole number")
        return 0
    return int(stripped or "0")


def _refused(reasons: list[str]) -> ImageError:
    return ImageError.of(
        Problem(summary="Cluster of a repository refused", detail=f"{one[0].upper()}{one[1:]}.") for one in reasons
    )
