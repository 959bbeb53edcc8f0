"""The description in an OVA: which of its files is the disk, and the digests that its manifest gives. Pure.

Read with expat, without document types, so that no entity can grow or reach out. Source: DMTF DSP0243 (OVF) 2.1.1.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote
from xml.parsers import expat

from pragmaspec.images.formats.inspect import image_refused

MAX_METADATA_BYTES = 4 * 2**20
"""Of all descriptions and manifests of an archive together."""
_SEPARATOR = " "
_DIGEST = re.compile(r"(SHA(?:1|256|512))\s*\((.+)\)\s*=\s*([0-9A-Fa-f]+)\s*")


def disk_files(description: bytes, name: str) -> tuple[str, ...]:
    """The files of all disks that have one, as paths in the archive; ``name`` is the description's own path.

    Raises ImageError when it is damaged, or names a disk that is not a whole file beside it.
    """
    files, disks = _read(description)
    found = []
    for disk in disks:
        file = files.get(disk.get("fileRef", ""))
        if "fileRef" not in disk:
            continue  # an empty disk, made when the machine is
        if file is None:
            raise image_refused([f"its description ({name}) names a disk whose file it does not list"])
        if disk.get("parentRef"):
            raise image_refused(["its disk is only the difference to another disk; export the machine without snapshots"])
        found.append(_path(file, name))
    return tuple(dict.fromkeys(found))


def manifest_digests(manifest: bytes, name: str) -> dict[str, tuple[str, str]]:
    """Algorithm (``sha1``, ``sha256``, ``sha512``) and digest of each file in the manifest, by path in the archive."""
    folder = PurePosixPath(name).parent
    found = {}
    for line in manifest.decode("utf-8", errors="replace").splitlines():
        said = _DIGEST.fullmatch(line.strip())
        if said:
            found[str(folder / said[2].strip())] = (said[1].lower(), said[3].lower())
    return found


def _read(description: bytes) -> tuple[dict[str, Mapping[str, str]], list[Mapping[str, str]]]:
    """Attributes of the files, by their id, and of the disks."""
    files: dict[str, Mapping[str, str]] = {}
    disks: list[Mapping[str, str]] = []

    def begin(tag: str, attributes: dict[str, str]) -> None:
        plain = {key.rpartition(_SEPARATOR)[2]: value for key, value in attributes.items()}
        match tag.rpartition(_SEPARATOR)[2]:
            case "File":
                files[plain.get("id", "")] = plain
            case "Disk":
                disks.append(plain)
            case _:
                pass

    def declares(*_: object) -> None:
        raise image_refused(["its description declares a document type, which no OVF does"])

    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = declares
    try:
        parser.Parse(description, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise image_refused([f"its description is damaged ({error})"]) from None
    return files, disks


def _path(file: Mapping[str, str], name: str) -> str:
    href = unquote(file.get("href", ""))
    path = PurePosixPath(href)
    if not href or "://" in href or path.is_absolute() or ".." in path.parts:
        raise image_refused([f"its description names {href[:80]!r} as its disk, which is no file beside it"])
    if file.get("chunkSize"):
        raise image_refused([f"its disk {href!r} is cut into chunks; join them (cat), and use the disk itself"])
    return str(PurePosixPath(name).parent / path)
