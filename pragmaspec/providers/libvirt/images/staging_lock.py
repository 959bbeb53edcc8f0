"""Who works on an image at the site: one stack at a time, whether it brings the image or removes it.

The claim is an empty marker volume, which libvirt gives to nobody twice. A claim that nothing comes of is taken over.
"""

import time

from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark

STALLED_S = 30.0
"""Another stack's work that has not moved for so long is given up for dead."""
UNMARKED_S = 2.0
"""The same for parts that nobody says to be working on: left by a crash."""
POLL_S = 0.2

_Progress = tuple[frozenset[str], int]
"""The files and markers of an image, and the bytes that its files take."""


def claimed(host: Host, digest: str, mark: Mark, *, removing: bool = False) -> bool:
    """Whether the work is ours to do now. Otherwise watches the other's for a while and says no: then all is looked at anew.

    A mark of our own that is there already is from a run that died: no other run of this stack is under way. To bring an image
    that is whole by now is never ours; to remove one is, unless somebody says to be using it.
    """
    before = _progress(host, digest)  # before the listing: what ends between the two has moved
    found = volumes.listed(host)
    ours = names.staging_marker(digest, mark)
    others = names.stagings(found, digest) - {ours}
    unmarked = not removing and ours not in found and names.image_files(found, digest)
    if others or unmarked:
        if _moves(host, digest, before, STALLED_S if others else UNMARKED_S):
            return False
        for name in others:
            volumes.remove(host, name)
    volumes.mark(host, ours)
    found = volumes.listed(host)
    pointless = names.references(found, digest) if removing else names.complete_marker(digest) in found
    # Two that begin in the same moment see each other; the first by name goes on.
    if pointless or min(names.stagings(found, digest) | {ours}) != ours:
        volumes.remove(host, ours)
        return False
    return True


def _moves(host: Host, digest: str, before: _Progress, limit_s: float) -> bool:
    """Whether anything happens to the image within ``limit_s`` since ``before``: a part grows or goes, work ends or begins."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if _progress(host, digest) != before:
            return True
        time.sleep(POLL_S)
    return False


def _progress(host: Host, digest: str) -> _Progress:
    found = volumes.listed(host)
    files = names.image_files(found, digest)
    return frozenset(files | names.image_markers(found, digest)), sum(volumes.allocated_bytes(host, name) for name in files)
