"""Damage of staged images: a missing part, or a part of another length. Pure.

Only lengths are compared: reading every image for every plan would take minutes.
"""

from typing import Literal, NamedTuple

from pragmaspec.planning.observed import Observations
from pragmaspec.resources import Blob, StagedImage

Parts = tuple[tuple[str, int | None], ...]
"""Each existing part ("disk", "kernel", "initrd") with its file length in bytes, None if unknown."""


class Damage(NamedTuple):
    """The drift of an image that has to be staged again."""

    kind: Literal["gone", "changed"]
    detail: str


def image_damage(image: StagedImage, seen: Observations) -> Damage | None:
    """Return the damage of the recorded ``image`` at its site, if any.

    One that is used in place belongs to the site: its loss matters only to nodes that are to boot from it.
    """
    if image.in_place:
        return None
    found = next((each for each in seen.image_parts if each.digest[:16] == image.digest[:16]), None)
    if found is None:
        return None if image.digest in seen.images else Damage("gone", f"is gone from {seen.store}")
    if not found.parts:
        return Damage("gone", f"is gone from {seen.store}")
    text = damage_text(image, found.parts, seen.store)
    if text:
        return Damage("changed", text)
    return None if found.whole else Damage("changed", f"has lost its completion mark in {seen.store}")


def damage_text(image: StagedImage, parts: Parts, store: str = "the site") -> str:
    """Return the differences of ``parts``, which are in ``store``, from those of ``image``; empty if there are none."""
    lengths = dict(parts)
    missing = [part for part, _ in _expected(image) if part not in lengths]
    texts = [f"its {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} gone from {store}"] if missing else []
    texts += [
        f"its {part} in {store} has {lengths[part]:,} bytes instead of {blob.size_bytes:,}"
        for part, blob in _expected(image)
        if lengths.get(part) not in (None, blob.size_bytes)
    ]
    return "; ".join(texts)


def _expected(image: StagedImage) -> list[tuple[str, Blob]]:
    parts = (("disk", image.disk), ("kernel", image.kernel), ("initrd", image.initrd))
    return [(part, blob) for part, blob in parts if blob is not None]
