"""The programs a build needs, and the rights it runs with."""

import os
import shutil
import subprocess

from pragmaspec.errors import ImageError, Problem

PROGRAMS = {"mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "qemu-img": "qemu-utils", "tar": "tar"}
"""Program, and the Debian package that has it."""
UMASK = 0o022
"""Of every program of a build, whoever builds: scripts of packages make files, and folders come without a description."""
SYSTEM_PATHS = "/usr/sbin:/sbin:/usr/bin:/bin"


def search_path() -> str:
    """PATH with the directories of system programs, which an ordinary user's lacks."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATHS}"


def check_tools(search: str) -> None:
    """Raises ImageError that says what to install when a program is missing below ``search``."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=search)})
    if missing:
        raise ImageError(
            Problem(
                summary="Programs missing",
                detail=f"Building an image needs more than is installed here. Install it: apt-get install {' '.join(missing)}",
            )
        )


def privileges(search: str) -> tuple[str, tuple[str, ...]]:
    """The mode for mmdebstrap, and the command that the other programs run under, so that files may belong to root.

    root needs none. Anybody else gets a user namespace; raises ImageError where the machine does not allow it.
    """
    if os.geteuid() == 0:
        return "root", ()
    inside = ("unshare", "--map-root-user", "--map-auto", "--")
    try:
        allowed = subprocess.run([*inside, "true"], env={"PATH": search}, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        raise ImageError(
            Problem(
                summary="Rights missing",
                detail="Building an image needs root or unprivileged user namespaces, and this machine allows you neither. "
                "Run the command as root, or let root install uidmap, put ranges for you in /etc/subuid and /etc/subgid, and "
                "allow user namespaces.",
            )
        )
    return "unshare", inside
