"""Files brought to this machine by hand: disks, and the kernels that a lock file asks for."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.catalogue import Catalogue, Entry
from pragmaspec.images.disk import make_disk
from pragmaspec.images.made import Made, remember_made
from pragmaspec.images.pieces import pieces_of
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.sparse import write_sparse
from pragmaspec.images.store import BlobStore
from pragmaspec.images.window import opened
from pragmaspec.recorded import Blob


class Taken(Frozen, frozen=True):
    """A file that is in the store now. ``made``: the disk it became, None for what is no disk; ``answers``: what was missing.

    ``entry``: as what it is kept, for a disk that nothing was missing.
    """

    file: Path
    blob: Blob
    made: Made | None = None
    answers: str = ""
    entry: Entry | None = None


class Handling(Frozen, frozen=True):
    """How a disk is to be taken. ``declared``: its format, None when its bytes decide; ``partitionless``: it gets a kernel.

    ``member``: its path in the archive, empty where that is found.
    """

    declared: str | None = None
    partitionless: bool = False
    member: str = ""


def take_in(file: Path, name: str, workshop: Workshop, missing: Mapping[str, str], handling: Handling) -> Taken:
    """Put ``file`` into the store: what was missing as it is, anything else as a disk that is kept under ``name``.

    ``missing``: what lock files ask for, by SHA-256: ``kernel of debian-12``. Raises ImageError, and UsageError when another disk
    has the name.
    """
    digest = workshop.local(str(file.absolute())).sha256
    answers = missing.get(digest, "")
    if answers and not answers.startswith("disk"):
        return Taken(file=file, blob=_as_it_is(file, workshop, digest), answers=answers)
    bare = handling.partitionless or bool(answers)
    made = make_disk(
        file,
        workshop,
        declared=handling.declared,
        name=file.name,
        partitionless=bare,
        digest=digest,
        member=handling.member,
    )
    answers = missing.get(made.blob.sha256, "")
    entry = None if answers else _keep(name, file, made, workshop.store, partitionless=bare)
    return Taken(file=file, blob=made.blob, made=made, answers=answers, entry=entry)


def spec_lines(entry: Entry, *, partitionless: bool) -> tuple[str, ...]:
    """The lines of ``images:`` by which a spec uses the imported disk ``entry``, indented from 0."""
    place = str(entry.source.disk) if isinstance(entry.source, LocalSource) else ""
    kernel = ("  # kernel: PATH  # it has no boot loader, so it needs a kernel",) if partitionless else ()
    return (f"{entry.name}:", f"  source: {_scalar(place)}", f"  sha256: {entry.digest}", f"  format: {entry.format}", *kernel)


def _keep(name: str, file: Path, made: Made, store: BlobStore, *, partitionless: bool) -> Entry:
    """Keep the disk that ``file`` became under ``name``. A spec that names its place in the store finds it inspected."""
    digest, place = made.blob.sha256, str(store.path(made.blob.sha256).absolute())
    entry = Entry(
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
    remember_made(store, digest, made, declared=made.format, partitionless=partitionless)
    return entry


def _as_it_is(file: Path, workshop: Workshop, digest: str) -> Blob:
    with workshop.store.locked(digest), workshop.store.scratch(digest) as scratch:
        copy = scratch / "file"
        handle = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with opened(file) as window:
                found, _ = write_sparse(handle, pieces_of(window))
        finally:
            os.close(handle)
        return workshop.store.publish(copy, found)


def _scalar(text: str) -> str:
    """``text`` as YAML has it; JSON's strings are YAML's double-quoted ones."""
    return text if re.fullmatch(r"[\w./@+-]+", text) else json.dumps(text)
