"""Progress as an interface with empty defaults: the engine never prints."""

from pragmaspec.errors import PragmaspecError
from pragmaspec.planning.plan import Action


class Reporter:
    """Told what an apply does. Override what is of interest; every method is called from the thread that applies."""

    def started(self, action: Action) -> None:
        """``action`` begins; its intent is recorded."""

    def progress(self, action: Action, doing: str) -> None:
        """What ``action`` is busy with, in a few words: ``waiting for ssh · 12 s``."""

    def finished(self, action: Action) -> None:
        """``action`` is done and recorded."""

    def failed(self, action: Action, error: PragmaspecError) -> None:
        """``action`` failed; the others go on."""

    def skipped(self, action: Action, because: str) -> None:
        """``action`` is not started; ``because`` names what it waited for and what became of it."""
