"""The lock file ``pragmaspec.lock`` beside the spec: the resolved images, so that every user of the repository gets the same.

TOML, sorted, one block per image, to be committed and reviewed. An entry is valid while the image's description in the spec is
the one that it was made for. A block per site pins the processor of new nodes there. Other tables of the file, and other values
of the sites' blocks, are preserved: they are reserved for other parts of an environment (versions, addresses, placement).
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.lock.parse import (
    AT,
    IMAGES_TABLE,
    PROCESSOR,
    SITES_TABLE,
    VERSION,
    LockDocument,
    image_blocks,
    read_document,
    site_blocks,
    site_processors,
)
from pragmaspec.images.store.blobs import write_atomically
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.planning.images.site_images import site_image_digest
from pragmaspec.planning.observed import SiteImage
from pragmaspec.planning.wanted import Firmware
from pragmaspec.resources import Blob, BootImage

LOCK_FILE = "pragmaspec.lock"
_HEAD = """\
# Written by pragmaspec: what each image of the spec was found to be. Commit this file.
# `pragmaspec lock` adds what is missing, `pragmaspec lock --upgrade NAME` moves an image to what its source gives now.
"""


class LockEntry(BootImage, frozen=True, kw_only=True):
    """A resolved image.

    ``described``: digest of its description in the spec, empty if a local file decides; ``firmware``: boots the disk, a BIOS by
    default; ``packages``: digest of the package list of a built image; ``url`` to ``signed_by``: the transferred file, as in
    :class:`Fetched`; ``date``: day of the resolution, year-month-day.
    """

    described: str
    digest: str
    origin: str
    firmware: Firmware = "bios"
    packages: str = ""
    url: str = ""
    fetched: Blob | None = None
    sha512: str = ""
    version: str = ""
    published: str = ""
    signed_by: str = ""
    date: str = ""

    @property
    def transfer(self) -> Fetched | None:
        """The transferred file, if any."""
        if self.fetched is None:
            return None
        return Fetched(
            blob=self.fetched,
            url=self.url,
            sha512=self.sha512,
            published=self.published,
            version=self.version,
            signed_by=self.signed_by,
        )


class SitePin(Frozen, frozen=True, kw_only=True):
    """An image that lives at a site, as its site described it when it was pinned.

    ``described``: its name or id in the spec; ``site_id``: the identity of the site; ``date``: day of the resolution; all others
    are as in :class:`~pragmaspec.planning.observed.SiteImage`.
    """

    described: str
    site_id: str
    id: str
    name: str
    checksum: str = ""
    created: str = ""
    format: Literal["qcow2", "raw"]
    virtual_size_bytes: int
    copy_bytes: int = 0
    min_memory_mib: int = 0
    firmware: Firmware | None = None
    date: str = ""

    @property
    def image(self) -> SiteImage:
        """The image as its site described it."""
        return SiteImage(**{name: getattr(self, name) for name in SiteImage.__struct_fields__})

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return site_image_digest(self.site_id, self.image)


SitePins = Mapping[tuple[str, str], SitePin]
"""Pins by the name of the image and the name of the site."""

LOCK_FIELDS = ("described", "digest", "origin", *BootImage.__struct_fields__)
LOCK_FIELDS += tuple(name for name in LockEntry.__struct_fields__ if name not in LOCK_FIELDS)
"""The fields of an entry in the order of the file."""


def read_lock(directory: Path) -> dict[str, LockEntry]:
    """Return the entries by image name, none if there is no lock file. Raises ImageError if it is invalid."""
    return {name: msgspec.convert(block, LockEntry) for name, block in image_blocks(_document(directory)).items()}


def read_site_pins(directory: Path) -> dict[tuple[str, str], SitePin]:
    """Return the pins of images that live at a site, by image and site. Raises ImageError if the file is invalid."""
    return {key: msgspec.convert(block, SitePin) for key, block in site_blocks(_document(directory)).items()}


def write_site_pins(directory: Path, pins: SitePins, removed: Iterable[tuple[str, str]] = ()) -> None:
    """Put ``pins`` into the lock file, and remove others from it. Does not touch a file that does not change."""
    with _locked(directory):
        before = read_site_pins(directory)
        dropped = set(removed)
        after = {key: pin for key, pin in {**before, **pins}.items() if key not in dropped}
        if after != before:
            _write(directory, read_lock(directory), after)


def write_lock(directory: Path, name: str, entry: LockEntry) -> None:
    """Put the entry of image ``name`` into the lock file. Does not touch a file that has it."""
    with _locked(directory):
        entries = read_lock(directory)
        if entries.get(name) != entry:
            _write(directory, {**entries, name: entry}, read_site_pins(directory))


def remove_from_lock(directory: Path, names: Iterable[str]) -> None:
    """Remove those of the entries ``names`` that exist."""
    removed = set(names)
    with _locked(directory):
        entries = read_lock(directory)
        if removed.intersection(entries):
            kept = {name: entry for name, entry in entries.items() if name not in removed}
            _write(directory, kept, read_site_pins(directory))


def read_processors(directory: Path) -> dict[str, str]:
    """Return the pinned processors of new nodes by site. Raises ImageError if the file is invalid."""
    return site_processors(_document(directory))


def write_processors(directory: Path, pins: Mapping[str, str], removed: Iterable[str] = ()) -> tuple[str, str]:
    """Pin the processors of new nodes by site, and remove the pins of other sites. Does not touch a file that does not change.

    Return the SHA-256 of the file before and after, empty for an absent one.
    """
    with _locked(directory):
        digest, document = _file_sha256(directory), _document(directory)
        before = site_processors(document)
        dropped = set(removed)
        after = {site: processor for site, processor in {**before, **pins}.items() if site not in dropped}
        if after != before:
            others = {name: table for name, table in _other_tables(document).items() if name != SITES_TABLE}
            sites = _sites_table(document, after)
            others |= {SITES_TABLE: sites} if sites else {}
            _write(directory, read_lock(directory), read_site_pins(directory), others)
        return digest, _file_sha256(directory)


def _file_sha256(directory: Path) -> str:
    file = directory / LOCK_FILE
    return sha256(file.read_bytes()).hexdigest() if file.exists() else ""


def lock_text(
    entries: Mapping[str, LockEntry], other_tables: Mapping[str, Any] | None = None, pins: SitePins = MappingProxyType({})
) -> str:
    """Return the text of a lock file."""
    import tomli_w  # noqa: PLC0415 - written rarely

    images = {name: _block(entry) for name, entry in entries.items()}
    for (name, site), pin in sorted(pins.items()):
        images.setdefault(name, {}).setdefault(AT, {})[site] = msgspec.to_builtins(pin)
    blocks = [_HEAD, f"version = {VERSION}\n"]
    blocks.extend(tomli_w.dumps({IMAGES_TABLE: {name: block}}) for name, block in sorted(images.items()))
    blocks.extend(tomli_w.dumps({name: table}) for name, table in sorted((other_tables or {}).items()))
    return "\n".join(blocks)


def _sites_table(document: LockDocument, processors: Mapping[str, str]) -> dict[str, Any]:
    """Return the table of sites with ``processors``, and with all other values of ``document``."""
    blocks = {
        site: {name: value for name, value in block.items() if name != PROCESSOR}
        for site, block in document.tables.get(SITES_TABLE, {}).items()
    }
    pinned = {site: {**blocks.get(site, {}), PROCESSOR: processor} for site, processor in processors.items()}
    return {site: block for site, block in sorted({**blocks, **pinned}.items()) if block}


def _other_tables(document: LockDocument) -> dict[str, Any]:
    return {name: table for name, table in document.tables.items() if name not in {"version", IMAGES_TABLE}}


def _write(
    directory: Path, entries: Mapping[str, LockEntry], pins: SitePins, other_tables: Mapping[str, Any] | None = None
) -> None:
    """Write the file. ``other_tables``: all except those of images; None: as they are in the file."""
    file = directory / LOCK_FILE
    others = _other_tables(_document(directory)) if other_tables is None else other_tables
    try:
        write_atomically(file, lock_text(entries, others, pins).encode(), mode=0o644)
    except OSError as error:
        detail = f"{file} cannot be written: {error.strerror}. It belongs beside the spec, in a folder that is writable for you."
        raise ImageError("Lock file not writable", detail) from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Serialise runs that write entries of one spec, so that none is lost."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _block(entry: LockEntry) -> dict[str, Any]:
    """Return the non-empty fields of an entry in file order, with each blob as ``sha256:<digest> <bytes>``."""
    values = msgspec.to_builtins(entry)
    given = ((field, values.get(field)) for field in LOCK_FIELDS)
    return {
        field: f"sha256:{value['sha256']} {value['size_bytes']}" if isinstance(value, dict) else value
        for field, value in given
        if value or field == "described"
    }


def _document(directory: Path) -> LockDocument:
    return read_document(directory / LOCK_FILE)
