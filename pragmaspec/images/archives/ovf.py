"""OVF descriptors and manifests of an OVA: its disk files and their digests. Pure.

Descriptors are parsed with expat and must not declare a document type, so no entity can expand or name another file. Source: DMTF
DSP0243 (OVF) 2.1.1.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote
from xml.parsers import expat

from pragmaspec.images.formats.inspect import image_refused

MAX_METADATA_BYTES = 4 * 2**20
"""Size limit of all descriptors and manifests of an archive together."""
_SEPARATOR = " "
_DIGEST = re.compile(r"(SHA(?:1|256|512))\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)\s*")


def disk_files(descriptor: bytes, name: str) -> tuple[str, ...]:
    """Return the files of all disks, as paths in the archive; ``name`` is the path of the descriptor.

    Raises ImageError if it is damaged, or names a disk that is not one whole file in its folder.
    """
    files, disks = _parse(descriptor)
    found = []
    for disk in disks:
        file = files.get(disk.get("fileRef", ""))
        if "fileRef" not in disk:
            continue  # an empty disk, created with the machine
        if file is None:
            raise image_refused([f"its OVF descriptor ({name}) names a disk whose file it does not list"])
        if disk.get("parentRef"):
            raise image_refused(["its disk is a difference to another disk; export the machine without snapshots"])
        found.append(_path(file, name))
    return tuple(dict.fromkeys(found))


def manifest_digests(manifest: bytes, name: str) -> dict[str, tuple[str, str]]:
    """Return algorithm (``sha1``, ``sha256``, ``sha512``) and digest of each file in a manifest, by path in the archive."""
    folder = PurePosixPath(name).parent
    found = {}
    for line in manifest.decode("utf-8", errors="replace").splitlines():
        match = _DIGEST.fullmatch(line.strip())
        if match:
            found[str(folder / match[2].strip())] = (match[1].lower(), match[3].lower())
    return found


def _parse(descriptor: bytes) -> tuple[dict[str, Mapping[str, str]], list[Mapping[str, str]]]:
    """Return the attributes of the files by id, and those of the disks."""
    files: dict[str, Mapping[str, str]] = {}
    disks: list[Mapping[str, str]] = []

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        plain = {key.rpartition(_SEPARATOR)[2]: value for key, value in attributes.items()}
        match tag.rpartition(_SEPARATOR)[2]:
            case "File":
                files[plain.get("id", "")] = plain
            case "Disk":
                disks.append(plain)
            case _:
                pass

    def start_doctype(*_: object) -> None:
        raise image_refused(["its OVF descriptor declares a document type, which is not allowed"])

    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.StartElementHandler = start_element
    parser.StartDoctypeDeclHandler = start_doctype
    try:
        parser.Parse(descriptor, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise image_refused([f"its OVF descriptor is damaged ({error})"]) from None
    return files, disks


def _path(file: Mapping[str, str], name: str) -> str:
    href = unquote(file.get("href", ""))
    path = PurePosixPath(href)
    if not href or "://" in href or path.is_absolute() or ".." in path.parts:
        raise image_refused([f"its OVF descriptor names {href[:80]!r} as its disk, which is not a file in the same folder"])
    if file.get("chunkSize"):
        raise image_refused([f"its disk {href!r} is split into chunks; join them (cat), and use the disk itself"])
    return str(PurePosixPath(name).parent / path)
