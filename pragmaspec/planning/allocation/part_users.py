"""The users of parts of hosts that one machine has for itself: devices and CPUs. Pure."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from pragmaspec.planning.observed import ExclusiveUse

Part = TypeVar("Part", bound=Hashable)


class PartUsers(Generic[Part]):
    """The users of one kind of parts at a site: machines at the site, recorded nodes, and nodes for which this plan chose one.

    ``recorded``: addresses of the recorded nodes of the stack ``lineage`` by the parts that they have.
    """

    def __init__(self, lineage: str, recorded: Mapping[Part, str], uses: Iterable[tuple[Part, ExclusiveUse]]) -> None:
        self._lineage = lineage
        self._recorded = recorded
        self._uses: defaultdict[Part, list[ExclusiveUse]] = defaultdict(list)
        for part, use in uses:
            self._uses[part].append(use)
        self._taken: dict[Part, str] = {}

    def take(self, parts: Iterable[Part], node: str) -> None:
        """Give ``parts`` to the node with the address ``node``."""
        self._taken.update(dict.fromkeys(parts, node))

    def is_taken(self, part: Part) -> bool:
        """True if this plan has given ``part`` to a node."""
        return part in self._taken

    def is_free(self, part: Part, node: str) -> bool:
        """True if ``node`` can take ``part``: it is not taken, and no other machine or recorded node has it."""
        if part in self._taken or self._recorded.get(part, node) != node:
            return False
        return all(self._is_by(use, node) for use in self._uses[part])

    def runs_elsewhere(self, part: Part, node: str) -> bool:
        """True if a machine other than that of ``node`` runs with ``part``."""
        return any(use.running and not self._is_by(use, node) for use in self._uses[part])

    def names(self, part: Part) -> list[str]:
        """Return the users of ``part``: the node of this stack that has it in no machine yet, and the owners of machines."""
        own = self._taken.get(part) or self._recorded.get(part)
        users = [use.owner if use.running else f"{use.owner} (off)" for use in self._uses[part]]
        if own and not any(self._is_by(use, own) for use in self._uses[part]):
            users.insert(0, f"{own.rpartition('/')[2]} of this stack")
        return users

    def _is_by(self, use: ExclusiveUse, node: str) -> bool:
        return use.lineage == self._lineage and use.address == node
