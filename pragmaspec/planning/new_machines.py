"""The nodes for which a plan makes new machines. Pure."""

from collections.abc import Container
from functools import cached_property

from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.impact import node_impact
from pragmaspec.resources import Node
from pragmaspec.state_model import Record, State


class NewMachines:
    """Decides which desired nodes get new machines: nodes without a record or a machine, and those to rebuild.

    ``made_anew``: addresses of recorded nodes without a machine, and of those to replace.
    """

    def __init__(self, state: State, made_anew: Container[str]) -> None:
        self.state = state
        self._made_anew = made_anew

    def recorded(self, node: Node) -> Node | None:
        """Return the recorded node at the address of ``node``, or None."""
        record = self._records.get(node.address)
        return record.resource if record is not None and isinstance(record.resource, Node) else None

    def has(self, node: Node) -> bool:
        """True if the plan makes a new machine for ``node``."""
        before = self.recorded(node)
        if before is None or node.address in self._made_anew:
            return True
        return before is not node and node_impact(before, node, changed_fields(before, node)) == "rebuild"

    def may_have(self, node: Node) -> bool:
        """True if the plan makes a new machine for ``node``, or has to if an unfinished boot has made none."""
        record = self._records.get(node.address)
        return (record is not None and record.status == "pending") or self.has(node)

    @cached_property
    def _records(self) -> dict[str, Record]:
        return {record.address: record for record in self.state.records}
