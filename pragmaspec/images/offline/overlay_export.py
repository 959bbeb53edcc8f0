"""Exports a qcow2 overlay as a raw file, so that file system tools can modify it in place.

``qemu-storage-daemon`` exports it through FUSE, without root and without a copy. It is killed when this process ends.
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

TIMEOUT_S = 20.0
_POLL_S = 0.01
_PROGRAMS = ("qemu-storage-daemon", "setpriv")
_SYSTEM_PATHS = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"


def can_export() -> bool:
    """True if this machine has the programs and permissions for :func:`export_disk`."""
    has_programs = all(shutil.which(program, path=_SYSTEM_PATHS) for program in _PROGRAMS)
    can_mount = os.geteuid() == 0 or shutil.which("fusermount3", path=_SYSTEM_PATHS) is not None
    return has_programs and can_mount and os.access("/dev/fuse", os.R_OK | os.W_OK)


@contextmanager
def export_disk(overlay: Path, base: Path, base_format: str, scratch: Path) -> Iterator[Path]:
    """Yield a file in ``scratch`` that is the disk of ``overlay`` on ``base``; writes to it modify the overlay.

    The overlay is complete when this ends. Raises ImageError if the disk cannot be exported.
    """
    exported = scratch / "disk"
    exported.touch(mode=0o600)
    nodes = (
        f"driver=file,node-name=below,filename={_quoted(base)},read-only=on",
        f"driver={driver_name(base_format)},node-name=base,file=below,read-only=on",
        f"driver=file,node-name=file,filename={_quoted(overlay)}",
        "driver=qcow2,node-name=disk,file=file,backing=base",
    )
    command = [
        "setpriv", "--pdeathsig", "TERM", "--", "qemu-storage-daemon",
        *(word for node in nodes for word in ("--blockdev", node)),
        "--export", f"type=fuse,id=disk,node-name=disk,mountpoint={_quoted(exported)},writable=on,allow-other=off",
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
            _wait_for(exported, process)
            yield exported
        finally:
            process.terminate()
        messages = process.communicate(timeout=TIMEOUT_S)[1]
    if process.returncode != 0:
        raise _export_error(messages)


def _wait_for(exported: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not os.path.ismount(exported) and exported.stat().st_size == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise _export_error(process.communicate()[1])
        time.sleep(_POLL_S)


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace(",", ",,")


def _export_error(messages: bytes) -> ImageError:
    reason = " ".join(messages.decode(errors="replace").split())[-400:] or "no reason given"
    return ImageError("Disk cannot be opened", f"qemu-storage-daemon failed: {reason}")
