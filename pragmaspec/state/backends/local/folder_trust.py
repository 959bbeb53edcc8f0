"""Checks of a state directory: its permissions, symbolic links, and the type of its file system."""

import os
import stat
from pathlib import Path
from shlex import quote

_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "virtiofs"}
)


def unsafe_reason(folder: Path) -> str:
    """Return why ``folder`` must not hold a state, in full sentences; empty if it may, or is absent. Raises OSError."""
    try:
        found = folder.lstat()
        if stat.S_ISLNK(found.st_mode):
            real = folder.resolve()
            if not real.is_relative_to(folder.parent.resolve()):
                return (
                    f"{folder} is a symbolic link to {real}, outside its parent directory. This is how a stranger's "
                    f"repository could make you change another state of yours. If the state belongs there, name {real} itself"
                )
            found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if not stat.S_ISDIR(found.st_mode):
        return ""
    if found.st_mode & stat.S_IWOTH:
        writers = "all users"
    elif found.st_mode & stat.S_IWGRP and not _is_private_group(found):
        writers = f"the group {found.st_gid}"
    else:
        return ""
    return (
        f"{writers} of this machine may write to {folder} (mode {stat.S_IMODE(found.st_mode):04o}), so the state in it may not "
        f"be what you recorded. Check it, then run `chmod go-w {quote(str(folder))}`"
    )


def filesystem_warnings(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> tuple[str, ...]:
    """Return a warning if ``folder`` is on a network file system or FUSE. ``mounts`` is mountinfo of proc(5), if readable."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        kind = _file_system_type(folder.resolve(), lines)
    except OSError:
        return ()
    if kind not in _NETWORK_FILE_SYSTEMS and not kind.startswith("fuse"):
        return ()
    warning = (
        f"{folder} is on a file system of type {kind}: whether its locks exclude other machines, and whether synced data is "
        "durable, depends on the server. Use a local disk, or record the state on a server (`state:` with an http, s3 or "
        "postgresql URL)."
    )
    return (warning,)


def _is_private_group(found: os.stat_result) -> bool:
    """True if the owner is the only member of the directory's group; with such groups a umask of 002 is common."""
    import grp  # noqa: PLC0415 - needed only for a group-writable directory
    import pwd  # noqa: PLC0415

    try:
        group, owner = grp.getgrgid(found.st_gid), pwd.getpwuid(found.st_uid)
    except KeyError:
        return False
    return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _file_system_type(path: Path, mounts: list[str]) -> str:
    """Return the type of the file system of ``path``: that of the longest mount point above it, the last one mounted there."""
    longest, kind = -1, ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        point = Path(fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace"))
        if path.is_relative_to(point) and len(point.parts) >= longest:
            longest, kind = len(point.parts), after.split(" ")[0]
    return kind
