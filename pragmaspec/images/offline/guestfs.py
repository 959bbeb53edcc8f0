"""Writes files into any file system that Linux supports, with libguestfs, whose appliance is a small virtual machine.

The appliance takes seconds to start, many seconds on an emulated processor, so one start writes several disks.
"""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path, PurePosixPath
from threading import Timer
from typing import IO, Any

from pragmaspec.errors import ImageError
from pragmaspec.guest.offline.detect import PROBED_PATHS, FileKind, GuestSystem, guest_system
from pragmaspec.guest.offline.files import PRIVATE_FOLDERS, OfflineFiles
from pragmaspec.guest.offline.selinux import SELINUX_CONFIG, contexts_path, selinux_label
from pragmaspec.images.offline.debugfs import WRITTEN_FOLDERS

MAX_DISKS = 32
START_TIMEOUT_S = 600.0
"""The first start on a machine also builds the appliance; an emulated one takes half a minute of processor time."""
DISK_TIMEOUT_S = 120.0
KVM_TIMEOUT_S = 60.0
"""Some machines offer a KVM under which no kernel boots; after this time, emulation is used instead."""
_PYTHON = "/usr/bin/python3"
_SINGLE_DISK_ONLY = "single disk only"
_HINT = (
    "Install it: apt-get install python3-guestfs linux-image-amd64 (on other distributions python3-libguestfs and the running "
    "kernel). If it is installed, `libguestfs-test-tool` shows what is missing."
)

Contents = Callable[[int, GuestSystem], OfflineFiles]
"""Returns the files to write into the disk with this number and system."""


def write_with_appliance(overlays: Sequence[Path], contents: Contents) -> None:
    """Write into each of ``overlays``, at most 32 qcow2 files whose headers name their backing files. Raises ImageError.

    Pass several only if the kernel can tell their contents apart (no LVM, RAID, btrfs). Raises SingleDiskOnlyError if they must
    be written one by one for another reason.
    """
    settings = os.environ.get("LIBGUESTFS_BACKEND_SETTINGS", "")
    use_kvm = "force_tcg" not in settings and os.access("/dev/kvm", os.R_OK | os.W_OK)
    if use_kvm:
        try:
            _write(overlays, contents, settings, KVM_TIMEOUT_S)
        except _StartTimeoutError:
            settings = f"{settings}:force_tcg".strip(":")
        else:
            return
    try:
        _write(overlays, contents, settings, START_TIMEOUT_S)
    except _StartTimeoutError:
        raise _appliance_error(f"it did not start within {START_TIMEOUT_S:.0f} s. {_HINT}") from None


class SingleDiskOnlyError(Exception):
    """Disks of this image can only be written one by one."""


class _StartTimeoutError(Exception):
    """The appliance did not start in time."""


def _write(overlays: Sequence[Path], contents: Contents, settings: str, timeout_s: float) -> None:
    with _appliance(settings) as channel:
        drives = [str(overlay.absolute()) for overlay in overlays]
        request = {"drives": drives, "probed": PROBED_PATHS, "config": SELINUX_CONFIG, "written_folders": WRITTEN_FOLDERS}
        channel.call(request, timeout_s, starting=True)
        for number in range(len(overlays)):
            probe = channel.receive(DISK_TIMEOUT_S)
            found: dict[str, FileKind] = probe["found"]
            policy = channel.call({"contexts_path": contexts_path(probe["config"])}, DISK_TIMEOUT_S)
            channel.call(_write_request(contents(number, guest_system(found, str(policy["contexts"])))), DISK_TIMEOUT_S)
        channel.receive(DISK_TIMEOUT_S)


class _Channel:
    """Exchanges lines of JSON with the appliance, each within a time limit."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def call(self, message: dict[str, Any], timeout_s: float, *, starting: bool = False) -> dict[str, Any]:
        """Send ``message`` and return the answer. Raises as :meth:`receive`."""
        if self._process.stdin is None:
            raise TypeError
        rest = memoryview(f"{json.dumps(message)}\n".encode())
        try:
            while rest:
                rest = rest[os.write(self._process.stdin.fileno(), rest) :]
        except BrokenPipeError:
            pass  # receive() raises its error
        return self.receive(timeout_s, starting=starting)

    def receive(self, timeout_s: float, *, starting: bool = False) -> dict[str, Any]:
        """Return the next answer. Raises ImageError for an error, _StartTimeoutError if ``starting`` exceeds the time limit."""
        timed_out = False

        def stop() -> None:
            nonlocal timed_out
            timed_out = True
            self._process.kill()

        if self._process.stdout is None:
            raise TypeError
        timer = Timer(timeout_s, stop)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if timed_out and starting:
            raise _StartTimeoutError
        if timed_out:
            raise _appliance_error(f"it took longer than {timeout_s:.0f} s. {_HINT}")
        if not line:
            self._errors.seek(0)
            messages = " ".join(self._errors.read().split())[-500:]
            raise _appliance_error(f"{messages or 'it ended without a message'}. {_HINT}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error") == _SINGLE_DISK_ONLY:
            raise SingleDiskOnlyError
        if "error" in answer:
            raise _appliance_error(f"{answer['error'][-500:]}. {_HINT}")
        return answer


@contextmanager
def _appliance(settings: str) -> Iterator[_Channel]:
    """Start the appliance with libguestfs' ``settings``."""
    if not os.access(_PYTHON, os.X_OK):
        raise _appliance_error(f"{_PYTHON} does not exist. {_HINT}")
    source = resources.files("pragmaspec.images.offline").joinpath("files", "appliance").read_text(encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"HOME", "TMPDIR", "XDG_RUNTIME_DIR"}},
        **{name: value for name, value in os.environ.items() if name.startswith(("LIBGUESTFS_", "SUPERMIN_"))},
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        # The libvirt backend would require a running daemon.
        "LIBGUESTFS_BACKEND": os.environ.get("LIBGUESTFS_BACKEND", "direct"),
        **({"LIBGUESTFS_BACKEND_SETTINGS": settings} if settings else {}),
    }
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            [_PYTHON, "-I", "-c", source],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield _Channel(process, errors)
        except BaseException:
            process.kill()  # libguestfs' watchdog then ends the virtual machine
            raise


def _write_request(wanted: OfflineFiles) -> dict[str, Any]:
    def label(path: str, kind: FileKind) -> str:
        return selinux_label(path, wanted.contexts, kind) if wanted.contexts else ""

    paths = [*(file.path for file in wanted.files), *(path for path, _ in wanted.links)]
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents} - {"/"}
    return {
        "folders": [
            {"path": folder, "mode": 0o700 if folder in PRIVATE_FOLDERS else 0o755, "label": label(folder, "directory")}
            for folder in sorted(folders)
        ],
        "removed": wanted.removed,
        "files": [
            {
                "path": file.path,
                "mode": file.mode,
                "content": base64.b64encode(file.content.encode()).decode(),
                "label": label(file.path, "file"),
            }
            for file in wanted.files
        ],
        "links": [{"path": path, "target": target, "label": label(path, "link")} for path, target in wanted.links],
    }


def _appliance_error(reason: str) -> ImageError:
    return ImageError("Files cannot be written into the disk", f"The image has `guest: files`, and libguestfs failed: {reason}")
