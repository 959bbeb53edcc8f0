"""Contents of an initramfs: reproducible cpio archives (the Linux kernel's "newc" format), and kernel modules in load order."""

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

TRAILER = "TRAILER!!!"


class CpioEntry(Frozen, frozen=True):
    """An entry of an archive: ``path`` without leading slash, ``mode`` with type bits, ``content`` or the target of a link."""

    path: str
    mode: int
    content: bytes = b""


def cpio_directory(path: str, mode: int = 0o755) -> CpioEntry:
    """Return the entry of a directory."""
    return CpioEntry(path=path, mode=stat.S_IFDIR | mode)


def cpio_file(path: str, content: bytes, mode: int = 0o644) -> CpioEntry:
    """Return the entry of a regular file."""
    return CpioEntry(path=path, mode=stat.S_IFREG | mode, content=content)


def cpio_link(path: str, target: str) -> CpioEntry:
    """Return the entry of a symbolic link."""
    return CpioEntry(path=path, mode=stat.S_IFLNK | 0o777, content=target.encode())


def cpio_archive(entries: Iterable[CpioEntry]) -> bytes:
    """Return the entries, and the parent directories they require, as a cpio archive.

    They are sorted by path, owned by root and dated 1970, so the bytes depend on nothing else. Of several entries with one path,
    the last is used. Source of the format: ``Documentation/driver-api/early-userspace/buffer-format.rst`` of the Linux kernel.
    """
    given = {entry.path: entry for entry in entries}
    by_path = {path: cpio_directory(path) for entry in given.values() for path in _parents(entry.path)} | given
    ordered = [by_path[path] for path in sorted(by_path)]
    content = b"".join(_encode(entry, number) for number, entry in enumerate(ordered, start=1))
    content += _encode(CpioEntry(path=TRAILER, mode=0), 0)
    return _padded(content, 512)


def _encode(entry: CpioEntry, inode: int) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name, 4) + _padded(entry.content, 4)


def _padded(content: bytes, unit: int) -> bytes:
    return content + bytes(-len(content) % unit)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_COMPRESSIONS = {".gz": "gzip", ".xz": "xz", ".zst": "zstd"}
_FILE = re.compile(r"(?P<name>.+)\.ko(?P<suffix>\.gz|\.xz|\.zst)?")


def module_name(path: Path) -> str:
    """Return the file name of a module without the suffix of its compression."""
    found = _FILE.fullmatch(path.name)
    return f"{found['name']}.ko" if found else path.name


def module_bytes(path: Path) -> bytes:
    """Return the content of a module, decompressed if the distribution compresses modules."""
    kind = _COMPRESSIONS.get(path.suffix)
    if kind is None:
        return path.read_bytes()
    from pragmaspec.images.archives.decompress import decompressed  # noqa: PLC0415 - Debian does not compress modules

    return b"".join(decompressed(kind, iter([path.read_bytes()])))


def load_order(modules: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """Return the files below ``modules`` of ``names`` and their dependencies, each after the modules that it depends on.

    Dependencies are read from the modules themselves (``depends=`` in their ``.modinfo`` section), so ``depmod`` is not required.
    Modules that are built into the kernel are skipped. Raises ImageError if a module is missing.
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
        for dependency in found.group(1).decode().split(",") if found else ():
            if dependency:
                add(dependency.replace("-", "_"))
        ordered[name] = path

    for name in names:
        add(name.replace("-", "_"))
    return tuple(ordered.values())


def _built_in(modules: Path) -> set[str]:
    """Return the names of the built-in modules, from ``modules.builtin``."""
    try:
        listed = (modules / "modules.builtin").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return set()
    return {Path(path).name.removesuffix(".ko").replace("-", "_") for path in listed}
