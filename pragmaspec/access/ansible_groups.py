"""The names of Ansible groups. Pure.

Ansible takes letters, digits and underscores in the name of a group. Each name here follows from the thing that the group stands
for and from nothing else, so that it stays when others come and go, and no two things have one name:

* a *word* stands for the name of a cluster or site. A hyphen between two letters or digits is an underscore; every other
  character, and a digit at the beginning, is its code point in hexadecimal between two ``X``, which no word has otherwise.
* a word never begins or ends with an underscore, nor has two in a row; so words are told apart when two underscores join them.
* a group never has the name of a node, which has hyphens.
"""

import re

from pragmaspec.resources import Role

FRONTENDS, COMPUTES = "frontends", "computes"

_TAKEN = frozenset({"all", "ungrouped", "localhost", FRONTENDS, COMPUTES})
"""Names that mean something else: to Ansible, where ``localhost`` is the machine that Ansible runs on, and here."""

_ESCAPED = re.compile(r"(?P<joint>(?<=[a-z0-9])-(?=[a-z0-9]))|[^a-z0-9]|\A[0-9]")


def cluster_group(cluster: str) -> str:
    """The nodes of every cluster of that name: ``hello``; ``all__cluster`` where the word alone is taken."""
    word = _word(cluster)
    return f"{word}__cluster" if word in _TAKEN else word


def role_group(cluster: str, role: Role) -> str:
    """The nodes of one role in every cluster of that name: ``hello__frontend`` or ``hello__computes``."""
    return f"{_word(cluster)}__{'frontend' if role == 'frontend' else 'computes'}"


def site_group(site: str) -> str:
    """The nodes at a site: ``lab__site``."""
    return f"{_word(site)}__site"


def cluster_at_site_group(cluster: str, site: str) -> str:
    """The nodes of one cluster at one site: ``hello__at__lab``."""
    return f"{_word(cluster)}__at__{_word(site)}"


def _word(name: str) -> str:
    return _ESCAPED.sub(lambda found: "_" if found["joint"] else f"X{ord(found.group()):x}X", name)
