"""Initial RAM file systems as bytes: the cpio "newc" format of the Linux kernel, equal for equal contents.

Which kernel modules have to be loaded, and in which order, to get the ones that are asked for.
"""

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

TRAILER = "TRAILER!!!"


class CpioEntry(Frozen, frozen=True):
    """A file of an archive: ``path`` without a leading slash, ``mode`` with its type bits, ``content`` (a link's target)."""

    path: str
    mode: int
    content: bytes = b""


def cpio_directory(path: str, mode: int = 0o755) -> CpioEntry:
    """A directory."""
    return CpioEntry(path=path, mode=stat.S_IFDIR | mode)


def cpio_file(path: str, content: bytes, mode: int = 0o644) -> CpioEntry:
    """A regular file."""
    return CpioEntry(path=path, mode=stat.S_IFREG | mode, content=content)


def cpio_link(path: str, target: str) -> CpioEntry:
    """A symbolic link."""
    return CpioEntry(path=path, mode=stat.S_IFLNK | 0o777, content=target.encode())


def cpio_archive(members: Iterable[CpioEntry]) -> bytes:
    """The members as a cpio archive, with the directories they need.

    Sorted by path, owned by root, dated 1970, so that the bytes depend on nothing else. Source of the format:
    ``Documentation/driver-api/early-userspace/buffer-format.rst`` of the Linux kernel. Of two members with one path the later
    counts.
    """
    given = {member.path: member for member in members}
    by_path = {path: cpio_directory(path) for member in given.values() for path in _parents(member.path)} | given
    ordered = [by_path[path] for path in sorted(by_path)]
    written = b"".join(_written(member, number) for number, member in enumerate(ordered, start=1))
    written += _written(CpioEntry(path=TRAILER, mode=0), 0)
    return _padded(written, 512)


def _written(member: CpioEntry, inode: int) -> bytes:
    name = member.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (inode, member.mode, 0, 0, links, 0, len(member.content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name, 4) + _padded(member.content, 4)


def _padded(content: bytes, unit: int) -> bytes:
    return content + bytes(-len(content) % unit)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_PACKED = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}
_FILE = re.compile(r"(?P<name>.+)\.ko(?P<packed>\.gz|\.xz|\.zst)?")


def module_name(path: Path) -> str:
    """The file name of a module when it is not compressed."""
    found = _FILE.fullmatch(path.name)
    return f"{found['name']}.ko" if found else path.name


def module_bytes(path: Path) -> bytes:
    """A module, without the compression that some distributions ship it with."""
    kind = _PACKED.get(path.suffix)
    if kind is None:
        return path.read_bytes()
    from pragmaspec.images.archives.decompress import decompressed  # noqa: PLC0415 - Debian's are not compressed

    return b"".join(decompressed(kind, iter([path.read_bytes()])))


def load_order(modules: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The files of ``names`` and of all they depend on, below ``modules``, each after those that it needs.

    Dependencies are read from the modules themselves (``depends=`` in their ``.modinfo`` section), so no ``depmod`` is needed.
    What is built into the kernel needs no loading. Raises ImageError when one is missing.
    """
    listed = (path for path in sorted(modules.rglob("*.ko*")) if _FILE.fullmatch(path.name))
    files = {module_name(path).removesuffix(".ko").replace("-", "_"): path for path in listed}
    built_in = _built_in(modules)
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        path = files.get(name)
        if path is None and name in built_in:
            return
        if path is None:
            raise ImageError("Kernel module missing", f"There is no module {name} below {modules}; use another kernel package.")
        if name in ordered:
            return
        found = DEPENDS.search(module_bytes(path))
        for needed in found.group(1).decode().split(",") if found else ():
            if needed:
                add(needed.replace("-", "_"))
        ordered[name] = path

    for name in names:
        add(name.replace("-", "_"))
    return tuple(ordered.values())


def _built_in(modules: Path) -> set[str]:
    """What ``modules.builtin`` lists, by name."""
    try:
        listed = (modules / "modules.builtin").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return set()
    return {Path(path).name.removesuffix(".ko").replace("-", "_") for path in listed}
