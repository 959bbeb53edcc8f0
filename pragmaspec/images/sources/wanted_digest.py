"""The digest a user wrote against the one that was found."""

from pragmaspec.errors import ImageError, Problem


def check_digest(wanted: str | None, found: str, what: str, kept: str = "") -> None:
    """Raises ImageError when ``wanted`` is given and not ``found``; ``kept`` says where the wrong bytes stand."""
    if wanted is not None and wanted != found:
        raise ImageError(
            Problem(
                summary="image has another digest",
                detail=f"{what} has the SHA-256 {found}, and the spec says {wanted}. Somebody changed it, or the spec is wrong: "
                f"find out which before you write the new digest into the spec.{kept}",
            )
        )
