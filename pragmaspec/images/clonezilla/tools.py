"""The programs that write and read what is in a Clonezilla directory, run with little: no environment, no network, limits."""

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
"""The Debian package of each; of all others it is partclone."""
# The first of a list that is installed is taken; all of them are given the stream and write the stream.
_UNPACK: dict[str, tuple[tuple[str, ...], ...]] = {
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
_PACK: dict[str, tuple[tuple[str, ...], ...]] = {
    "gz": (("pigz", "-c", "--fast", "-b", "1024", "--rsyncable", "-n"), ("gzip", "-c", "--fast", "--rsyncable", "-n")),
    "bz2": (("lbzip2", "-c"), ("bzip2", "-c")),
    "lzo": (("lzop", "-c"),),
    "xz": (("xz", "-c"),),
    "lz4": (("lz4", "-cq"),),
    "zst": (("zstd", "-cq", "-3"),),
    "uncomp": (("cat",),),
}
WRITABLE_COMPRESSIONS = tuple(_PACK)
"""The compressions that can be written."""
_MAGICS = (
    (b"\x1f\x8b", "gz"), (b"BZh", "bz2"), (b"\x89LZO", "lzo"), (b"\xfd7zXZ\0", "xz"), (b"LZIP", "lzip"), (b"LRZI", "lrz"),
    (b"\x04\x22\x4d\x18", "lz4"), (b"\x28\xb5\x2f\xfd", "zst"), (b"\x5d\0\0", "lzma"),
)  # fmt: skip


def detect_compression(start: bytes, said: str) -> str:
    """How a volume that begins with ``start`` is compressed: as its name says, else as its first bytes show."""
    return said or next((kind for magic, kind in _MAGICS if start.startswith(magic)), "uncomp")


def decompress_command(compression: str) -> tuple[str, ...]:
    """The command that unpacks its standard input. Raises ImageError when no program for it is installed."""
    return _first(_UNPACK[compression])


def compress_command(compression: str) -> tuple[str, ...]:
    """The command that compresses its standard input as Clonezilla does."""
    return _first(_PACK[compression])


def find_program(name: str) -> str:
    """The path of a program. Raises ImageError, with the package to install, when it is not there."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        package = PACKAGES.get(name, "partclone")
        detail = f"Clonezilla images are worked on with {name}. Install it: apt-get install {package}"
        raise ImageError("Programs missing", detail)
    return found


def limited_command(command: Sequence[str], most_bytes: int) -> list[str]:
    """``command`` under limits: no file beyond ``most_bytes``, little memory, no core dump, no network where that can be had."""
    limits = [find_program("prlimit"), "--core=0", f"--as={MEMORY_BYTES}", f"--fsize={most_bytes}", "--"]
    return [*_isolation(), *limits, find_program(command[0]), *command[1:]]


def run(command: Sequence[str], most_bytes: int, stdin: bytes = b"", *, accepted: frozenset[int] = frozenset({0})) -> str:
    """What a command says on its standard output. Raises ImageError with its own words when it fails."""
    done = subprocess.run(limited_command(command, most_bytes), input=stdin, capture_output=True, env=environment(), check=False)
    if done.returncode not in accepted:
        raise program_error(command[0], done.returncode, done.stderr + done.stdout)
    return done.stdout.decode(errors="replace")


def environment() -> dict[str, str]:
    """What the programs get to see."""
    return {"LC_ALL": "C", "PATH": SEARCH_PATH, "TZ": "UTC"}


def program_error(name: str, status: int, said: bytes) -> ImageError:
    """The error for a program that failed, with the end of what it said."""
    words = " ".join(said.decode(errors="replace").split())[-400:] or "nothing"
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return ImageError("Image cannot be restored", f"{name} failed ({how}) and said: {words}")


def _first(commands: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    for command in commands:
        if shutil.which(command[0], path=SEARCH_PATH):
            return command
    find_program(commands[-1][0])
    return commands[-1]


@functools.cache
def _isolation() -> tuple[str, ...]:
    unshare = shutil.which("unshare", path=SEARCH_PATH)
    for command in ((unshare, "--net", "--"), (unshare, "--map-current-user", "--net", "--")) if unshare else ():
        tried = tuple(str(word) for word in command)
        if (
            subprocess.run([*tried, find_program("prlimit"), "--version"], env={}, capture_output=True, check=False).returncode
            == 0
        ):
            return tried
    return ()
