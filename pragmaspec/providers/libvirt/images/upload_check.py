"""Whether what was sent has arrived, looked at from the far end before anybody may use it.

Where a command can be run on the host, it tells the digest of what stands there. Elsewhere that would mean to transfer all of it
a second time, so there the size and a few pieces, the ends among them, are read back and compared.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt import volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.remote_shell import RemoteShell
from pragmaspec.resources import Blob

SCRIPT = 'found=$(sha256sum <"$1") || exit 1; echo "${found%% *}"'
LIMIT_S = 3600.0
PIECES = 4
PIECE_BYTES = 65536


def check_arrived(host: Host, name: str, file: Path, blob: Blob) -> None:
    """Raise SiteError when the volume ``name`` is not ``file``, whose digest is that of ``blob``."""
    if host.connection.is_pretended:
        return
    if host.site.over_ssh:
        ended = RemoteShell(host.site.uri).run(SCRIPT, (host.path(name),), LIMIT_S)
        if ended.status == 0:
            if ended.said != blob.sha256:
                raise _damaged(host, name)
            return
    if volumes.size_bytes(host, name) != blob.size_bytes:
        raise _damaged(host, name)
    with file.open("rb", buffering=0) as source:
        for at, count in samples(blob.size_bytes):
            if volumes.piece(host, name, at, count) != os.pread(source.fileno(), count, at):
                raise _damaged(host, name)


def samples(size: int) -> Iterator[tuple[int, int]]:
    """Where the pieces begin that are compared, and their lengths: spread over the whole, with the first and the last bytes."""
    if size <= PIECES * PIECE_BYTES:
        yield 0, size
        return
    for index in range(PIECES):
        yield (size - PIECE_BYTES) * index // (PIECES - 1), PIECE_BYTES


def _damaged(host: Host, name: str) -> SiteError:
    return SiteError(
        "The image did not arrive as it was sent",
        f"Volume {name} at site {host.site.name} does not have the bytes that were sent. It was removed again. Look "
        "after the host's disk and the network, then apply again.",
    )
