"""The progress interface of an apply. The engine itself never prints."""

from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.plan import Action


class Reporter:
    """Receives the progress of an apply; the defaults do nothing. All methods are called from the apply thread."""

    def started(self, action: Action) -> None:
        """``action`` begins; its intent is recorded."""

    def progress(self, action: Action, activity: str) -> None:
        """``action`` continues with ``activity``, such as ``waiting for ssh · 12 s``."""

    def finished(self, action: Action) -> None:
        """``action`` is done and recorded."""

    def failed(self, action: Action, error: PragmaspecError) -> None:
        """``action`` failed; independent actions continue."""

    def skipped(self, action: Action, reason: str) -> None:
        """``action`` will not be started, for ``reason``."""
