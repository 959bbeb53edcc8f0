"""Images of PRAGMA repositories: the disk of a virtual cluster's frontend or computes."""

from hashlib import sha256
from pathlib import Path
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.sources.folder_digest import folder_digest
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.net.urls import is_remote, redact_url


class PragmaSource(Frozen, frozen=True, tag_field="kind", tag="pragma"):
    """The disk of a role of ``cluster``. ``repository``: its absolute path or its URL; ``shown``: the same as the user wrote it.

    ``content``: the digest of a local repository.
    """

    repository: str
    shown: str
    cluster: str
    role: Literal["frontend", "compute"] = "frontend"
    content: str = ""

    def origin(self) -> str:
        """Role, cluster and repository, without secrets."""
        return f"{self.role} of {self.cluster} in {redact_url(self.shown) if is_remote(self.shown) else self.shown}"

    def described(self) -> str:
        """A digest of the spec's description and the content of a local repository."""
        text = f"pragma {self.shown} {self.cluster} {self.role} {self.content}"
        return sha256(text.encode()).hexdigest()[:16]

    def find(self, context: ImageContext) -> VerifiedImage:
        """Fetch the parts of the disk and join them. Raises ImageError."""
        from pragmaspec.images.pragma.disk_parts import assemble_disk  # noqa: PLC0415 - only loaded where it is needed
        from pragmaspec.images.pragma.repository import (  # noqa: PLC0415
            PragmaRepository,
            RepositoryFiles,
            repository_folder,
        )
        from pragmaspec.images.store.blobs import disk_full_as_error  # noqa: PLC0415

        address, key = repository_folder(self.repository), f"pragma-{self.described()}"
        files = RepositoryFiles(address, context)
        repository = PragmaRepository(self.shown, files.read_small)
        disk = repository.appliance(self.cluster).disk(self.role)
        folder = repository.paths()[self.cluster].rpartition("/")[0]
        if disk.packing == "raw" and not is_remote(address):
            path = str(Path(address) / folder / disk.files[0])
            return LocalSource(disk=path, shown=path, format=disk.format).find(context)
        paths = [f"{folder}/{name}" if folder else name for name in disk.files]
        with context.store.locked(key), disk_full_as_error(context.store, context.image):
            made = assemble_disk(files, paths, disk.format, context, key)
        return VerifiedImage(format=made.format, virtual_size_bytes=made.virtual_size_bytes, disk=made.blob)


def pragma_source(repository: str, shown: str, cluster: str, role: Literal["frontend", "compute"]) -> PragmaSource:
    """Return the source for a role of a cluster in the repository at an absolute path or URL."""
    folder = repository.removesuffix("/vcdb.txt").removesuffix("/vcdb.json")
    content = "" if is_remote(repository) else folder_digest(folder)
    return PragmaSource(repository=repository, shown=shown, cluster=cluster, role=role, content=content)
