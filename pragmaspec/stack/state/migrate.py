"""Copies the recorded state to another backend."""

from typing import TYPE_CHECKING, NamedTuple, Self

from pragmaspec.errors import PragmaspecError, UsageError
from pragmaspec.stack.location import StackLocation
from pragmaspec.stack.state.access import store_at

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State


class Migration(NamedTuple):
    """A copy of the state. ``line``: the new ``state:`` of the spec; ``state_from_spec``: it is the present one already."""

    source: "Store"
    target: "Store"
    line: str
    state_from_spec: bool
    encrypt: bool

    @classmethod
    def of(cls, location: StackLocation, source: str | None, target: str | None) -> Self:
        """Return the migration from ``source``, else the present state, to ``target``, else the ``state:`` of the spec.

        Raises UsageError if both are the same, or if one is missing.
        """
        to = target or (location.state if location.state_from_spec else None)
        if to is None:
            raise UsageError("No target", "Give the new state: a URL, a directory, or the `state:` of the spec.")
        default = str(location.default_state) if location.default_state is not None else location.state
        origin = source or (default if target is None else location.state)
        from_, to_ = store_at(origin), store_at(to, encrypt=location.encrypt)
        if from_.backend.title == to_.backend.title:
            raise UsageError(
                "The state is already there",
                f"Source and target are both {to_.backend.title}. Give the present state with --from.",
            )
        if source is None and target is None and to_.exists():
            detail = f"{to_.backend.title}, the `state:` of the spec, contains one. Give --from to copy another one."
            raise UsageError("The state is already there", detail)
        if not from_.exists():
            raise UsageError(
                "Nothing to copy", f"There is no state at {from_.backend.title}. Give the present state with --from."
            )
        if to_.exists() and _earlier(to, from_):
            to_ = store_at(to, encrypt=location.encrypt, accept_rollback=True)
        return cls(
            from_, to_, to, state_from_spec=location.state_from_spec and to == location.state, encrypt=bool(location.encrypt)
        )

    def copy(self) -> "State":
        """Copy, and return the state at the target. Raises the errors of :func:`pragmaspec.state.transfer.copy_state`."""
        from pragmaspec.state.transfer import copy_state

        try:
            return copy_state(self.source, self.target)
        except PragmaspecError:
            self.source.read()  # restores the rollback guard, which an earlier version at the target has reset
            raise


def _earlier(target: str, source: "Store") -> bool:
    """True if ``target`` contains an earlier version of the state, as when a state is copied back to its old backend.

    The rollback guard rightly rejects it, but nothing is lost when the newer version replaces it.
    """
    there, here = store_at(target, accept_rollback=True).read(), source.read()
    return there.lineage == here.lineage and there.serial < here.serial
