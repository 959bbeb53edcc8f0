"""Names that have changed: what was made under the old one is kept."""

from collections.abc import Collection, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from pragmaspec.spec.fields.scalars import name
from pragmaspec.spec.findings import Finding, closest_match
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.yaml.tree import TreePath


class MoveModel(Model):
    """A cluster (or a site) that has another name now."""

    before: Annotated[str, name()] = Field(alias="from", description="Its name until now.", examples=["hello"])
    after: Annotated[str, name()] = Field(alias="to", description="Its name in this spec.", examples=["world"])
    kind: Literal["cluster", "site"] = Field(default="cluster", description="What it is the name of.", examples=["site"])


def move_findings(
    moved: Sequence[MoveModel], clusters: Sequence[str], used_sites: Collection[str], sites: Collection[str]
) -> Iterator[Finding]:
    """What is wrong between the entries of ``moved``, and with the names of ``clusters``, of the sites they use, and of all."""
    for kind, used, known in (("cluster", clusters, clusters), ("site", used_sites, {*used_sites, *sites})):
        entries = [(position, entry) for position, entry in enumerate(moved) if entry.kind == kind]
        sources: dict[str, int] = {}
        targets: dict[str, int] = {}
        for position, entry in entries:
            at: TreePath = ("moved", position)
            if entry.before == entry.after:
                yield Finding((*at, "to"), "Moved to itself", "Old and new name are the same. Remove the entry.")
                continue
            if entry.before in used:
                detail = (
                    f"A {kind} `{entry.before}` is in use in this spec, so it has not become `{entry.after}`. "
                    "Remove the entry, or correct a name."
                )
                yield Finding((*at, "from"), "Moved and still there", detail)
            for way, called, seen in (("from", entry.before, sources), ("to", entry.after, targets)):
                if seen.setdefault(called, position) != position:
                    detail = f"Entry {seen[called] + 1} moves a {kind} {way} `{called}` already. Keep one of them."
                    yield Finding((*at, way), f"Two moves {way} one name", detail)
        onward = {entry.before for _, entry in entries}
        for position, entry in entries:
            if entry.after not in known and entry.after not in onward and entry.before not in used:
                yield _to_nothing(kind, position, entry.after, known)
        yield from _circles(kind, [(position, entry) for position, entry in entries if sources.get(entry.before) == position])


def _to_nothing(kind: str, position: int, name: str, known: Collection[str]) -> Finding:
    close = closest_match(name, known)
    advice = f"Did you mean `{close}`?" if close else "Correct it, or remove the entry when what it was about is gone."
    about = (("clusters", name),) if kind == "cluster" else (("sites", name), ("sites", "*"))
    detail = f"There is no {kind} `{name}` in this spec. {advice}"
    return Finding(("moved", position, "to"), "Moved to nothing", detail, about=about)


def _circles(kind: str, entries: Sequence[tuple[int, MoveModel]]) -> Iterator[Finding]:
    """One finding for each circle, at its last entry."""
    onward = {entry.before: entry.after for _, entry in entries if entry.before != entry.after}
    places = {entry.before: position for position, entry in entries}
    known: set[str] = set()
    for start in onward:
        passed = [start]
        while (following := onward.get(passed[-1])) is not None and following not in passed:
            passed.append(following)
        if following == start and start not in known:
            way = " → ".join(f"`{one}`" for one in (*passed, start))
            detail = f"{way}: no {kind} keeps its name. Remove the entries that no longer hold."
            yield Finding(("moved", max(places[one] for one in passed)), "Moved in a circle", detail)
        known.update(passed)
