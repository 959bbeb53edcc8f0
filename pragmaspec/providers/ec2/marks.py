"""Marks of objects: tags, and a note in the description of objects that are created with one.

The note is set by the call that creates an object, at every service; tags by the same call or by a second one
(``tag_at_creation``). Tag keys have no colon, which ec2-api cannot filter, and no value reads as a number, on which it fails.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.resources import Mark

LINEAGE, ADDRESS, GENERATION, OP, PART = (f"pragmaspec-{key}" for key in ("lineage", "address", "generation", "op", "part"))
"""Keys of tags."""
_GENERATION, _OP = "generation-", "op-"
_NOTE = "pragmaspec"
_NO_OP = "-"
_NOTE_MAX = 255
"""Characters of a description: Amazon EC2 API Reference, CreateNetworkInterface and CreateSecurityGroup."""


class Marked(NamedTuple):
    """The mark of an object, and its part in the resource: the name of a network, or another word."""

    mark: Mark
    part: str = ""


def tags_of(marked: Marked, name: str, extra: Iterable[tuple[str, str]] = ()) -> list[dict[str, str]]:
    """Return the tags of an object called ``name``; ``extra``: those that the user wants."""
    mark, part = marked
    tags = {
        **dict(extra),
        "Name": name,
        LINEAGE: mark.lineage,
        ADDRESS: mark.address,
        GENERATION: f"{_GENERATION}{mark.generation}",
        **({OP: f"{_OP}{mark.op}"} if mark.op else {}),
        **({PART: part} if part else {}),
    }
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tag_values(described: Answer) -> Mapping[str, str]:
    """Return the tags of an object as the service describes it."""
    return {tag["Key"]: tag["Value"] for tag in (*described.get("Tags", ()), *described.get("TagSet", ()))}


def marked_by_tags(described: Answer) -> Marked | None:
    """Return the mark in the tags of an object; None if it has none."""
    tags = tag_values(described)
    generation = tags.get(GENERATION, "").removeprefix(_GENERATION)
    if LINEAGE not in tags or ADDRESS not in tags or not generation.isdecimal():
        return None
    op = tags.get(OP, "").removeprefix(_OP)
    mark = Mark(lineage=tags[LINEAGE], address=tags[ADDRESS], generation=int(generation), op=op)
    return Marked(mark, tags.get(PART, ""))


def note_of(marked: Marked) -> str:
    """Return the description of an object. Raises SiteError if the names in it are too long."""
    mark, part = marked
    note = f"{_NOTE} {mark.lineage} {mark.address} {mark.generation} {mark.op or _NO_OP} {part}".rstrip()
    if len(note) > _NOTE_MAX:
        raise SiteError(
            "Names too long for the site",
            f"{mark.address} does not fit the description of an object, which has at most {_NOTE_MAX} characters. Use shorter "
            "names of the site and the cluster.",
        )
    return note


def marked_by_note(note: str) -> Marked | None:
    """Return the mark in the description of an object; None if it is not ours."""
    words = note.split(" ")
    if words[0] != _NOTE or len(words) not in (5, 6) or not words[3].isdecimal():
        return None
    op = "" if words[4] == _NO_OP else words[4]
    mark = Mark(lineage=words[1], address=words[2], generation=int(words[3]), op=op)
    return Marked(mark, words[5] if len(words) > 5 else "")  # noqa: PLR2004 - the number of words


def marked_of(described: Answer) -> Marked | None:
    """Return the mark of an object: its tags, which may have been changed since, else its note."""
    return marked_by_tags(described) or marked_by_note(described.get("Description", ""))


def owner_of(marked: Marked | None, otherwise: str) -> str:
    """Return the owner of an object for people: ``lab/hello/allocation of stack 3f9a1c2b``."""
    return marked.mark.owner if marked else otherwise


def mark_filters(lineage: str, address: str = "") -> list[dict[str, object]]:
    """Return filters for the objects of a stack, or of one resource."""
    found: list[dict[str, object]] = [{"Name": f"tag:{LINEAGE}", "Values": [lineage]}]
    return [*found, {"Name": f"tag:{ADDRESS}", "Values": [address]}] if address else found
