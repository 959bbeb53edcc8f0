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
    """The disk of a role of ``cluster``: the repository by absolute path or URL, and as written; ``content`` of a local one."""

    repository: str
    shown: str
    cluster: str
    role: Literal["frontend", "compute"] = "frontend"
    content: str = ""

    def origin(self) -> str:
        """The repository without what may be secret, and what of it."""
        return f"{self.role} of {self.cluster} in {redact_url(self.shown) if is_remote(self.shown) else self.shown}"

    def described(self) -> str:
        """Over what the spec says, and over the content of a local repository's folder of this cluster."""
        words = f"pragma {self.shown} {self.cluster} {self.role} {self.content}"
        return sha256(words.encode()).hexdigest()[:16]

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Fetch its parts and put them together."""
        from pragmaspec.images.pragma.disk_parts import assemble_disk  # noqa: PLC0415 - only loaded where it is needed
        from pragmaspec.images.pragma.repository import (  # noqa: PLC0415
            PragmaRepository,
            RepositoryFiles,
            repository_folder,
        )
        from pragmaspec.images.store.blobs import disk_full_as_error  # noqa: PLC0415

        address, key = repository_folder(self.repository), f"pragma-{self.described()}"
        repository = PragmaRepository(self.shown, RepositoryFiles(address, workshop).small)
        disk = repository.appliance(self.cluster).disk(self.role)
        below = repository.paths()[self.cluster].rpartition("/")[0]
        if disk.packing == "raw" and not is_remote(address):
            path = str(Path(address) / below / disk.files[0])
            return LocalSource(disk=path, shown=path, format=disk.format).find(workshop)
        with workshop.store.locked(key), disk_full_as_error(workshop.store, workshop.image):
            made = assemble_disk(disk, below, address, workshop, key)
        return VerifiedImage(format=made.format, virtual_size_bytes=made.virtual_size_bytes, disk=made.blob)


def pragma_source(repository: str, shown: str, cluster: str, role: Literal["frontend", "compute"]) -> PragmaSource:
    """The source for a role of a cluster in the repository at an absolute path or URL."""
    remote = is_remote(repository)
    folder = repository.removesuffix("/vcdb.txt").removesuffix("/vcdb.json")
    content = "" if remote else folder_digest(folder)
    return PragmaSource(repository=repository, shown=shown, cluster=cluster, role=role, content=content)
