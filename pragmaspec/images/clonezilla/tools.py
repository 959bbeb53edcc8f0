"""The programs that write and read the contents of a Clonezilla directory, run without environment and network, with limits."""

import functools
import shutil
import subprocess
from collections.abc import Sequence

from pragmaspec.errors import ImageError

SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
MEMORY_BYTES = 4 * 2**30
PACKAGES = {
    "sfdisk": "fdisk", "prlimit": "util-linux", "blkid": "util-linux", "qemu-img": "qemu-utils", "ntfsclone": "ntfs-3g",
    "parted": "parted", "sgdisk": "gdisk", "gzip": "gzip", "bzip2": "bzip2", "xz": "xz-utils", "zstd": "zstd", "lz4": "lz4",
    "lzop": "lzop", "lzip": "lzip", "lrzip": "lrzip",
}  # fmt: skip
"""Debian package by program; all other programs are in partclone."""
# The first installed program of a list is used; all of them filter standard input to standard output.
_DECOMPRESSORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "gz": (("pigz", "-dc"), ("gzip", "-dc")),
    "bz2": (("lbzip2", "-dc"), ("bzip2", "-dc")),
    "lzo": (("lzop", "-dc"),),
    "lzma": (("xz", "--format=lzma", "-dc"),),
    "xz": (("xz", "-dc"),),
    "lzip": (("plzip", "-dc"), ("lzip", "-dc")),
    "lrz": (("lrzip", "-q", "-d", "-o", "-"),),
    "lz4": (("lz4", "-dc"),),
    "zst": (("zstd", "-dcq", "--long=31"),),
    "uncomp": (("cat",),),
}
_COMPRESSORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "gz": (("pigz", "-c", "--fast", "-b", "1024", "--rsyncable", "-n"), ("gzip", "-c", "--fast", "--rsyncable", "-n")),
    "bz2": (("lbzip2", "-c"), ("bzip2", "-c")),
    "lzo": (("lzop", "-c"),),
    "xz": (("xz", "-c"),),
    "lz4": (("lz4", "-cq"),),
    "zst": (("zstd", "-cq", "-3"),),
    "uncomp": (("cat",),),
}
WRITABLE_COMPRESSIONS = tuple(_COMPRESSORS)
_MAGICS = (
    (b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\x89LZO", "lzo"), (b"\xfd7zXZ\0", "xz"), (b"LZIP", "lzip"), (b"LRZI", "lrz"),
    (b"\x04\x22\x4d\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zst"), (b"\x5d\0\0", "lzma"),
)  # fmt: skip


def detect_compression(start: bytes, declared: str) -> str:
    """Return the ``declared`` compression of a volume, else that shown by its first bytes, ``start``."""
    return declared or next((kind for magic, kind in _MAGICS if start.startswith(magic)), "uncomp")


def decompress_command(compression: str) -> tuple[str, ...]:
    """Return the command that decompresses its standard input. Raises ImageError if no such program is installed."""
    return _first_installed(_DECOMPRESSORS[compression])


def compress_command(compression: str) -> tuple[str, ...]:
    """Return the command that compresses its standard input with Clonezilla's options. Raises ImageError."""
    return _first_installed(_COMPRESSORS[compression])


def find_program(name: str) -> str:
    """Return the path of a program. Raises ImageError, with the package to install, if it is missing."""
    path = shutil.which(name, path=SEARCH_PATH)
    if path is None:
        package = PACKAGES.get(name, "partclone")
        raise ImageError("Programs missing", f"Clonezilla images require {name}. Install it: apt-get install {package}")
    return path


def limited_command(command: Sequence[str], max_bytes: int) -> list[str]:
    """Return ``command`` with limits: files up to ``max_bytes``, memory, no core dump, and no network where possible."""
    limits = [find_program("prlimit"), "--core=0", f"--as={MEMORY_BYTES}", f"--fsize={max_bytes}", "--"]
    return [*_isolation(), *limits, find_program(command[0]), *command[1:]]


def run(command: Sequence[str], max_bytes: int, stdin: bytes = b"", *, accepted: frozenset[int] = frozenset({0})) -> str:
    """Run a command with limits and return its output. Raises ImageError unless its exit status is ``accepted``."""
    result = subprocess.run(limited_command(command, max_bytes), input=stdin, capture_output=True, env=environment(), check=False)
    if result.returncode not in accepted:
        raise program_error(command[0], result.returncode, result.stderr + result.stdout)
    return result.stdout.decode(errors="replace")


def environment() -> dict[str, str]:
    """Return the environment of the programs."""
    return {"LC_ALL": "C", "PATH": SEARCH_PATH, "TZ": "UTC"}


def program_error(name: str, status: int, output: bytes) -> ImageError:
    """Return the error for a program that failed, with the end of its output."""
    message = " ".join(output.decode(errors="replace").split())[-400:] or "no output"
    outcome = f"signal {-status}" if status < 0 else f"status {status}"
    return ImageError("Image cannot be restored", f"{name} failed ({outcome}): {message}")


def _first_installed(commands: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    for command in commands:
        if shutil.which(command[0], path=SEARCH_PATH):
            return command
    find_program(commands[-1][0])
    return commands[-1]


@functools.cache
def _isolation() -> tuple[str, ...]:
    """Return the prefix that runs a command without network; empty if this machine does not allow it."""
    unshare = shutil.which("unshare", path=SEARCH_PATH)
    if unshare is None:
        return ()
    for prefix in ((unshare, "--net", "--"), (unshare, "--map-current-user", "--net", "--")):
        probe = [*prefix, find_program("prlimit"), "--version"]
        if subprocess.run(probe, env={}, capture_output=True, check=False).returncode == 0:
            return prefix
    return ()
