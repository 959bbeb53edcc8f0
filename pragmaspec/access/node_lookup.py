"""Which node a person means. Pure."""

from pragmaspec.errors import UsageError
from pragmaspec.resources import Node
from pragmaspec.state_model import State


def find_node(state: State, word: str) -> Node:
    """The recorded node called ``word``: its name (``hello-compute-1``) or its address (``lab/hello/node/hello-compute-1``).

    Raises UsageError when there is none, with the nearest names, or more than one, with their addresses.
    """
    nodes = state.nodes()
    found = [node for node in nodes if word in (node.name, node.address)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(node.address for node in found)
        raise UsageError("Two nodes have this name", f"{word} is recorded at more than one site. Write {choices}.")
    raise UsageError("No such node", f"{word} is not recorded. {_hint(word, nodes)}")


def _hint(word: str, nodes: tuple[Node, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a wrong name needs it

    if not nodes:
        return "Nothing is: run `pragmaspec apply` first."
    names = sorted({node.name for node in nodes})
    near = get_close_matches(word, names, n=3)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    shown = ", ".join(names[:10])
    return f"There are: {shown}{' and more' if len(names) > 10 else ''}."  # noqa: PLR2004 - enough to choose from
