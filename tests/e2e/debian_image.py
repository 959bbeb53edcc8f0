"""The Debian image of the quickstart, built once a day for all tests on this machine by the installed command."""

import shutil
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pragmaspec.images import debian
from pragmaspec.images.sources import debian as debian_source
from tests.e2e.workspace import Workspace
from tests.guest_images.tiny import locked

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart" / "cluster.yaml"
IMAGES = QUICKSTART.read_text(encoding="utf-8").partition("sites:")[0]
"""The part of a spec that describes the image ``debian-12``."""
BUILD_LIMIT_S = 900
_DAY_S = 86400


class DebianImage(NamedTuple):
    """A lock file with the image, and the image store that contains it."""

    lock_file: Path
    store: Path

    def give_to(self, workspace: Workspace) -> None:
        """Let the specs of ``workspace`` use the image: one that has :data:`IMAGES` finds it without a build."""
        shutil.copy(self.lock_file, workspace.directory)
        workspace.variables["PRAGMASPEC_IMAGES"] = str(self.store)


def build_debian() -> DebianImage:
    """Return the image, and build it unless it was built today, because packages have updates, and by the same code."""
    everything = Path.home() / ".cache" / "pragmaspec-tests" / "debian"
    everything.mkdir(parents=True, exist_ok=True)
    directory = everything / _recipe()
    work, store = directory / "work", directory / "store"
    with locked(everything / ".lock"):
        if not (directory / "done").exists():
            _remove_old(everything)
            workspace = Workspace(work, directory / "home", directory)
            workspace.variables["PRAGMASPEC_IMAGES"] = str(store)
            (work / "cluster.yaml").write_text(f"{IMAGES}clusters: {{}}\n", encoding="utf-8")
            workspace.run("lock", limit_s=BUILD_LIMIT_S)
            (directory / "done").touch()
    return DebianImage(work / "pragmaspec.lock", store)


def _recipe() -> str:
    folder = Path(debian.__file__).parent
    files = sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    parts = [IMAGES.encode(), *(file.read_bytes() for file in (Path(debian_source.__file__), *files))]
    digest = sha256(b"\0".join(parts)).hexdigest()
    return f"{datetime.now(UTC).date()}-{digest[:16]}"


def _remove_old(everything: Path) -> None:
    for directory in everything.iterdir():
        if directory.is_dir() and directory.stat().st_mtime < time.time() - _DAY_S:
            shutil.rmtree(directory)
