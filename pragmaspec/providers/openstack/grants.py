"""Grants of public addresses: floating addresses and ports on a shared network, each of which is held for one node."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from pragmaspec.providers.openstack.marks import label_from_description
from pragmaspec.providers.openstack.objects import Described, by_age
from pragmaspec.resources import Mark, PublicGrant

RESERVED = "+reserved"
"""Ends the part in the description of a reserved address. Names of nodes do not contain ``+``."""


class _Held(Described, Protocol):
    @property
    def address(self) -> str: ...


Held = TypeVar("Held", bound=_Held)


def granted_node(held: Described) -> str:
    """Return the node that ``held`` is granted to by its description; empty: it has no mark."""
    label = label_from_description(held.description)
    return label.part.removesuffix(RESERVED) if label is not None else ""


def granted_to(grant: PublicGrant, present: Iterable[Held], mark: Mark) -> list[Held]:
    """Return those of ``present`` that the allocation of ``mark`` holds for ``grant``, the oldest first.

    By the address, once it is known: a frontend that was renamed has the mark of its first name.
    """
    labels = ((each, label_from_description(each.description)) for each in by_age(present))
    own = [each for each, label in labels if label is not None and label.mark.is_for(mark)]
    if grant.address:
        return [each for each in own if each.address == grant.address]
    return [each for each in own if granted_node(each) == grant.node]
