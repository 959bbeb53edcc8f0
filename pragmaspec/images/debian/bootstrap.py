"""Creates a Debian or Ubuntu system as a tar archive with mmdebstrap, and checks the programs and privileges for a build."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.debian import recipe
from pragmaspec.images.debian.distribution import apt_options

PROGRAMS = {"mmdebstrap": "mmdebstrap", "mkfs.ext4": "e2fsprogs", "qemu-img": "qemu-utils", "tar": "tar"}
"""Debian package by program."""
UMASK = 0o022
"""The umask of all programs of a build, so that the files they create do not depend on the user's."""
SYSTEM_PATHS = "/usr/sbin:/sbin:/usr/bin:/bin"


def search_path() -> str:
    """Return PATH with the directories of system programs, which an ordinary user's may lack."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATHS}"


def check_tools(search: str) -> None:
    """Raise ImageError, with the packages to install, if a program is missing in the path ``search``."""
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=search)})
    if missing:
        raise ImageError(
            "Programs missing",
            f"Building an image requires programs that are not installed: apt-get install {' '.join(missing)}",
        )


def privileges(search: str) -> tuple[str, tuple[str, ...]]:
    """Return the mode for mmdebstrap, and the command prefix with which other programs can create files owned by root.

    root needs no prefix; other users get a user namespace. Raises ImageError if the machine does not allow that.
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
            "Privileges missing",
            "Building an image requires root or unprivileged user namespaces, and this machine allows you neither. Run the "
            "command as root, or have root install uidmap, add ranges for you to /etc/subuid and /etc/subgid, and allow user "
            "namespaces.",
        )
    return "unshare", inside


TIMEOUT_S = 3600.0
STAGES = {
    "running apt-get update": "reading the package lists",
    "downloading packages": "downloading packages",
    "extracting archives": "unpacking the base system",
    "installing essential": "installing the base system",
    "installing remaining": "installing packages",
    "running --customize-hook": "compiling Python",
    "cleaning package lists": "tidying up",
    "creating tarball": "writing the archive",
}
"""Progress to report, by mmdebstrap's messages."""
# Documentation and translations are a third of the files, and useless on a node; licences are kept.
DPKG_EXCLUDES = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
)  # fmt: skip
# Python reads compiled files twice as slowly if it verifies the hash of their source, which never changes here.
COMPILE_PYTHON_HOOK = (
    'chroot "$1" find /usr/lib/python3 /usr/lib/python3.* -name __pycache__ -prune -exec rm -r {} + && '
    'PYTHONHASHSEED=0 chroot "$1" sh -c "exec python3 -m compileall -q -f --invalidation-mode unchecked-hash '
    '/usr/lib/python3.* /usr/lib/python3/dist-packages"'
)


class BootstrapRequest(Frozen, frozen=True):
    """Arguments of mmdebstrap. ``keyring``: the file with the archive's keys; None: the keys that this machine's apt trusts."""

    suite: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    mode: str
    keyring: Path | None = None


def bootstrap(archive: Path, request: BootstrapRequest, report: Callable[[str], None]) -> None:
    """Write the system to ``archive``. ``report`` is called with each stage. Raises ImageError with apt's messages."""
    with _apt_files(request.keyring) as (settings, keyring), archive.open("wb") as output:
        _run(mmdebstrap_command(request, settings, keyring), output.fileno(), report)


def build_environment() -> dict[str, str]:
    """Return the environment of mmdebstrap and the packages' scripts: this machine's proxies, all else fixed."""
    return {
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        "PATH": search_path(), "LC_ALL": "C.UTF-8", "TZ": "UTC0", "SOURCE_DATE_EPOCH": str(recipe.EPOCH), "PYTHONHASHSEED": "0",
        # The kernel package must not create an initramfs: ours is smaller and reproducible.
        "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive",
    }  # fmt: skip


def mmdebstrap_command(request: BootstrapRequest, settings: Path, keyring: Path | None) -> list[str]:
    """Return the command that writes the system to standard output; ``settings`` is a file with apt's settings."""
    return [
        "mmdebstrap", f"--mode={request.mode}", "--variant=minbase", "--format=tar", f"--include={','.join(request.packages)}",
        f"--aptopt={settings}", *(f"--dpkgopt={line}" for line in DPKG_EXCLUDES), f"--customize-hook={COMPILE_PYTHON_HOOK}",
        *([f"--keyring={keyring}"] if keyring else []),
        request.suite, "-", *request.sources,
    ]  # fmt: skip


@contextmanager
def _apt_files(keyring: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """Write this machine's apt settings and the keyring to files that mmdebstrap's user in a user namespace can read.

    The settings may contain a proxy's password, so other users must not find them: the name is random, and the directory
    cannot be listed.
    """
    with tempfile.TemporaryDirectory(prefix="pragmaspec-apt-") as directory:
        Path(directory).chmod(0o711)
        file = Path(directory) / f"{secrets.token_hex(16)}.conf"
        file.write_text("\n".join((*apt_options(), "")), encoding="utf-8")
        file.chmod(0o644)
        copy = Path(directory) / f"keyring{keyring.suffix}" if keyring else None
        if keyring and copy:
            copy.write_bytes(keyring.read_bytes())
            copy.chmod(0o644)
        yield file, copy


def _run(command: list[str], output: int, report: Callable[[str], None]) -> None:
    last_lines: deque[str] = deque(maxlen=25)
    started = time.monotonic()
    with subprocess.Popen(
        command,
        env=build_environment(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        umask=UMASK,
    ) as process:
        timer = Timer(TIMEOUT_S, process.kill)
        timer.start()
        try:
            for line in process.stderr or ():
                last_lines.append(line.strip())
                for message, stage in STAGES.items():
                    if line.startswith("I: ") and message in line:
                        report(stage)
        except BaseException:
            process.terminate()
            raise
        finally:
            timer.cancel()
        status = process.wait()
    if status != 0:
        errors = [line for line in last_lines if line.startswith(("E:", "W:", "dpkg:", "Err:", "mmdebstrap"))]
        messages = " / ".join(errors or last_lines)
        late = f" It was stopped after {TIMEOUT_S / 60:.0f} minutes." if time.monotonic() - started >= TIMEOUT_S else ""
        raise ImageError(
            "Image cannot be built",
            f"mmdebstrap failed (status {status}).{late} Its messages: {messages[-1500:]}. Check the names of the suite and the "
            "packages, and that the mirror is reachable, with apt-get update.",
        )
