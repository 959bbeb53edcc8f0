"""Marks of objects at OpenStack: tags and metadata of servers, metadata of volumes, tags of images, descriptions of all else.

The call that creates an object sets its mark. Neutron sets no tags when it creates something, so the description of its objects
is their mark, and the name of a port is the tag of its node. Tags of servers may contain neither ``/`` nor ``,`` and have at most
60 characters, so the machines of a node are found by a tag with a UUID.
"""

import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Mark

_WORD = "pragmaspec"
_NONE = "-"
_DISK = f"{_WORD}-disk"
_FIELDS = 4
"""Number of fields of a description before the optional part."""


_CLUSTER_TWICE = re.compile(r"^([^/]+/([^/]+)/node/)\2(?=-)")
_ABBREVIATED = re.compile(r"^([^/]+/([^/]+)/node/)~(?=-)")


class Label(Frozen, frozen=True):
    """The mark of an object, and the ``part`` of the marked resource that it is: a network's name, or the node of an address."""

    mark: Mark
    part: str = ""


def stack_tag(lineage: str) -> str:
    """Return the tag that all servers and images of a stack have."""
    return f"{_WORD}={lineage}"


def stack_users(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the first 8 digits of the lineages in tags of stacks."""
    return tuple(tag.removeprefix(f"{_WORD}=")[:8] for tag in tags if tag.startswith(f"{_WORD}="))


def node_tag(mark: Mark) -> str:
    """Return the tag of the servers of a node, of any generation, which is also the name of its ports."""
    return f"{_WORD}-node={replace(mark, generation=0).uuid}"


def machine_tags(mark: Mark) -> list[str]:
    """Return the tags of a server."""
    return [_WORD, stack_tag(mark.lineage), node_tag(mark)]


def metadata_of(mark: Mark) -> dict[str, str]:
    """Return the metadata of a server, or of a volume that outlives its node."""
    return {
        f"{_WORD}-lineage": mark.lineage,
        f"{_WORD}-address": mark.address,
        f"{_WORD}-generation": str(mark.generation),
        f"{_WORD}-op": mark.op,
    }


def disk_metadata(mark: Mark, disk: str) -> dict[str, str]:
    """Return the metadata of a volume that is a disk of the node of ``mark``, and removed with it."""
    return {**metadata_of(mark), _DISK: disk}


def disk_from_metadata(metadata: Mapping[str, str]) -> str:
    """Return the name of the disk that a volume is; empty: it outlives its node."""
    return metadata.get(_DISK, "")


def mark_from_metadata(metadata: Mapping[str, str]) -> Mark | None:
    """Return the mark in the metadata of a server or a volume, or None."""
    lineage, address = metadata.get(f"{_WORD}-lineage"), metadata.get(f"{_WORD}-address")
    generation = metadata.get(f"{_WORD}-generation", "")
    if not lineage or not address or not generation.isascii() or not generation.isdigit():
        return None
    return Mark(lineage=lineage, address=address, generation=int(generation), op=metadata.get(f"{_WORD}-op", ""))


def description_of(label: Label) -> str:
    """Return ``pragmaspec LINEAGE GENERATION OP ADDRESS [PART]``, of at most 255 characters, as Neutron demands.

    The name of a cluster that begins the name of its node is written as ``~``.
    """
    mark = label.mark
    address = _CLUSTER_TWICE.sub(r"\1~", mark.address)
    words = (_WORD, mark.lineage, str(mark.generation), mark.op or _NONE, address, *([label.part] if label.part else []))
    return " ".join(words)


def label_from_description(description: str | None) -> Label | None:
    """Return the label in the description of an object, or None."""
    word, *fields = (description or "").split(" ")
    if word != _WORD or len(fields) not in (_FIELDS, _FIELDS + 1):
        return None
    lineage, generation, op, address, *part = fields
    if not generation.isascii() or not generation.isdigit():
        return None
    address = _ABBREVIATED.sub(r"\1\2", address)
    mark = Mark(lineage=lineage, address=address, generation=int(generation), op="" if op == _NONE else op)
    return Label(mark=mark, part="".join(part))


def includes(mark: Mark, found: Mark) -> bool:
    """True if a removal for ``mark`` includes an object with the mark ``found``: no later generation, and no other creation."""
    if not found.is_for(mark):
        return False
    if found.generation != mark.generation:
        return found.generation < mark.generation
    return not (found.op and mark.op) or found.op == mark.op
