"""Which actions of a plan may start now. Pure bookkeeping: nothing here runs anything."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from graphlib import TopologicalSorter

from pragmaspec.planning.plan import Action


class Schedule:
    """The actions of one plan, each after those it waits for. Work per action is constant, however long the plan."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = {action.key: action for action in actions}
        self._waiting_for: dict[str, list[str]] = {}
        self._skipped: set[str] = set()
        self._sorter: TopologicalSorter[str] = TopologicalSorter()
        for action in actions:
            # What is not in this plan was left out of it as already true.
            needed = [key for key in action.after if key in self._actions]
            self._sorter.add(action.key, *needed)
            for key in needed:
                self._waiting_for.setdefault(key, []).append(action.key)
        self._sorter.prepare()

    def ready(self) -> tuple[Action, ...]:
        """Actions that may start and have not been given out before, in the plan's order as far as it allows."""
        found: list[Action] = []
        while True:
            keys = self._sorter.get_ready()
            if not keys:
                return tuple(found)
            for key in keys:
                if key in self._skipped:
                    self._sorter.done(key)
                else:
                    found.append(self._actions[key])

    def done(self, action: Action) -> None:
        """``action`` has ended, well or not."""
        self._sorter.done(action.key)

    def skip(self, keys: AbstractSet[str]) -> None:
        """Do not give out the actions named by ``keys``. What waits for them must be among them."""
        self._skipped.update(keys)

    def skip_after(self, action: Action) -> tuple[Action, ...]:
        """Actions that cannot start any more because ``action`` failed, directly or through others; each is returned once."""
        found: list[Action] = []
        keys = [action.key]
        while keys:
            for key in self._waiting_for.get(keys.pop(), ()):
                if key not in self._skipped:
                    self._skipped.add(key)
                    found.append(self._actions[key])
                    keys.append(key)
        return tuple(found)

    def skip_rest(self, started: set[str]) -> tuple[Action, ...]:
        """Every action that is neither in ``started`` nor skipped already; none of them is given out afterwards."""
        found = tuple(action for key, action in self._actions.items() if key not in started and key not in self._skipped)
        self._skipped.update(action.key for action in found)
        return found
