"""The lock on an image at the site: one stack at a time stages or removes it.

The lock is an empty marker volume, whose name libvirt gives to exactly one creator. A stale lock is taken over.
"""

import time

from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark

STALE_LOCK_S = 30.0
"""The lock of another stack is stale after so long without progress."""
STALE_PARTS_S = 2.0
"""Parts without a lock are stale after so long without progress: a crash left them."""
POLL_S = 0.2

_Progress = tuple[frozenset[str], int]
"""The files and markers of an image, and the total allocation of the files."""


def try_lock(host: Host, digest: str, mark: Mark, *, removing: bool = False) -> bool:
    """Try to take the lock. False after watching another stack's progress for a while: the caller then checks everything anew.

    An existing marker of this stack is from a run that died: no other run of this stack is in progress. The lock to stage an
    image is refused if it is complete by now; the lock to remove one is refused if a stack uses it.
    """
    before = _progress(host, digest)  # Before the listing, so that work that ends between the two counts as progress.
    found = volumes.list_names(host)
    own = names.staging_marker(digest, mark)
    others = names.staging_markers(found, digest) - {own}
    unlocked_parts = not removing and own not in found and names.image_files(found, digest)
    if others or unlocked_parts:
        if _has_progress(host, digest, before, STALE_LOCK_S if others else STALE_PARTS_S):
            return False
        for name in others:
            volumes.remove(host, name)
    volumes.create_marker(host, own)
    found = volumes.list_names(host)
    pointless = names.reference_markers(found, digest) if removing else names.complete_marker(digest) in found
    # Two stacks that lock at the same moment see each other; the first by name continues.
    if pointless or min(names.staging_markers(found, digest) | {own}) != own:
        volumes.remove(host, own)
        return False
    return True


def _has_progress(host: Host, digest: str, before: _Progress, limit_s: float) -> bool:
    """True if the image changes within ``limit_s`` since ``before``: a part grows or is removed, a lock is taken or released."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if _progress(host, digest) != before:
            return True
        time.sleep(POLL_S)
    return False


def _progress(host: Host, digest: str) -> _Progress:
    found = volumes.list_names(host)
    files = names.image_files(found, digest)
    return frozenset(files | names.image_markers(found, digest)), sum(volumes.allocated_bytes(host, name) for name in files)
