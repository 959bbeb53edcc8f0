"""Files brought to this machine by hand: disks, and the kernels that a lock file asks for."""

import os
from collections.abc import Mapping
from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.disk import make_disk
from pragmaspec.images.made import Made
from pragmaspec.images.pieces import pieces_of
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sparse import write_sparse
from pragmaspec.images.window import opened
from pragmaspec.recorded import Blob


class Taken(Frozen, frozen=True):
    """A file that is in the store now. ``made``: the disk it became, None for what is no disk; ``answers``: what was missing."""

    blob: Blob
    made: Made | None = None
    answers: str = ""


def take_in(file: Path, workshop: Workshop, missing: Mapping[str, str], *, declared: str | None, partitionless: bool) -> Taken:
    """Put ``file`` into the store.

    ``missing``: what lock files ask for, by SHA-256: ``kernel of debian-12``; such a file is taken as it is. Anything else has to
    be a disk. Raises ImageError.
    """
    digest = workshop.local(str(file.absolute())).sha256
    answers = missing.get(digest, "")
    if answers and not answers.startswith("disk"):
        return Taken(blob=_as_it_is(file, workshop, digest), answers=answers)
    bare = partitionless or bool(answers)
    made = make_disk(file, workshop, declared=declared, name=file.name, partitionless=bare, digest=digest)
    return Taken(blob=made.blob, made=made, answers=missing.get(made.blob.sha256, ""))


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
