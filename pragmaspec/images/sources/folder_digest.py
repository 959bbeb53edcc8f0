"""A digest that detects changes of a local folder without reading all of its gigabytes."""

import os
from hashlib import sha256

ENDS_BYTES = 2**16


def folder_digest(path: str) -> str:
    """Return a digest of the files in the folder (or of the one file) ``path``; empty if they cannot be read.

    It covers names, sizes, and the first and last 64 KiB of each file; compressed files end with a checksum of their content.
    It does not depend on times and paths, so a copy of the folder has the same digest.
    """
    digest = sha256()
    try:
        for name, file in _files(path):
            with open(file, "rb") as stream:  # noqa: PTH123 - scandir returns strings
                size = os.fstat(stream.fileno()).st_size
                digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
                digest.update(stream.read(ENDS_BYTES))
                stream.seek(max(stream.tell(), size - ENDS_BYTES))
                digest.update(stream.read(ENDS_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()


def _files(path: str) -> list[tuple[str, str]]:
    """Return name and path of each file of the folder and its direct subfolders, which is as deep as repositories are."""
    if os.path.isfile(path):  # noqa: PTH113 - see above
        return [("", path)]
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file():
                found.append((entry.name, entry.path))
            elif entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as below:
                    found += [(f"{entry.name}/{one.name}", one.path) for one in below if one.is_file()]
    return sorted(found)
