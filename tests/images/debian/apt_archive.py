"""A small signed package archive: the package lists without the packages, sufficient for a simulated installation."""

import hashlib
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

from tests.images.openpgp import Key

ESSENTIAL = ("base-files", "dpkg")


def write_archive(root: Path, suites: Mapping[str, Mapping[str, tuple[str, ...]]], key: Key, origin: str = "Test") -> str:
    """Write an archive with packages by suite and component below ``root``, and return its URL for ``sources.list``."""
    for suite, components in suites.items():
        folder = root / "dists" / suite
        lists = {}
        for component, packages in components.items():
            content = "".join(map(_paragraph, packages)).encode()
            path = f"{component}/binary-amd64/Packages"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
            lists[path] = content
        release = [
            f"Origin: {origin}", f"Label: {origin}", f"Suite: {suite}", f"Codename: {suite}",
            f"Date: {formatdate(time.time(), usegmt=True)}",
            "Architectures: amd64", f"Components: {' '.join(components)}", "SHA256:",
            *(f" {hashlib.sha256(content).hexdigest()} {len(content)} {path}" for path, content in lists.items()),
        ]  # fmt: skip
        (folder / "InRelease").write_bytes(key.around("\n".join((*release, "")).encode()))
    return f"file://{root}"


def _paragraph(name: str) -> str:
    size, digest = 1000, hashlib.sha256(name.encode()).hexdigest()
    lines = [
        f"Package: {name}", "Version: 1.0", "Architecture: amd64", "Maintainer: Test <nobody@example.org>",
        f"Priority: {'required' if name in ESSENTIAL or name == 'apt' else 'optional'}", "Description: a package of the tests",
        f"Filename: pool/{name}_1.0_amd64.deb", f"Size: {size}", f"SHA256: {digest}",
    ]  # fmt: skip
    return "\n".join((*lines, *(["Essential: yes"] if name in ESSENTIAL else []), "", ""))
