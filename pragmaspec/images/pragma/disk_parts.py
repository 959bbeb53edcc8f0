"""The disk of a repository's cluster: its parts are fetched, joined and put into the store."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.pragma.repository import RepositoryFiles
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.images.transfer.cached_folder import missing_file_error

_CHUNK_BYTES = 2**20


def assemble_disk(files: RepositoryFiles, paths: Sequence[str], format_: str, context: ImageContext, key: str) -> BootableDisk:
    """Put the disk in the parts ``paths`` of the repository into the store. The caller holds the store's lock ``key``.

    Remote parts are fetched and joined one by one, so that free space for only one of them is needed in addition to the disk.
    :func:`make_disk` decompresses the joined file, by its content; the result must have the declared ``format_``.
    """
    store = context.store
    local = [path for path in map(files.local_path, paths) if path is not None]
    for path in local:
        if not path.is_file():
            raise missing_file_error(f"{path}, which the XML of the repository names,")
    if len(local) == 1:
        return make_disk(local[0], context, DiskOptions(declared=format_))
    joined = store.part(key)
    if local:
        store.check_space(sum(path.stat().st_size for path in local), context.image)
        _join(local, joined, context)
    elif len(paths) == 1:
        files.fetch(paths[0], joined)
    else:
        _fetch_and_join(files, paths, joined, store.part(f"{key}-part"))
    return make_disk(joined, context, DiskOptions(declared=format_))


def _join(parts: list[Path], joined: Path, context: ImageContext) -> None:
    done, total = 0, sum(part.stat().st_size for part in parts)
    with joined.open("wb") as target:
        for number, part in enumerate(parts, start=1):
            context.step(f"joining part {number} of {len(parts)}", done, total)
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            done = target.tell()


def _fetch_and_join(files: RepositoryFiles, paths: Sequence[str], joined: Path, part: Path) -> None:
    """Fetch and append each part. After an interruption, the next run starts over with the first part."""
    with joined.open("wb") as target:
        for path in paths:
            files.fetch(path, part)
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            part.unlink()
