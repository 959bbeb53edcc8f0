"""The names of Ansible groups. Pure.

Ansible allows letters, digits and underscores in group names. Each name here depends only on the cluster, role or site of the
group, so it is stable when others are added or removed, and no two groups share a name:

* a *word* encodes the name of a cluster or site. A hyphen between two letters or digits is an underscore; every other
  character, and a digit at the beginning, is its code point in hexadecimal between two ``X``, which no word has otherwise.
* a word never begins or ends with an underscore, nor has two in a row; so words are told apart when two underscores join them.
* a group never has the name of a node, which has hyphens.
"""

import re

FRONTENDS, COMPUTES = "frontends", "computes"

_TAKEN = frozenset({"all", "ungrouped", "localhost", FRONTENDS, COMPUTES})
"""Reserved names: Ansible's own, such as ``localhost`` for the control machine, and the two groups above."""

_ESCAPED = re.compile(r"(?P<joint>(?<=[a-z0-9])-(?=[a-z0-9]))|[^a-z0-9]|\A[0-9]")


def cluster_group(cluster: str) -> str:
    """The nodes of every cluster of that name: ``hello``; ``all__cluster`` where the word alone is taken."""
    word = _word(cluster)
    return f"{word}__cluster" if word in _TAKEN else word


def node_group(cluster: str, group: str) -> str:
    """The nodes of one set in every cluster of that name: ``hello__frontend``, ``hello__computes``, ``hello__gpu``.

    Specs have no groups called ``at``, ``cluster``, ``computes`` or ``site``.
    """
    return f"{_word(cluster)}__{'computes' if group == 'compute' else _word(group)}"


def site_group(site: str) -> str:
    """The nodes at a site: ``lab__site``."""
    return f"{_word(site)}__site"


def cluster_at_site_group(cluster: str, site: str) -> str:
    """The nodes of one cluster at one site: ``hello__at__lab``."""
    return f"{_word(cluster)}__at__{_word(site)}"


def _word(name: str) -> str:
    return _ESCAPED.sub(lambda found: "_" if found["joint"] else f"X{ord(found.group()):x}X", name)
