"""Files brought to this machine by hand: disks, and the kernels that a lock file asks for.

Names that come from elsewhere, as the names of a spec have to be.
"""

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
    """A file that is in the store now. ``made``: the disk it became, None for what is no disk; ``answers``: what was missing.

    ``entry``: as what it is kept, for a disk that nothing was missing.
    """

    file: Path
    blob: Blob
    made: BootableDisk | None = None
    answers: str = ""
    entry: CatalogueEntry | None = None


def import_file(file: Path, name: str, workshop: ImageContext, missing: Mapping[str, str], options: DiskOptions) -> ImportedFile:
    """Put ``file`` into the store: what was missing as it is, anything else as a disk that is kept under ``name``.

    ``missing``: what lock files ask for, by SHA-256: ``kernel of debian-12``. Raises ImageError, and UsageError when another disk
    has the name.
    """
    digest = workshop.local(str(file.absolute())).sha256
    answers = missing.get(digest, "")
    if answers and not answers.startswith("disk"):
        return ImportedFile(file=file, blob=_as_it_is(file, workshop, digest), answers=answers)
    options = replace(options, partitionless=options.partitionless or bool(answers))
    made = make_disk(file, workshop, options, name=file.name, digest=digest)
    answers = missing.get(made.blob.sha256, "")
    entry = None if answers else _keep(name, file, made, workshop.store, partitionless=options.partitionless)
    return ImportedFile(file=file, blob=made.blob, made=made, answers=answers, entry=entry)


def spec_lines(entry: CatalogueEntry, *, partitionless: bool) -> tuple[str, ...]:
    """The lines of ``images:`` by which a spec uses the imported disk ``entry``, indented from 0."""
    place = str(entry.source.disk) if isinstance(entry.source, LocalSource) else ""
    kernel = ("  # kernel: PATH  # it has no boot loader, so it needs a kernel",) if partitionless else ()
    return (f"{entry.name}:", f"  source: {_scalar(place)}", f"  sha256: {entry.digest}", f"  format: {entry.format}", *kernel)


def _keep(name: str, file: Path, made: BootableDisk, store: BlobStore, *, partitionless: bool) -> CatalogueEntry:
    """Keep the disk that ``file`` became under ``name``. A spec that names its place in the store finds it inspected."""
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


def _as_it_is(file: Path, workshop: ImageContext, digest: str) -> Blob:
    with workshop.store.locked(digest), workshop.store.scratch(digest) as scratch:
        copy = scratch / "file"
        handle = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open_regular(file) as window:
                found, _ = write_sparse(handle, file_chunks(window))
        finally:
            os.close(handle)
        return workshop.store.publish(copy, found)


def _scalar(text: str) -> str:
    """``text`` as YAML has it; JSON's strings are YAML's double-quoted ones."""
    return text if re.fullmatch(r"[\w./@+-]+", text) else json.dumps(text)


_MOST_LETTERS = 32
"""Leaves room for ``-frontend`` behind it."""


def is_spec_name(name: str) -> bool:
    """Whether a spec takes ``name`` for an image or a cluster."""
    return re.fullmatch(NAME_PATTERN.removesuffix("$"), name) is not None


def spec_name(name: str) -> str:
    """``name`` as a spec has it: lower-case letters, digits and ``-``. Raises UsageError when nothing is left."""
    found = _near(name)
    if not is_spec_name(found):
        raise UsageError("No name for the image", f"{name!r} cannot be made a name of a spec.")
    return found


def invalid_name(name: str) -> Problem:
    """Why ``name`` cannot stand in a spec, and what could."""
    near = _near(name)
    hint = f" {near} would do." if is_spec_name(near) else ""
    detail = (
        f"{name!r} cannot stand in a spec: a name has lower-case letters a to z, digits and -, begins with a letter, and ends "
        f"with a letter or digit.{hint}"
    )
    return Problem(summary="Not a valid name", detail=detail)


def _near(name: str) -> str:
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:_MOST_LETTERS].strip("-")
    return found if found[:1].isalpha() else f"vc-{found}".strip("-")
