"""Clusters of a repository put into a spec."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pragmaspec.errors import Problem, UsageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.importer import invalid_name, is_spec_name
from pragmaspec.images.pragma.repository import ListedCluster, PragmaRepository, RepositoryFiles, repository_folder
from pragmaspec.images.pragma.spec_edit import insert_entries
from pragmaspec.images.pragma.spec_entries import cluster_entry, image_entries
from pragmaspec.net.urls import is_remote


class SpecAdditions(Frozen, frozen=True):
    """Entries for a spec, each with the lines below its name; ``left_out``: clusters that cannot be used."""

    images: Mapping[str, Sequence[str]]
    clusters: Mapping[str, Sequence[str]]
    skipped: tuple[ListedCluster, ...] = ()


def list_clusters(address: str, workshop: ImageContext) -> tuple[ListedCluster, ...]:
    """The clusters of the repository at a path or URL. Raises ImageError when it is none."""
    return PragmaRepository(address, RepositoryFiles(repository_folder(address), workshop).small).listed()


class ImportSelection(Frozen, frozen=True):
    """What to import: the clusters ``names`` (none: all that can be used), also as clusters of the spec when there is a ``site``.

    ``called``: the name in the spec of the one cluster that is named; by default it follows from the repository's.
    """

    names: tuple[str, ...] = ()
    site: str = ""
    called: str = ""


def spec_additions(listed: Iterable[ListedCluster], repository: str, chosen: ImportSelection) -> SpecAdditions:
    """What to put into a spec. ``repository``: as the spec shall name it.

    Raises UsageError when a name is not there or cannot be used, and when ``called`` is not for one cluster.
    """
    known = {one.name: one for one in listed}
    wrong = _against(chosen, known)
    if wrong:
        raise UsageError.of(wrong)
    images: dict[str, Sequence[str]] = {}
    clusters: dict[str, Sequence[str]] = {}
    left_out = []
    for one in known.values():
        if chosen.names and one.name not in chosen.names:
            continue
        if one.appliance is None:
            left_out.append(one)
            continue
        entries = image_entries(one.appliance, repository, chosen.called)
        taken = sorted(images.keys() & entries)
        if taken:
            detail = f"Another cluster is called {taken[0]} already; import this one alone, with --as NAME."
            left_out.append(ListedCluster(name=one.name, path=one.path, trouble=detail))
            continue
        images |= entries
        clusters |= cluster_entry(one.appliance, chosen.site, chosen.called) if chosen.site else {}
    return SpecAdditions(images=images, clusters=clusters, skipped=tuple(left_out))


def _against(chosen: ImportSelection, known: Mapping[str, ListedCluster]) -> list[Problem]:
    """Why that cannot be imported."""
    wrong = []
    if chosen.called and len(chosen.names) != 1:
        detail = "--as gives one cluster another name in the spec. Name the one cluster that is meant."
        wrong.append(Problem(summary="One name for several clusters", detail=detail))
    if chosen.called and not is_spec_name(chosen.called):
        wrong.append(invalid_name(chosen.called))
    unknown = [name for name in chosen.names if name not in known]
    if unknown:
        detail = f"The repository has no {', '.join(unknown)}. It has: {', '.join(known) or 'none'}."
        wrong.append(Problem(summary="No such cluster in the repository", detail=detail))
    named = [known[name] for name in chosen.names if name in known]
    return wrong + [
        Problem(summary="Cluster cannot be imported", detail=f"{one.name}: {one.trouble}")
        for one in named
        if one.appliance is None
    ]


def add_to_spec(text: str, new: SpecAdditions, file: str) -> str:
    """The text of a spec with ``new`` in it. Raises SpecError."""
    changed = insert_entries(text, "images", new.images, file) if new.images else text
    return insert_entries(changed, "clusters", new.clusters, file) if new.clusters else changed


def relative_to_spec(address: str, spec: Path) -> str:
    """A repository that was named from the current directory, as the spec has to name it: relative to the spec."""
    if is_remote(address):
        return address
    return f"./{os.path.relpath(address, spec.absolute().parent)}".replace("./../", "../")
