"""``vc-in.xml``: the description of a virtual cluster in a PRAGMA repository, with parts of a libvirt domain per role.

Source: pragma_boot's ``xmlprocessor.py`` and README. Parts that pragma_boot ignores (driver, networks) are ignored here, too.
"""

import re
from typing import Literal
from xml.etree import ElementTree as ET

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.text import capitalized

Role = Literal["frontend", "compute"]
Packing = Literal["raw", "gzip", "splited", "splited_gzip"]
PACKINGS: tuple[Packing, ...] = ("raw", "gzip", "splited", "splited_gzip")
"""As pragma_boot spells them. A split file has several parts; gzip compresses the file, or the joined parts."""
FORMATS = ("raw", "qcow2")
MAX_BYTES = 2**20
_MAX_PARTS = 10_000
_FILE = re.compile(r"[A-Za-z0-9_+,=@%~-][A-Za-z0-9._+,=@%~ -]*(/[A-Za-z0-9_+,=@%~-][A-Za-z0-9._+,=@%~ -]*)*")
# Units of libvirt's <memory>: formatdomain.html, "Memory Allocation".
_UNITS = {"": 1024, "b": 1, "bytes": 1, "kb": 1000, "k": 1024, "kib": 1024, "mb": 1000**2, "m": 2**20, "mib": 2**20,
          "gb": 1000**3, "g": 2**30, "gib": 2**30}  # fmt: skip


class ApplianceDisk(Frozen, frozen=True):
    """A disk of a repository: its packing, its files beside the XML, its format when unpacked, and libvirt's name of its bus."""

    packing: Packing
    files: tuple[str, ...]
    format: str
    bus: str


class ApplianceMachine(Frozen, frozen=True):
    """The machine of a role."""

    role: Role
    cpus: int
    memory_mib: int
    disk: ApplianceDisk | None


class Appliance(Frozen, frozen=True):
    """A virtual cluster of a repository. ``wait_s``: delay between the boot of the frontend and that of the computes."""

    name: str
    frontend: ApplianceMachine
    compute: ApplianceMachine | None
    wait_s: int = 0

    def disk(self, role: Role) -> ApplianceDisk:
        """Return the disk of a role; computes without one use the frontend's. Raises ImageError if there is none."""
        machine = self.compute if role == "compute" else self.frontend
        found = (machine.disk if machine else None) or self.frontend.disk
        if found is None:
            raise _rejected([f"it has no disk for its {role}"])
        return found


def read_vc_in(document: bytes, name: str) -> Appliance:
    """Parse the ``vc-in.xml`` of the cluster ``name``. Raises ImageError with all of its problems."""
    root = _root(document)
    problems: list[str] = []
    for virtualization in root.iter("virtualization"):
        arch = virtualization.get("arch", "x86_64")
        if arch != "x86_64":
            problems.append(f"it is for {arch} machines, and only x86_64 is supported")
    frontend = _machine(root, "frontend", problems)
    compute = _machine(root, "compute", problems)
    if frontend is None:
        problems.append("it has no <frontend>")
    if problems or frontend is None:
        raise _rejected(problems)
    return Appliance(name=name, frontend=frontend, compute=compute, wait_s=_wait(root))


def _root(document: bytes) -> ET.Element:
    if len(document) > MAX_BYTES:
        raise _rejected([f"its XML has more than {MAX_BYTES} bytes"])
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise _rejected(["its XML declares entities, which are not allowed"])
    try:
        return ET.fromstring(document)  # noqa: S314 - entities were rejected above
    except ET.ParseError as error:
        raise _rejected([f"its XML cannot be read: {error}"]) from None


def _machine(root: ET.Element, role: Role, problems: list[str]) -> ApplianceMachine | None:
    element = root.find(role)
    if element is None:
        return None
    return ApplianceMachine(
        role=role,
        cpus=_whole(element.findtext(".//vcpu"), f"the {role}'s number of CPUs", problems) or 1,
        memory_mib=_memory(element, role, problems),
        disk=_disk(root, element, role, problems),
    )


def _memory(element: ET.Element, role: Role, problems: list[str]) -> int:
    memory = element.find(".//memory")
    if memory is None:
        return 0
    factor = _UNITS.get(memory.get("unit", "").lower())
    if factor is None:
        problems.append(f"the {role}'s memory has the unknown unit {memory.get('unit')!r}")
        return 0
    return -(-_whole(memory.text, f"the {role}'s memory", problems) * factor // 2**20)


def _disk(root: ET.Element, element: ET.Element, role: Role, problems: list[str]) -> ApplianceDisk | None:
    disk = next((one for one in element.iter("disk") if one.get("device", "disk") == "disk"), None)
    if disk is None:
        return None
    source, driver, target = disk.find("source"), disk.find("driver"), disk.find("target")
    name = source.get("file", "") if source is not None else ""
    if not name:
        problems.append(f"the {role}'s disk is not a file of the repository, but perhaps a volume of a storage pool")
        return None
    kind = driver.get("type", "raw") if driver is not None else "raw"
    if kind not in FORMATS:
        problems.append(f"the {role}'s disk has the type {kind!r}; the supported types are raw and qcow2")
    packing, files = _packed(root, element, name, problems)
    if packing not in PACKINGS:
        problems.append(f"the {role}'s disk has the packing {packing!r}; the supported ones are {', '.join(PACKINGS)}")
    if len(files) > _MAX_PARTS or (len(files) > 1 and packing in {"raw", "gzip"}):
        problems.append(f"the {role}'s disk has {len(files)} parts, but the packing {packing}")
    problems += [f"{file!r} is not the name of a file in the repository" for file in files if not _FILE.fullmatch(file)]
    bus = target.get("bus", "") if target is not None else ""
    return ApplianceDisk(packing=next((one for one in PACKINGS if one == packing), "raw"), files=files, format=kind, bus=bus)


def _packed(root: ET.Element, element: ET.Element, name: str, problems: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the packing and the parts of the file ``name``; old repositories declare them beside the roles."""
    beside = {one.get("filename", ""): one for one in root.iterfind("./files/file")}
    declaration = next(element.iter("file"), None)
    if declaration is None:
        declaration = beside.get(name)
    if declaration is None:
        if "" in beside:
            problems.append(f"a <file> in <files> has no filename, so it may or may not be {name}; add filename='…'")
        return "raw", (name,)
    parts = tuple((part.text or "").strip() for part in declaration.iter("part"))
    return declaration.get("type", "raw"), parts or (declaration.get("filename", "") or name,)


def _wait(root: ET.Element) -> int:
    """Return the delay of the computes in seconds."""
    for wait in root.iterfind("./compute/boot_dependency/wait"):
        if wait.get("type") == "clock" and (value := wait.get("value", "")).isdecimal():
            return min(int(value), 86_400)
    return 0


def _whole(text: str | None, what: str, problems: list[str]) -> int:
    stripped = (text or "").strip()
    if stripped and not re.fullmatch(r"[0-9]{1,12}", stripped):
        problems.append(f"{what} is {stripped[:20]!r}, which is not a whole number")
        return 0
    return int(stripped or "0")


def _rejected(reasons: list[str]) -> ImageError:
    return ImageError.of(Problem(summary="Repository cluster rejected", detail=f"{capitalized(each)}.") for each in reasons)
