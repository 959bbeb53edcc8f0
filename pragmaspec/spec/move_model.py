"""Names that have changed: what was made under the old one is kept."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from pragmaspec.spec.findings import Finding
from pragmaspec.spec.model import Model
from pragmaspec.spec.scalars import name
from pragmaspec.spec.tree import Path


class MoveModel(Model):
    """A cluster (or a site) that has another name now."""

    before: Annotated[str, name()] = Field(alias="from", description="Its name until now.", examples=["hello"])
    after: Annotated[str, name()] = Field(alias="to", description="Its name in this spec.", examples=["world"])
    kind: Literal["cluster", "site"] = Field(default="cluster", description="What it is the name of.", examples=["site"])


def move_findings(moved: Sequence[MoveModel], clusters: Sequence[str], sites: Sequence[str]) -> Iterator[Finding]:
    """What is wrong between the entries of ``moved``, and with the names in use: of ``clusters``, and of their ``sites``."""
    for kind, used in (("cluster", clusters), ("site", sites)):
        entries = [(position, entry) for position, entry in enumerate(moved) if entry.kind == kind]
        sources: dict[str, int] = {}
        targets: dict[str, int] = {}
        for position, entry in entries:
            at: Path = ("moved", position)
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
        yield from _circles(kind, [(position, entry) for position, entry in entries if sources.get(entry.before) == position])


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
