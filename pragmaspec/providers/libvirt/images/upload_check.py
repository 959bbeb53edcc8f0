"""Verification of an upload at the host, before the image can be used.

Where commands can be run on the host, it computes the digest of the volume. Elsewhere that would mean to transfer all of it a
second time, so the size and a few samples, including both ends, are read back and compared.
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
SAMPLES = 4
SAMPLE_BYTES = 65536


def verify_upload(host: Host, name: str, file: Path, blob: Blob) -> None:
    """Raise SiteError when the volume ``name`` differs from ``file``, whose digest is that of ``blob``."""
    if host.connection.is_test_driver:
        return
    if host.site.over_ssh:
        result = RemoteShell(host.site.uri).run(SCRIPT, (host.path(name),), LIMIT_S)
        if result.status == 0:
            if result.stdout != blob.sha256:
                raise _damaged(host, name)
            return
    if volumes.file_size(host, name) != blob.size_bytes:
        raise _damaged(host, name)
    with file.open("rb", buffering=0) as source:
        for at, length in samples(blob.size_bytes):
            if volumes.read_range(host, name, at, length) != os.pread(source.fileno(), length, at):
                raise _damaged(host, name)


def samples(size: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the samples to compare: evenly spread, with the first and the last bytes."""
    if size <= SAMPLES * SAMPLE_BYTES:
        yield 0, size
        return
    for index in range(SAMPLES):
        yield (size - SAMPLE_BYTES) * index // (SAMPLES - 1), SAMPLE_BYTES


def _damaged(host: Host, name: str) -> SiteError:
    return SiteError(
        "The image was damaged in transit",
        f"Volume {name} at site {host.site.name} differs from the bytes that were sent. It was removed. Check the host's disk "
        "and the network, then apply again.",
    )
