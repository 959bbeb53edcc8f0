"""Clusters of a repository put into a spec."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pragmaspec.errors import Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.near import is_remote
from pragmaspec.images.pragma.entries import cluster_entry, image_entries
from pragmaspec.images.pragma.reach import Reach
from pragmaspec.images.pragma.repository import Listed, Repository, folder_of
from pragmaspec.images.pragma.spec_text import with_entries
from pragmaspec.images.sources.base import Workshop


class Additions(Frozen, frozen=True):
    """Entries for a spec, each with the lines below its name; ``left_out``: clusters that cannot be used."""

    images: Mapping[str, Sequence[str]]
    clusters: Mapping[str, Sequence[str]]
    left_out: tuple[Listed, ...] = ()


def browse(address: str, workshop: Workshop) -> tuple[Listed, ...]:
    """The clusters of the repository at a path or URL. Raises ImageError when it is none."""
    return Repository(address, Reach(folder_of(address), workshop).small).listed()


def additions(listed: Iterable[Listed], repository: str, names: Sequence[str], site: str | None) -> Additions:
    """What to put into a spec for the clusters ``names`` (none: all that can be used), as clusters too when ``site`` is given.

    ``repository``: as the spec shall name it. Raises UsageError when a name is not there, or cannot be used.
    """
    known = {one.name: one for one in listed}
    unknown = [name for name in names if name not in known]
    if unknown:
        detail = f"The repository has no {', '.join(unknown)}. It has: {', '.join(known) or 'none'}."
        raise UsageError(Problem(summary="No such cluster in the repository", detail=detail))
    broken = tuple(one for one in known.values() if one.appliance is None)
    named = [known[name] for name in names if known[name].appliance is None]
    if named:
        raise UsageError(*(Problem(summary=f"cluster cannot be imported: {one.name}", detail=one.trouble) for one in named))
    images: dict[str, Sequence[str]] = {}
    clusters: dict[str, Sequence[str]] = {}
    for appliance in (one.appliance for one in known.values() if not names or one.name in names):
        if appliance is not None:
            images |= image_entries(appliance, repository)
            clusters |= cluster_entry(appliance, site) if site else {}
    return Additions(images=images, clusters=clusters, left_out=() if names else broken)


def added_to(text: str, new: Additions, file: str) -> str:
    """The text of a spec with ``new`` in it. Raises SpecError."""
    changed = with_entries(text, "images", new.images, file) if new.images else text
    return with_entries(changed, "clusters", new.clusters, file) if new.clusters else changed


def as_written(address: str, spec: Path) -> str:
    """A repository that was named from the current directory, as the spec has to name it: relative to the spec."""
    if is_remote(address):
        return address
    return f"./{os.path.relpath(address, spec.absolute().parent)}".replace("./../", "../")
