"""Renamed clusters and sites, whose resources are kept."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from pragmaspec.spec.fields.scalars import name
from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import did_you_mean


class MoveModel(Model):
    """A renamed cluster or site."""

    before: Annotated[str, name()] = Field(alias="from", description="The old name.", examples=["hello"])
    after: Annotated[str, name()] = Field(alias="to", description="The new name, as in this spec.", examples=["world"])
    kind: Literal["cluster", "site"] = Field(
        default="cluster", description="What was renamed: a `cluster` or a `site`.", examples=["site"]
    )


def move_findings(
    moved: Sequence[MoveModel], clusters: Sequence[str], used_sites: Collection[str], sites: Collection[str]
) -> Iterator[Finding]:
    """Yield the findings in ``moved``, given the names of all clusters, of the sites they use, and of all sites."""
    for kind, used, known in (("cluster", clusters, clusters), ("site", used_sites, {*used_sites, *sites})):
        entries = [(position, entry) for position, entry in enumerate(moved) if entry.kind == kind]
        sources: dict[str, int] = {}
        targets: dict[str, int] = {}
        for position, entry in entries:
            at: TreePath = ("moved", position)
            if entry.before == entry.after:
                yield Finding((*at, "to"), "Moved to itself", "The old and the new name are the same. Remove the entry.")
                continue
            if entry.before in used:
                detail = (
                    f"This spec still uses a {kind} `{entry.before}`, so it cannot have been renamed to `{entry.after}`. "
                    "Remove the entry, or correct a name."
                )
                yield Finding((*at, "from"), "Old name still in use", detail)
            for key, value, seen in (("from", entry.before, sources), ("to", entry.after, targets)):
                if seen.setdefault(value, position) != position:
                    detail = f"Entry {seen[value] + 1} already moves a {kind} {key} `{value}`. Keep one of them."
                    yield Finding((*at, key), f"Two moves {key} one name", detail)
        old_names = {entry.before for _, entry in entries}
        for position, entry in entries:
            if entry.after not in known and entry.after not in old_names and entry.before not in used:
                yield _unknown_target(kind, position, entry.after, known)
        yield from _cycles([(position, entry) for position, entry in entries if sources.get(entry.before) == position])


def _unknown_target(kind: str, position: int, name: str, known: Collection[str]) -> Finding:
    otherwise = f"Correct the name, or remove the entry if the {kind} no longer exists."
    advice = did_you_mean(name, known, otherwise, quote="`")
    about = (("clusters", name),) if kind == "cluster" else (("sites", name), ("sites", "*"))
    detail = f"There is no {kind} `{name}` in this spec. {advice}"
    return Finding(("moved", position, "to"), "Unknown new name", detail, about=about)


def _cycles(entries: Sequence[tuple[int, MoveModel]]) -> Iterator[Finding]:
    """Yield a finding per cycle of moves, at its last entry."""
    renamed = {entry.before: entry.after for _, entry in entries if entry.before != entry.after}
    positions = {entry.before: position for position, entry in entries}
    known: set[str] = set()
    for start in renamed:
        chain = [start]
        while (following := renamed.get(chain[-1])) is not None and following not in chain:
            chain.append(following)
        if following == start and start not in known:
            cycle = " → ".join(f"`{name}`" for name in (*chain, start))
            detail = f"{cycle} is a cycle. Remove the entries that no longer apply."
            yield Finding(("moved", max(positions[name] for name in chain)), "Circular moves", detail)
        known.update(chain)
