"""Disk overlays with injected files, for nodes whose image has no cloud-init. Built when the provider asks, in its thread."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp
from threading import Lock
from typing import TYPE_CHECKING

from pragmaspec.engine.target_state import TargetState
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.plan import Plan
from pragmaspec.resources import Node, StagedImage

if TYPE_CHECKING:
    from pragmaspec.images.offline.overlay import BaseImage, OverlayRequest


class OfflineOverlays:
    """The overlays of one apply. Thread-safe.

    Overlays that need libguestfs are built together for all new nodes of the plan with the same image, because its start takes
    most of the time.
    """

    def __init__(self, plan: Plan, target: TargetState, stack_key: StackKey, files: Callable[[StagedImage], ImageFiles]) -> None:
        self._prefix = f"pragmaspec-overlay-{target.state.lineage}-"
        self._target = target
        self._stack_key = stack_key
        self._files = files
        self._new_nodes = tuple(
            action.resource
            for action in plan.actions
            if action.verb == "boot"
            and isinstance(action.resource, Node)
            and (action.before is None or action.impact == "rebuild")
        )
        self._one_appliance = Lock()
        self._ready: dict[str, Path] = {}
        self._used: set[str] = set()
        self._needs_appliance: set[str] = set()
        self._directories: list[Path] = []

    @contextmanager
    def overlay(self, node: Node, base_path: str) -> Iterator[Path]:
        """A qcow2 file with the injected files of ``node``, backed by its image, whose path at the site is ``base_path``.

        It contains private keys, and is removed afterwards. Raises ImageError.
        """
        # Imported only for nodes with such an image.
        from pragmaspec.images.formats.qemu_img import set_backing_path  # noqa: PLC0415
        from pragmaspec.images.offline.overlay import quick_overlay  # noqa: PLC0415

        image = self._target.image(node)
        directory = self._new_directory()
        try:
            needs_appliance = image.digest in self._needs_appliance
            file = None if needs_appliance else quick_overlay(self._base(image), self._request(node), directory)
            if file is None:
                self._needs_appliance.add(image.digest)
                file = self._appliance_overlay(node, image)
            set_backing_path(file, base_path, image.format)
            yield file
            file.unlink()
        finally:
            rmtree(directory, ignore_errors=True)

    def clear(self) -> None:
        """Remove overlays of an earlier run of this stack that was killed: they contain private keys."""
        for directory in Path(gettempdir()).glob(f"{self._prefix}*"):
            with suppress(OSError):
                if directory.lstat().st_uid == os.geteuid() and not directory.is_symlink():
                    rmtree(directory, ignore_errors=True)

    def close(self) -> None:
        """Remove unused overlays."""
        for directory in self._directories:
            rmtree(directory, ignore_errors=True)

    def _appliance_overlay(self, node: Node, image: StagedImage) -> Path:
        from pragmaspec.images.offline.overlay import appliance_overlays  # noqa: PLC0415

        with self._one_appliance:
            if node.address not in self._ready:
                nodes = self._batch(node)
                files = appliance_overlays(self._base(image), [self._request(each) for each in nodes], self._new_directory())
                self._ready.update(zip((each.address for each in nodes), files, strict=True))
            self._used.add(node.address)
            return self._ready.pop(node.address)

    def _batch(self, node: Node) -> Sequence[Node]:
        """Return ``node`` and the other new nodes with its image whose overlays are not built yet."""
        alike = (each for each in self._new_nodes if (each.site, each.image, each.cloud_init) == (node.site, node.image, False))
        others = (each for each in alike if each.address not in self._ready and each.address not in self._used)
        return [node, *(each for each in others if each.address != node.address)]

    def _base(self, image: StagedImage) -> "BaseImage":
        from pragmaspec.images.offline.overlay import BaseImage  # noqa: PLC0415

        return BaseImage(self._files(image).disk, image.format)

    def _request(self, node: Node) -> "OverlayRequest":
        from pragmaspec.guest.offline.files import offline_files  # noqa: PLC0415
        from pragmaspec.images.offline.overlay import OverlayRequest  # noqa: PLC0415

        cluster = self._target.cluster(node)
        return OverlayRequest(node.disk_bytes, lambda system: offline_files(node, cluster, self._stack_key, system))

    def _new_directory(self) -> Path:
        """Create a directory that only this user can enter."""
        directory = Path(mkdtemp(prefix=self._prefix))
        self._directories.append(directory)
        return directory
