"""The bytes that were wanted against those that were found."""

from pragmaspec.errors import ImageError
from pragmaspec.images.store.fetched import Fetched, compare_age
from pragmaspec.net.urls import redact_url
from pragmaspec.resources import Blob


def check_digest(wanted: str | None, found: str, what: str, kept: str = "") -> None:
    """Raises ImageError when ``wanted`` is given and not ``found``; ``kept`` says where the wrong bytes stand."""
    if wanted is not None and wanted != found:
        raise ImageError(
            "Image has another digest",
            f"{what} has the SHA-256 {found}, and the spec says {wanted}. Somebody changed it, or the spec is wrong: "
            f"find out which before you write the new digest into the spec.{kept}",
        )


def changed_file_error(what: str, known: Fetched, found: str, published: str, kept: str = "") -> ImageError:
    """The error for a source that serves another file than the pinned one; ``found`` says how it shows."""
    seen = Fetched(blob=Blob(sha256="", size_bytes=0), published=published)
    how = compare_age(seen, known)
    dated = f" of {published[:10]}" if published else ""
    was = f" of {known.published[:10]}" if known.published else ""
    article = "a" if how == "newer" else "an"
    detail = (
        f"{redact_url(what)} now serves {article} {how} file{dated} ({found}); pinned in pragmaspec.lock is the one{was} with "
        f"SHA-256 {known.blob.sha256} ({known.blob.size_bytes} bytes). Find out why; only `pragmaspec lock --upgrade` takes the "
        f"other one.{kept}"
    )
    return ImageError("Source serves another file", detail)
