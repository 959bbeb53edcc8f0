"""The execution order of a plan's actions. Bookkeeping only: nothing is executed here."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from graphlib import TopologicalSorter

from pragmaspec.planning.plan import Action


def _never(action: Action) -> bool:
    del action
    return False


class Schedule:
    """The actions of one plan, each after its dependencies. The work per action is constant, whatever the length of the plan."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = {action.key: action for action in actions}
        self._dependents: dict[str, list[str]] = {}
        self._skipped: set[str] = set()
        self._sorter: TopologicalSorter[str] = TopologicalSorter()
        for action in actions:
            # A dependency outside the plan is already fulfilled.
            dependencies = [key for key in action.after if key in self._actions]
            self._sorter.add(action.key, *dependencies)
            for key in dependencies:
                self._dependents.setdefault(key, []).append(action.key)
        self._sorter.prepare()

    def ready(self) -> tuple[Action, ...]:
        """Return the actions that can start now, each only once, in the plan's order where dependencies allow it."""
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
        """Mark ``action`` as ended, successfully or not."""
        self._sorter.done(action.key)

    def skip(self, keys: AbstractSet[str]) -> None:
        """Skip the actions with ``keys``, which must include all their dependents."""
        self._skipped.update(keys)

    def skip_after(self, action: Action, needless: Callable[[Action], bool] = _never) -> tuple[Action, ...]:
        """Skip all direct and indirect dependents of a failed ``action``, and return those that were not skipped before.

        A direct dependent that is ``needless`` to skip has all that it needs from ``action`` nevertheless.
        """
        found: list[Action] = []
        keys = [action.key]
        while keys:
            cause = keys.pop()
            for key in self._dependents.get(cause, ()):
                if cause == action.key and needless(self._actions[key]):
                    continue
                if key not in self._skipped:
                    self._skipped.add(key)
                    found.append(self._actions[key])
                    keys.append(key)
        return tuple(found)

    def skip_rest(self, started: set[str]) -> tuple[Action, ...]:
        """Skip every action that is not in ``started``, and return those that were not skipped before."""
        found = tuple(action for key, action in self._actions.items() if key not in started and key not in self._skipped)
        self._skipped.update(action.key for action in found)
        return found
