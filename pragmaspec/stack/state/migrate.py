"""From where to where a state is copied."""

from typing import TYPE_CHECKING, NamedTuple, Self

from pragmaspec.errors import PragmaspecError, UsageError
from pragmaspec.stack.location import StackLocation
from pragmaspec.stack.state.access import store_at

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State


class Migration(NamedTuple):
    """``source`` is copied to ``target``. ``line`` is what the spec has to say then; ``said_by_spec``: it says so already."""

    source: "Store"
    target: "Store"
    line: str
    state_from_spec: bool
    encrypt: bool

    @classmethod
    def of(cls, place: StackLocation, source: str | None, target: str | None) -> Self:
        """What is meant: to ``target``, else to where the spec says; from ``source``, else from where it is now.

        Raises UsageError when both are one place, or one is not known.
        """
        to = target or (place.state if place.state_from_spec else None)
        if to is None:
            raise UsageError("No target", "Say where the state shall be: a URL, a folder, or the spec's `state:`.")
        usual = str(place.default_state) if place.default_state is not None else place.state
        origin = source or (usual if target is None else place.state)
        from_, to_ = store_at(origin), store_at(to, encrypt=place.encrypt)
        if from_.backend.title == to_.backend.title:
            raise UsageError(
                "The state is there already",
                f"Source and target are both {to_.backend.title}. Say --from for where the state is now.",
            )
        if source is None and target is None and to_.exists():
            detail = f"{to_.backend.title}, where the spec says that it is, holds one. Say --from to bring over another one."
            raise UsageError("The state is there already", detail)
        if not from_.exists():
            raise UsageError("Nothing to copy", f"There is no state at {from_.backend.title}. Say --from for where it is.")
        if to_.exists() and _earlier(to, from_):
            to_ = store_at(to, encrypt=place.encrypt, accept_rollback=True)
        return cls(from_, to_, to, state_from_spec=place.state_from_spec and to == place.state, encrypt=bool(place.encrypt))

    def copy(self) -> "State":
        """Do it; the state that stands at the target then. Raises what :func:`pragmaspec.state.transfer.copy_state` raises."""
        from pragmaspec.state.transfer import copy_state

        try:
            return copy_state(self.source, self.target)
        except PragmaspecError:
            self.source.read()  # so that this machine remembers again what an earlier version at the target made it forget
            raise


def _earlier(target: str, source: "Store") -> bool:
    """Whether what stands at ``target`` is an earlier version of what is copied, as it is on the way back to an old place.

    This machine then takes it for rolled back, rightly; but nothing is forgotten when the newer one replaces it.
    """
    there, here = store_at(target, accept_rollback=True).read(), source.read()
    return there.lineage == here.lineage and there.serial < here.serial
