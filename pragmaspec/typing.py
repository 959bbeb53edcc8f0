"""``override`` of :mod:`typing` (PEP 698) also for Python 3.11, without loading ``typing_extensions``: that takes 20 ms."""

import sys
from typing import TYPE_CHECKING, TypeVar

__all__ = ["override"]

_Method = TypeVar("_Method")

if TYPE_CHECKING:
    from typing_extensions import override
elif sys.version_info >= (3, 12):
    from typing import override
else:

    def override(method: _Method) -> _Method:
        """Mark a method that overrides one of a base class; type checkers verify that it does."""
        return method
