"""A qcow2 overlay as a file of plain bytes, so that programs for file systems can change it where it lies.

``qemu-storage-daemon`` shows it through FUSE, without root and without a copy. It ends with this process, whatever happens to it.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.qemu_img import driver_name

LIMIT_S = 20.0
_POLL_S = 0.01
_PROGRAMS = ("qemu-storage-daemon", "setpriv")
_SYSTEM_PATHS = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"


def can_export() -> bool:
    """Whether this machine has what :func:`export_disk` needs."""
    found = all(shutil.which(program, path=_SYSTEM_PATHS) for program in _PROGRAMS)
    mounts = os.geteuid() == 0 or shutil.which("fusermount3", path=_SYSTEM_PATHS) is not None
    return found and mounts and os.access("/dev/fuse", os.R_OK | os.W_OK)


@contextmanager
def export_disk(overlay: Path, base: Path, base_format: str, scratch: Path) -> Iterator[Path]:
    """A file in ``scratch`` that is the disk of ``overlay`` on ``base``, byte for byte; what is written to it goes there.

    Everything is in the overlay when this ends. Raises ImageError when it cannot be shown.
    """
    shown = scratch / "disk"
    shown.touch(mode=0o600)
    nodes = (
        f"driver=file,node-name=below,filename={_quoted(base)},read-only=on",
        f"driver={driver_name(base_format)},node-name=base,file=below,read-only=on",
        f"driver=file,node-name=file,filename={_quoted(overlay)}",
        "driver=qcow2,node-name=disk,file=file,backing=base",
    )
    command = [
        "setpriv", "--pdeathsig", "TERM", "--", "qemu-storage-daemon",
        *(word for node in nodes for word in ("--blockdev", node)),
        "--export", f"type=fuse,id=disk,node-name=disk,mountpoint={_quoted(shown)},writable=on,allow-other=off",
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        env={"PATH": _SYSTEM_PATHS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _wait_for(shown, process)
            yield shown
        finally:
            process.terminate()
        said = process.communicate(timeout=LIMIT_S)[1]
    if process.returncode != 0:
        raise _failed(said)


def _wait_for(shown: Path, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + LIMIT_S
    while not os.path.ismount(shown) and shown.stat().st_size == 0:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise _failed(process.communicate()[1])
        time.sleep(_POLL_S)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace(",", ",,")


def _failed(said: bytes) -> ImageError:
    words = " ".join(said.decode(errors="replace").split())[-400:] or "it gave no reason"
    return ImageError("Disk cannot be opened", f"qemu-storage-daemon says: {words}")
