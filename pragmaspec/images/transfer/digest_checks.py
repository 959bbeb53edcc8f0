"""Errors for files that differ from the expected ones."""

from pragmaspec.errors import ImageError
from pragmaspec.images.store.fetched import Fetched, compare_age
from pragmaspec.net.urls import redact_url
from pragmaspec.resources import Blob


def check_digest(expected: str | None, actual: str, origin: str, kept: str = "") -> None:
    """Raise ImageError unless ``actual`` is the ``expected`` SHA-256, if any. ``kept``: a sentence on where the file is kept."""
    if expected is not None and expected != actual:
        raise ImageError(
            "Image has another digest",
            f"{origin} has the SHA-256 {actual}, but the spec expects {expected}. Either the file was changed or the spec is "
            f"wrong: find out which before you write the new digest into the spec.{kept}",
        )


def changed_file_error(origin: str, pinned: Fetched, difference: str, published: str, kept: str = "") -> ImageError:
    """Return the error for a source that serves another file than the pinned one."""
    age = compare_age(Fetched(blob=Blob(sha256="", size_bytes=0), published=published), pinned)
    article = "a" if age == "newer" else "an"
    dated = f" of {published[:10]}" if published else ""
    pinned_dated = f" of {pinned.published[:10]}" if pinned.published else ""
    detail = (
        f"{redact_url(origin)} now serves {article} {age} file{dated} ({difference}). pragmaspec.lock pins the one{pinned_dated} "
        f"with SHA-256 {pinned.blob.sha256} ({pinned.blob.size_bytes} bytes). Find out why it changed; only "
        f"`pragmaspec lock --upgrade` accepts the new file.{kept}"
    )
    return ImageError("Source serves another file", detail)
