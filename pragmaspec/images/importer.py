"""Import files into the store: disks, and the boot files that a lock file needs; and turn names into those of a spec."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.archives.stream import file_chunks
from pragmaspec.images.catalogue import Catalogue, CatalogueEntry
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.formats.sparse import write_sparse
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cache_disk
from pragmaspec.resources import Blob
from pragmaspec.spec.fields.scalars import NAME_PATTERN


class ImportedFile(Frozen, frozen=True):
    """A file in the store. ``made``: the disk made of it, None for other files; ``answers``: the missing file that it is.

    ``entry``: the entry of a disk that was not missing.
    """

    file: Path
    blob: Blob
    made: BootableDisk | None = None
    answers: str = ""
    entry: CatalogueEntry | None = None


def import_file(file: Path, name: str, context: ImageContext, missing: Mapping[str, str], options: DiskOptions) -> ImportedFile:
    """Put ``file`` into the store: a missing file as it is, any other as a disk that is kept under ``name``.

    ``missing``: descriptions of files that a lock file needs, such as ``kernel of debian-12``, by SHA-256. Raises ImageError, and
    UsageError if another disk has the name.
    """
    digest = context.local(str(file.absolute())).sha256
    answers = missing.get(digest, "")
    if answers and not answers.startswith("disk"):
        return ImportedFile(file=file, blob=_publish(file, context, digest), answers=answers)
    options = replace(options, partitionless=options.partitionless or bool(answers))
    made = make_disk(file, context, options, name=file.name, digest=digest)
    answers = missing.get(made.blob.sha256, "")
    entry = None if answers else _keep(name, file, made, context.store, partitionless=options.partitionless)
    return ImportedFile(file=file, blob=made.blob, made=made, answers=answers, entry=entry)


def spec_lines(entry: CatalogueEntry, *, partitionless: bool) -> tuple[str, ...]:
    """Return the lines for ``images:`` of a spec that use the imported disk ``entry``, without indentation."""
    place = str(entry.source.disk) if isinstance(entry.source, LocalSource) else ""
    kernel = ("  # kernel: PATH  # without a boot loader it needs a kernel",) if partitionless else ()
    return (f"{entry.name}:", f"  source: {_scalar(place)}", f"  sha256: {entry.digest}", f"  format: {entry.format}", *kernel)


def _keep(name: str, file: Path, made: BootableDisk, store: BlobStore, *, partitionless: bool) -> CatalogueEntry:
    """Record the disk made of ``file`` under ``name``, and its inspection for specs with its path in the store."""
    digest, place = made.blob.sha256, str(store.path(made.blob.sha256).absolute())
    entry = CatalogueEntry(
        name=name,
        digest=digest,
        origin=f"imported {file}",
        source=LocalSource(disk=place, shown=place, sha256=digest, format=made.format),
        format=made.format,
        virtual_size_bytes=made.virtual_size_bytes,
        disk=made.blob,
        date=datetime.now(UTC).date().isoformat(),
    )
    Catalogue(store).put_imported(entry)
    cache_disk(store, digest, made, DiskOptions(declared=made.format, partitionless=partitionless))
    return entry


def _publish(file: Path, context: ImageContext, digest: str) -> Blob:
    with context.store.locked(digest), context.store.scratch(digest) as scratch:
        copy = scratch / "file"
        handle = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open_regular(file) as opened:
                found, _ = write_sparse(handle, file_chunks(opened))
        finally:
            os.close(handle)
        return context.store.publish(copy, found)


def _scalar(text: str) -> str:
    """Return ``text`` as a YAML scalar; a JSON string is a double-quoted one."""
    return text if re.fullmatch(r"[\w./@+-]+", text) else json.dumps(text)


_MAX_LETTERS = 32
"""So that ``-frontend`` can be appended."""


def is_spec_name(name: str) -> bool:
    """True if ``name`` is valid for an image or a cluster in a spec."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), name) is not None


def spec_name(name: str) -> str:
    """Turn ``name`` into a valid name: lower-case letters, digits and ``-``. Raises UsageError if nothing is left."""
    found = _cleaned(name)
    if not is_spec_name(found):
        raise UsageError("No valid image name", f"{name!r} cannot be turned into a valid name.")
    return found


def invalid_name(name: str) -> Problem:
    """Return the problem for an invalid ``name``, with a suggestion."""
    near = _cleaned(name)
    hint = f" {near} is valid." if is_spec_name(near) else ""
    detail = (
        f"{name!r} is not valid in a spec: a name has lower-case letters a to z, digits and -, begins with a letter, and ends "
        f"with a letter or digit.{hint}"
    )
    return Problem(summary="Not a valid name", detail=detail)


def _cleaned(name: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MAX_LETTERS].strip("-")
    return found if found[:1].isalpha() else f"vc-{found}".strip("-")
