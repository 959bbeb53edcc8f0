"""Images in directories of Clonezilla, or in an ISO image around one (PRAGMA's cziso), restored without booting them."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.sources.folder_digest import folder_digest
from pragmaspec.net.urls import is_remote, redact_url


class ClonezillaSource(Frozen, frozen=True, tag_field="kind", tag="clonezilla"):
    """A Clonezilla directory. ``folder``: its absolute path or its URL; ``shown``: the same as the user wrote it.

    ``content``: the digest of a local directory.
    """

    folder: str
    shown: str
    content: str = ""

    def origin(self) -> str:
        """The path or URL as the user wrote it, without secrets."""
        return redact_url(self.shown) if is_remote(self.shown) else self.shown

    def described(self) -> str:
        """A digest of the address and the content of a local directory: restoring takes minutes, so the result is locked."""
        return sha256(f"clonezilla {self.shown} {self.content}".encode()).hexdigest()[:16]

    def find(self, context: ImageContext) -> VerifiedImage:
        """Restore the disk. Needs free space for twice the used part of its file systems. Raises ImageError."""
        from pragmaspec.images.clonezilla.iso import open_iso  # noqa: PLC0415 - only restoring needs it
        from pragmaspec.images.clonezilla.restore import restore_to_store  # noqa: PLC0415
        from pragmaspec.images.store.blobs import disk_full_as_error  # noqa: PLC0415
        from pragmaspec.images.transfer.cached_folder import open_readable  # noqa: PLC0415

        store, key = context.store, f"clonezilla-{self.described()}"
        address, iso = _split_iso(self.folder)
        with (
            store.locked(key),
            disk_full_as_error(store, context.image),
            store.scratch(key) as scratch,
            open_readable(address, context, key) as folder,
        ):
            if iso:
                with open_iso(folder, iso) as directory:
                    disk = restore_to_store(directory, context, scratch, key)
            else:
                disk = restore_to_store(folder, context, scratch, key)
        return VerifiedImage(format=disk.format, virtual_size_bytes=disk.virtual_size_bytes, disk=disk.blob)


def clonezilla_source(folder: str, shown: str) -> ClonezillaSource:
    """Return the source for the directory or ISO image at an absolute path or URL."""
    return ClonezillaSource(folder=folder, shown=shown, content="" if is_remote(folder) else folder_digest(folder))


def _split_iso(address: str) -> tuple[str, str]:
    """Return the folder to open, and the name of the ISO image in it, empty for none."""
    base, mark, query = address.partition("?")
    if not base.lower().endswith(".iso"):
        return address, ""
    folder, _, name = base.rpartition("/")
    return f"{folder}{mark}{query}", name
