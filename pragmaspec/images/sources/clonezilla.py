"""Images in directories that Clonezilla wrote, or in an ISO image around one (PRAGMA's cziso): restored without booting them."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.sources.folder_digest import folder_digest
from pragmaspec.net.urls import is_remote, redact_url


class ClonezillaSource(Frozen, frozen=True, tag_field="kind", tag="clonezilla"):
    """A Clonezilla directory: the path (absolute) or URL of the folder, and as the user wrote it; ``content`` of a local one."""

    folder: str
    shown: str
    content: str = ""

    def origin(self) -> str:
        """As the user wrote it, without what may be secret."""
        return redact_url(self.shown) if is_remote(self.shown) else self.shown

    def described(self) -> str:
        """Over the address, and over the content of a local folder: it takes minutes to restore, so it is locked."""
        return sha256(f"clonezilla {self.shown} {self.content}".encode()).hexdigest()[:16]

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Restore it. Takes room for what the disk's file systems use, twice."""
        from pragmaspec.images.clonezilla.iso import open_iso  # noqa: PLC0415 - only restoring needs it
        from pragmaspec.images.clonezilla.restore import restore_to_store  # noqa: PLC0415
        from pragmaspec.images.store.blobs import disk_full_as_error  # noqa: PLC0415
        from pragmaspec.images.transfer.cached_folder import open_readable  # noqa: PLC0415

        store, key = workshop.store, f"clonezilla-{self.described()}"
        place, iso = _inside(self.folder)
        with (
            store.locked(key),
            disk_full_as_error(store, workshop.image),
            store.scratch(key) as scratch,
            open_readable(place, workshop, key) as folder,
        ):
            if iso:
                with open_iso(folder, iso) as inside:
                    made = restore_to_store(inside, workshop, scratch, key)
            else:
                made = restore_to_store(folder, workshop, scratch, key)
        return VerifiedImage(format=made.format, virtual_size_bytes=made.virtual_size_bytes, disk=made.blob)


def clonezilla_source(folder: str, shown: str) -> ClonezillaSource:
    """The source for the folder (or ISO image) at an absolute path or URL."""
    remote = is_remote(folder)
    return ClonezillaSource(folder=folder, shown=shown, content="" if remote else folder_digest(folder))


def _inside(address: str) -> tuple[str, str]:
    """The folder to open, and the ISO image in it, where there is one."""
    base, mark, query = address.partition("?")
    if not base.lower().endswith(".iso"):
        return address, ""
    place, _, name = base.rpartition("/")
    return f"{place}{mark}{query}", name
