"""Which kernel modules have to be loaded, and in which order, to get the ones that are asked for."""

import re
from collections.abc import Iterable
from pathlib import Path

from pragmaspec.errors import ImageError, Problem

DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def load_order(modules: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The files of ``names`` and of all they depend on, below ``modules``, each after those that it needs.

    Dependencies are read from the modules themselves (``depends=`` in their ``.modinfo`` section), so no ``depmod`` is needed.
    Only uncompressed modules (``.ko``) are read, as Debian ships them. Raises ImageError when one is missing.
    """
    files = {path.stem.replace("-", "_"): path for path in sorted(modules.rglob("*.ko"))}
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        path = files.get(name)
        if path is None:
            raise ImageError(
                Problem(
                    summary="kernel module missing",
                    detail=f"There is no module {name} below {modules}; use another kernel package.",
                )
            )
        if name in ordered:
            return
        found = DEPENDS.search(path.read_bytes())
        for needed in found.group(1).decode().split(",") if found else ():
            if needed:
                add(needed.replace("-", "_"))
        ordered[name] = path

    for name in names:
        add(name.replace("-", "_"))
    return tuple(ordered.values())
