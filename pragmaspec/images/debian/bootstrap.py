"""A Debian or Ubuntu system as a tar archive, by mmdebstrap.

The programs a build needs, and the rights it runs with.
"""

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
            "Programs missing",
            f"Building an image needs more than is installed here. Install it: apt-get install {' '.join(missing)}",
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
            "Rights missing",
            "Building an image needs root or unprivileged user namespaces, and this machine allows you neither. "
            "Run the command as root, or let root install uidmap, put ranges for you in /etc/subuid and /etc/subgid, and "
            "allow user namespaces.",
        )
    return "unshare", inside


LIMIT_S = 3600.0
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
"""What mmdebstrap says, and what a person reads."""
# Documentation and translations of messages are a third of the files and nobody's business in a node; licences stay.
DPKG_EXCLUDES = (
    "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/info/*", "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
)  # fmt: skip
# Checked by hash of their source, Python's compiled files are read twice as slowly; theirs never change here.
COMPILE_PYTHON_HOOK = (
    'chroot "$1" find /usr/lib/python3 /usr/lib/python3.* -name __pycache__ -prune -exec rm -r {} + && '
    'PYTHONHASHSEED=0 chroot "$1" sh -c "exec python3 -m compileall -q -f --invalidation-mode unchecked-hash '
    '/usr/lib/python3.* /usr/lib/python3/dist-packages"'
)


class BootstrapRequest(Frozen, frozen=True):
    """What is asked of mmdebstrap. ``keyring``: the file with the archive's keys; None: what this machine's apt trusts."""

    suite: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]
    mode: str
    keyring: Path | None = None


def bootstrap(archive: Path, order: BootstrapRequest, said: Callable[[str], None]) -> None:
    """Write the system to ``archive``; ``said`` is told each stage. Raises ImageError with apt's own words."""
    with _seen_by_apt(order.keyring) as (settings, keyring), archive.open("wb") as output:
        _run(mmdebstrap_command(order, settings, keyring), build_environment(), output.fileno(), said)


def build_environment() -> dict[str, str]:
    """What mmdebstrap and the packages' scripts see of this machine: its proxies, and nothing else that differs."""
    return {
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        "PATH": search_path(), "LC_ALL": "C.UTF-8", "TZ": "UTC0", "SOURCE_DATE_EPOCH": str(recipe.EPOCH), "PYTHONHASHSEED": "0",
        # No initial RAM disk is made by the kernel's package: ours is smaller and the same every time.
        "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive",
    }  # fmt: skip


def mmdebstrap_command(order: BootstrapRequest, settings: Path, keyring: Path | None) -> list[str]:
    """The command that writes the system to standard output, with a file of apt's ``settings``."""
    return [
        "mmdebstrap", f"--mode={order.mode}", "--variant=minbase", "--format=tar", f"--include={','.join(order.packages)}",
        f"--aptopt={settings}", *(f"--dpkgopt={line}" for line in DPKG_EXCLUDES), f"--customize-hook={COMPILE_PYTHON_HOOK}",
        *([f"--keyring={keyring}"] if keyring else []),
        order.suite, "-", *order.sources,
    ]  # fmt: skip


@contextmanager
def _seen_by_apt(keyring: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """This machine's apt settings, and the keyring, in files that mmdebstrap's user of a user namespace can read.

    The settings may hold a proxy's password, so nobody else can find them: a random name, in a directory that cannot be listed.
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


def _run(argv: list[str], environment: dict[str, str], output: int, said: Callable[[str], None]) -> None:
    last: deque[str] = deque(maxlen=25)
    began = time.monotonic()
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace",
        umask=UMASK,
    ) as process:  # fmt: skip
        limit = Timer(LIMIT_S, process.kill)
        limit.start()
        try:
            for line in process.stderr or ():
                last.append(line.strip())
                for words, stage in STAGES.items():
                    if line.startswith("I: ") and words in line:
                        said(stage)
        except BaseException:
            process.terminate()
            raise
        finally:
            limit.cancel()
        status = process.wait()
    if status != 0:
        words = " / ".join(line for line in last if line.startswith(("E:", "W:", "dpkg:", "Err:", "mmdebstrap"))) or " / ".join(
            last
        )
        late = f" It was stopped after {LIMIT_S / 60:.0f} minutes." if time.monotonic() - began >= LIMIT_S else ""
        raise ImageError(
            "Image cannot be built",
            f"mmdebstrap failed (status {status}).{late} It said: {words[-1500:]}. Check the names of the suite and "
            "the packages, and that the mirror can be reached: apt-get update shows it.",
        )
