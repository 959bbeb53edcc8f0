"""Sites that learn of files by looking for them."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class StorageRefresh(Protocol):
    """Offered beside :class:`.base.Provider` where the site may not have noticed files that others made."""

    def reread(self) -> None:
        """Have the site look again, so that :meth:`.base.Provider.observe` tells of everything. Must not change anything."""
        ...
