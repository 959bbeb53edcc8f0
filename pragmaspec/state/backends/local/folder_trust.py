"""Whether a folder can be trusted with a state: who may write to it, where it really stands, on what kind of file system."""

import os
import stat
from pathlib import Path
from shlex import quote

_SHARED = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "virtiofs"})


def distrusted(folder: Path) -> str:
    """Why ``folder`` must not be used, in full sentences; empty: nothing is against it, or it is not there. Raises OSError."""
    try:
        found = folder.lstat()
        if stat.S_ISLNK(found.st_mode):
            real = folder.resolve()
            if not real.is_relative_to(folder.parent.resolve()):
                return (
                    f"{folder} is a symbolic link to {real}, out of the folder it stands in. A repository from somebody else "
                    f"could so make you change a state of yours. If that is where the state shall be, name {real} itself."
                )
            found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if not stat.S_ISDIR(found.st_mode):
        return ""
    if found.st_mode & stat.S_IWOTH:
        who = "everybody"
    elif found.st_mode & stat.S_IWGRP and not _own_group(found):
        who = f"the group {found.st_gid}"
    else:
        return ""
    return (
        f"{who} on this machine may write to {folder} (mode {stat.S_IMODE(found.st_mode):04o}), so the state in it may not be "
        f"what you recorded. Look at it, then: chmod go-w {quote(str(folder))}"
    )


def filesystem_warnings(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> tuple[str, ...]:
    """What is not as safe as it should be, in full sentences. ``mounts``: proc(5), mountinfo; not there: nothing is known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        kind = _file_system(folder.resolve(), lines)
    except OSError:
        return ()
    if kind not in _SHARED and not kind.startswith("fuse"):
        return ()
    said = (
        f"{folder} is on a file system of kind {kind}: whether its locks hold between machines, and whether what is synced is "
        "durable, depends on the server. Use a local disk, or record the state on a server (`state:` with an http, s3 or "
        "postgresql URL)."
    )
    return (said,)


def _own_group(found: os.stat_result) -> bool:
    """Whether the folder's group has only its owner in it: on systems with such groups everything is made writable to them."""
    import grp  # noqa: PLC0415 - only for a folder that a group may write to
    import pwd  # noqa: PLC0415

    try:
        group, owner = grp.getgrgid(found.st_gid), pwd.getpwuid(found.st_uid)
    except KeyError:
        return False
    return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _file_system(path: Path, mounts: list[str]) -> str:
    """The kind of file system that ``path`` is on: that of the longest mount point above it, the last one mounted there."""
    best, kind = -1, ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the mount point is the fifth
            continue
        point = Path(fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace"))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind
