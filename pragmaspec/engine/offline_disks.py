"""Disks with files in them, for nodes whose image has no cloud-init. Made when a provider asks, in the thread that asks."""

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

ImageOpener = Callable[[StagedImage], ImageFiles]
"""Gives the bytes of an image. Raises ImageError."""


class OfflineOverlays:
    """The overlays of one apply. Safe from several threads.

    Those that libguestfs has to write are made together, for every node of the plan that is new and boots the same image:
    its start is what costs.
    """

    def __init__(self, plan: Plan, outlook: TargetState, stack_key: StackKey, files: ImageOpener) -> None:
        self._prefix = f"pragmaspec-overlay-{outlook.state.lineage}-"
        self._outlook = outlook
        self._stack_key = stack_key
        self._files = files
        self._new = tuple(
            action.resource
            for action in plan.actions
            if action.verb == "boot"
            and isinstance(action.resource, Node)
            and (action.before is None or action.impact == "rebuild")
        )
        self._one_appliance = Lock()
        self._made: dict[str, Path] = {}
        self._given: set[str] = set()
        self._slow: set[str] = set()
        self._folders: list[Path] = []

    @contextmanager
    def overlay(self, node: Node, base_path: str) -> Iterator[Path]:
        """A qcow2 file with all that ``node`` is told, on the image that is called ``base_path`` at the site.

        It holds private keys and is gone afterwards. Raises ImageError.
        """
        # Only those who boot such images pay for what this loads.
        from pragmaspec.images.offline.overlay import name_base, quick_overlay  # noqa: PLC0415

        image = self._outlook.image(node)
        folder = self._folder()
        try:
            made = None if image.digest in self._slow else quick_overlay(self._base(image), self._wish(node), folder)
            if made is None:
                self._slow.add(image.digest)
                made = self._by_appliance(node, image)
            name_base(made, base_path, image.format)
            yield made
            made.unlink()
        finally:
            rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove what a run of this stack that was killed has left on this machine: there are private keys in it."""
        for folder in Path(gettempdir()).glob(f"{self._prefix}*"):
            with suppress(OSError):
                if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                    rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove what nobody asked for."""
        for folder in self._folders:
            rmtree(folder, ignore_errors=True)

    def _by_appliance(self, node: Node, image: StagedImage) -> Path:
        from pragmaspec.images.offline.overlay import appliance_overlays  # noqa: PLC0415

        with self._one_appliance:
            if node.address not in self._made:
                nodes = self._together(node)
                made = appliance_overlays(self._base(image), [self._wish(each) for each in nodes], self._folder())
                self._made.update(zip((each.address for each in nodes), made, strict=True))
            self._given.add(node.address)
            return self._made.pop(node.address)

    def _together(self, node: Node) -> Sequence[Node]:
        """``node``, and the new nodes that stand on the same image and will want theirs too."""
        alike = (each for each in self._new if (each.site, each.image, each.cloud_init) == (node.site, node.image, False))
        others = (each for each in alike if each.address not in self._made and each.address not in self._given)
        return [node, *(each for each in others if each.address != node.address)]

    def _base(self, image: StagedImage) -> "BaseImage":
        from pragmaspec.images.offline.overlay import BaseImage  # noqa: PLC0415

        return BaseImage(self._files(image).disk, image.format)

    def _wish(self, node: Node) -> "OverlayRequest":
        from pragmaspec.guest.offline.files import offline_files  # noqa: PLC0415
        from pragmaspec.images.offline.overlay import OverlayRequest  # noqa: PLC0415

        cluster = self._outlook.cluster(node)
        return OverlayRequest(node.disk_bytes, lambda system: offline_files(node, cluster, self._stack_key, system))

    def _folder(self) -> Path:
        """A new one that only this user can enter."""
        folder = Path(mkdtemp(prefix=self._prefix))
        self._folders.append(folder)
        return folder
