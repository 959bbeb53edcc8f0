"""Files put into any file system that Linux knows, with libguestfs: a small machine of its own that mounts the disks.

It costs seconds to start, many where processors are emulated, so several disks are written in one.
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
START_LIMIT_S = 600.0
"""The first start on a machine also builds the appliance; an emulated one takes half a minute of processor time."""
DISK_LIMIT_S = 120.0
KVM_LIMIT_S = 60.0
"""Some machines offer a KVM under which no kernel boots; after this long emulation is used instead."""
_PYTHON = "/usr/bin/python3"
_ALONE = "alone"
_HINT = (
    "Install it: apt-get install python3-guestfs linux-image-amd64 (elsewhere python3-libguestfs, and the kernel that runs). "
    "Where it is, `libguestfs-test-tool` shows what it lacks."
)

Contents = Callable[[int, GuestSystem], OfflineFiles]
"""What to write into the disk with this number, whose system is this."""


def write_with_appliance(overlays: Sequence[Path], contents: Contents) -> None:
    """Write into each of ``overlays``, qcow2 files whose bases are named in them, at most 32. Raises ImageError.

    More than one only if no two of them hold what names itself to the kernel (LVM, RAID, btrfs). Raises AloneError when they have
    to be written one by one for another reason.
    """
    settings = os.environ.get("LIBGUESTFS_BACKEND_SETTINGS", "")
    kvm = "force_tcg" not in settings and os.access("/dev/kvm", os.R_OK | os.W_OK)
    if kvm:
        try:
            _written(overlays, contents, settings, KVM_LIMIT_S)
        except _TooSlowError:
            settings = f"{settings}:force_tcg".strip(":")
        else:
            return
    try:
        _written(overlays, contents, settings, START_LIMIT_S)
    except _TooSlowError:
        raise _failed(f"it did not start in {START_LIMIT_S:.0f} s. {_HINT}") from None


class _TooSlowError(Exception):
    """The appliance did not start in time."""


def _written(overlays: Sequence[Path], contents: Contents, settings: str, limit_s: float) -> None:
    with _appliance(settings) as talk:
        drives = [str(overlay.absolute()) for overlay in overlays]
        talk.ask(
            {"drives": drives, "probed": PROBED_PATHS, "config": SELINUX_CONFIG, "apart": WRITTEN_FOLDERS}, limit_s, starting=True
        )
        for number in range(len(overlays)):
            seen = talk.hear(DISK_LIMIT_S)
            found: dict[str, FileKind] = seen["found"]
            contexts = str(talk.ask({"contexts_path": contexts_path(seen["config"])}, DISK_LIMIT_S)["contexts"])
            talk.ask(_message(contents(number, guest_system(found, contexts))), DISK_LIMIT_S)
        talk.hear(DISK_LIMIT_S)


class _Talk:
    """A line of JSON to the appliance, a line back, each within a limit of time."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def ask(self, message: dict[str, Any], limit_s: float, *, starting: bool = False) -> dict[str, Any]:
        """Send ``message`` and return the answer."""
        if self._process.stdin is None:
            raise TypeError
        rest = memoryview(f"{json.dumps(message)}\n".encode())
        try:
            while rest:
                rest = rest[os.write(self._process.stdin.fileno(), rest) :]
        except BrokenPipeError:
            pass  # what it has to say of that is read now
        return self.hear(limit_s, starting=starting)

    def hear(self, limit_s: float, *, starting: bool = False) -> dict[str, Any]:
        """The next answer. Raises ImageError for an error, _TooSlowError when ``starting`` takes too long."""
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            self._process.kill()

        if self._process.stdout is None:
            raise TypeError
        limit = Timer(limit_s, stop)
        limit.start()
        try:
            line = self._process.stdout.readline()
        finally:
            limit.cancel()
        if late and starting:
            raise _TooSlowError
        if not line:
            self._errors.seek(0)
            words = " ".join(self._errors.read().split())[-500:]
            raise _failed(f"it took longer than {limit_s:.0f} s." if late else f"{words or 'it ended without a word'}. {_HINT}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SingleDiskOnlyError if answer["error"] == _ALONE else _failed(f"{answer['error'][-500:]}. {_HINT}")
        return answer


class SingleDiskOnlyError(Exception):
    """This image's disks can only be written one by one."""


@contextmanager
def _appliance(settings: str) -> Iterator[_Talk]:
    if not os.access(_PYTHON, os.X_OK):
        raise _failed(f"there is no {_PYTHON}. {_HINT}")
    source = resources.files("pragmaspec.images.offline").joinpath("files", "appliance").read_text(encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"HOME", "TMPDIR", "XDG_RUNTIME_DIR"}},
        **{name: value for name, value in os.environ.items() if name.startswith(("LIBGUESTFS_", "SUPERMIN_"))},
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        # libvirt would need a daemon of its own here.
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
            yield _Talk(process, errors)
        except BaseException:
            process.kill()  # libguestfs' own watcher ends the machine
            raise


def _message(wanted: OfflineFiles) -> dict[str, Any]:
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


def _failed(why: str) -> ImageError:
    return ImageError("Files cannot be written into the disk", f"The image has `guest: files`, and libguestfs says: {why}")
