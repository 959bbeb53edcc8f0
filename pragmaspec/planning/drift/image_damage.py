"""Images at a site against what was staged there: a part that is missing, or whose file has another length. Pure.

Lengths are compared, bytes are not: reading every image for every plan would take minutes.
"""

from typing import Literal, NamedTuple

from pragmaspec.planning.observed import Observations
from pragmaspec.resources import Blob, StagedImage

Parts = tuple[tuple[str, int | None], ...]
"""Each part that is there ("disk", "kernel", "initrd") with the length of its file in bytes, None when it is not known."""


class Damage(NamedTuple):
    """Why an image has to be staged again, for people."""

    kind: Literal["gone", "changed"]
    detail: str


def image_damage(image: StagedImage, seen: Observations) -> Damage | None:
    """How the recorded ``image`` differs from what was seen at its site; None when it does not."""
    found = next((each for each in seen.image_parts if each.digest[:16] == image.digest[:16]), None)
    if found is None:
        return None if image.digest in seen.images else Damage("gone", f"is gone from {seen.store}")
    if not found.parts:
        return Damage("gone", f"is gone from {seen.store}")
    words = damage_text(image, found.parts, seen.store)
    if words:
        return Damage("changed", words)
    return None if found.whole else Damage("changed", f"has lost the mark that says it is whole, in {seen.store}")


def damage_text(image: StagedImage, parts: Parts, store: str = "the site") -> str:
    """How ``parts``, which are in ``store``, differ from those of ``image``, in words; empty when they do not."""
    there = dict(parts)
    missing = [part for part, _ in _wanted(image) if part not in there]
    words = [f"its {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} gone from {store}"] if missing else []
    words += [
        f"its {part} in {store} has {there[part]:,} bytes instead of {blob.size_bytes:,}"
        for part, blob in _wanted(image)
        if there.get(part) not in (None, blob.size_bytes)
    ]
    return "; ".join(words)


def _wanted(image: StagedImage) -> list[tuple[str, Blob]]:
    parts = (("disk", image.disk), ("kernel", image.kernel), ("initrd", image.initrd))
    return [(part, blob) for part, blob in parts if blob is not None]
