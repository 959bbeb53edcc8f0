"""Finds a recorded node by name or address. Pure."""

from pragmaspec.errors import UsageError
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, few

_MAX_NAMED = 10


def find_node(state: State, word: str) -> Node:
    """Return the recorded node ``word``: its name (``hello-compute-1``) or its address (``lab/hello/node/hello-compute-1``).

    Raises UsageError for none, with the closest name, and for several, with their addresses.
    """
    nodes = state.nodes()
    found = [node for node in nodes if word in (node.name, node.address)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(node.address for node in found)
        raise UsageError("Ambiguous node name", f"{word} is recorded at more than one site. Write {choices}.")
    raise UsageError("No such node", f"{word} is not recorded. {_hint(word, nodes)}")


def _hint(word: str, nodes: tuple[Node, ...]) -> str:
    if not nodes:
        return "No node is recorded: run `pragmaspec apply` first."
    names = sorted({node.name for node in nodes})
    return did_you_mean(word, names, f"Recorded nodes: {few(names, _MAX_NAMED)}.")
