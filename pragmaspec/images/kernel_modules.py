"""Which kernel modules have to be loaded, and in which order, to get the ones that are asked for."""

import re
from collections.abc import Iterable
from pathlib import Path

from pragmaspec.errors import ImageError, Problem

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
    from pragmaspec.images.unpack import unpacked  # noqa: PLC0415 - Debian's are not compressed

    return b"".join(unpacked(kind, iter([path.read_bytes()])))


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
            raise ImageError(
                Problem(
                    summary="Kernel module missing",
                    detail=f"There is no module {name} below {modules}; use another kernel package.",
                )
            )
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
