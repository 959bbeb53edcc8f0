"""Import of a repository's clusters into a spec."""

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
from pragmaspec.text import few

_SHOWN_NAMES = 20


class SpecAdditions(Frozen, frozen=True):
    """Entries for a spec: the lines below each name. ``skipped``: clusters that are unusable."""

    images: Mapping[str, Sequence[str]]
    clusters: Mapping[str, Sequence[str]]
    skipped: tuple[ListedCluster, ...] = ()


def list_clusters(address: str, context: ImageContext) -> tuple[ListedCluster, ...]:
    """Return the clusters of the repository at a path or URL. Raises ImageError if there is no repository."""
    return PragmaRepository(address, RepositoryFiles(repository_folder(address), context).read_small).listed()


class ImportSelection(Frozen, frozen=True):
    """The clusters to import: ``names``, or all usable ones if it is empty.

    With a ``site``, they also become clusters of the spec. ``called``: the name in the spec of the only cluster in ``names``;
    empty: derived from its name in the repository.
    """

    names: tuple[str, ...] = ()
    site: str = ""
    called: str = ""


def spec_additions(listed: Iterable[ListedCluster], repository: str, selection: ImportSelection) -> SpecAdditions:
    """Return the entries for a spec. ``repository`` is its address as the spec has to name it.

    Raises UsageError if a selected cluster is unknown or unusable, and if ``called`` does not apply to exactly one.
    """
    by_name = {cluster.name: cluster for cluster in listed}
    problems = _problems(selection, by_name)
    if problems:
        raise UsageError.of(problems)
    images: dict[str, Sequence[str]] = {}
    clusters: dict[str, Sequence[str]] = {}
    skipped = []
    for cluster in by_name.values():
        if selection.names and cluster.name not in selection.names:
            continue
        if cluster.appliance is None:
            skipped.append(cluster)
            continue
        entries = image_entries(cluster.appliance, repository, selection.called)
        taken = sorted(images.keys() & entries)
        if taken:
            trouble = f"The name {taken[0]} is taken by another cluster; import this one separately, with --as NAME."
            skipped.append(ListedCluster(name=cluster.name, path=cluster.path, trouble=trouble))
            continue
        images |= entries
        clusters |= cluster_entry(cluster.appliance, selection.site, selection.called) if selection.site else {}
    return SpecAdditions(images=images, clusters=clusters, skipped=tuple(skipped))


def _problems(selection: ImportSelection, by_name: Mapping[str, ListedCluster]) -> list[Problem]:
    """Return the reasons why the selection cannot be imported."""
    problems = []
    if selection.called and len(selection.names) != 1:
        detail = "--as sets the name of one cluster in the spec. Name exactly one cluster."
        problems.append(Problem(summary="One name for several clusters", detail=detail))
    if selection.called and not is_spec_name(selection.called):
        problems.append(invalid_name(selection.called))
    unknown = [name for name in selection.names if name not in by_name]
    if unknown:
        detail = f"The repository has no {', '.join(unknown)}. Its clusters: {few(list(by_name), _SHOWN_NAMES)}."
        problems.append(Problem(summary="No such cluster in the repository", detail=detail))
    selected = [by_name[name] for name in selection.names if name in by_name]
    return problems + [
        Problem(summary="Cluster cannot be imported", detail=f"{cluster.name}: {cluster.trouble}")
        for cluster in selected
        if cluster.appliance is None
    ]


def add_to_spec(text: str, additions: SpecAdditions, file: str) -> str:
    """Return the text of a spec with ``additions`` inserted. Raises SpecError."""
    changed = insert_entries(text, "images", additions.images, file) if additions.images else text
    return insert_entries(changed, "clusters", additions.clusters, file) if additions.clusters else changed


def relative_to_spec(address: str, spec: Path) -> str:
    """Convert the address of a repository, relative to the current directory, into one relative to the spec."""
    if is_remote(address):
        return address
    return f"./{os.path.relpath(address, spec.absolute().parent)}".replace("./../", "../")
