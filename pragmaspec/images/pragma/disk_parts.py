"""The disk of a repository's cluster, from its one or more files to the store."""

import shutil
from pathlib import Path

from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.pragma.repository import RepositoryFiles
from pragmaspec.images.pragma.vc_in import ApplianceDisk
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.images.transfer.cached_folder import missing_file_error
from pragmaspec.net.urls import is_remote


def assemble_disk(disk: ApplianceDisk, below: str, address: str, workshop: ImageContext, key: str) -> BootableDisk:
    """The disk whose files stand in the folder ``below`` of the repository at ``address``, in the store.

    The caller holds the store's lock ``key``. Parts are joined as they come, so that there is room needed for one of them only.
    Compression is taken off by :func:`make_disk`, which goes by the bytes; what is in it has to be of the declared format.
    """
    store = workshop.store
    paths = [f"{below}/{name}" if below else name for name in disk.files]
    local = [] if is_remote(address) else [Path(address) / path for path in paths]
    if local and len(local) == 1:
        _check_there(local)
        return make_disk(local[0], workshop, DiskOptions(declared=disk.format))
    joined = store.part(key)
    if local:
        _check_there(local)
        store.check_space(sum(path.stat().st_size for path in local), workshop.image)
        _join(local, joined, workshop)
    elif len(paths) == 1:
        RepositoryFiles(address, workshop).fetch(paths[0], joined)
    else:
        _fetch_and_join(RepositoryFiles(address, workshop), paths, joined, workshop, key)
    return make_disk(joined, workshop, DiskOptions(declared=disk.format))


def _join(files: list[Path], joined: Path, workshop: ImageContext) -> None:
    done, total = 0, sum(file.stat().st_size for file in files)
    with joined.open("wb") as target:
        for number, file in enumerate(files, start=1):
            workshop.step(f"joining part {number} of {len(files)}", done, total)
            with file.open("rb") as part:
                shutil.copyfileobj(part, target, 2**20)
            done = target.tell()


def _fetch_and_join(reach: RepositoryFiles, paths: list[str], joined: Path, workshop: ImageContext, key: str) -> None:
    """One part after another. An interrupted run begins with the first part again."""
    part = workshop.store.part(f"{key}-part")
    with joined.open("wb") as target:
        for path in paths:
            reach.fetch(path, part)
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 2**20)
            part.unlink()


def _check_there(files: list[Path]) -> None:
    for file in files:
        if not file.is_file():
            raise missing_file_error(f"{file}, which the repository's XML names,")
