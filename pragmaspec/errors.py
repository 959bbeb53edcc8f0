"""The tree of errors.

::

    PragmaspecError               1    a failure that the user can understand and act on
    ├── UsageError               64    the command line is not valid
    ├── SpecError                 1    the spec or a sites file is wrong
    ├── PlanError                 1    the spec is valid but cannot be planned: capacity, addresses, VLANs
    ├── PlanRefusedError          4    the plan is stale or unsafe and was not allowed
    ├── ImageError                1    an image cannot be found, built, verified or is unsafe
    ├── StateUnreadableError      6    the recorded state is damaged or of a newer format
    ├── StateLockedError          3    another run holds the stack
    ├── StateUnreachableError     1    the state backend does not answer, or denies access
    ├── StateUnwritableError      1    the state cannot be written; no more actions start
    │   └── StateLockLostError         the lock on the state was lost; nothing more is written
    ├── SiteError                 1    a call to a site failed; translated at the provider's edge
    │   ├── SiteUnreachableError       the site does not answer
    │   ├── SiteConflictError          another owner holds a resource that the plan needs; plan again
    │   ├── SiteInUseError             machines outside the stack use an object that the plan removes; nothing was removed
    │   └── SiteCapacityError          the site ran out of a resource during an apply
    ├── NotReadyError             1    a booted node did not become ready
    ├── AccessError               1    ssh, console or key failure between here and a node
    │   └── HostKeyError               the host key at a node's address is not the node's
    ├── ApplyIncompleteError      5    some actions failed; the next apply continues
    └── InterruptedRunError     130    a signal stopped the run; the next apply continues

Each carries one or more :class:`Problem` values: a constant ``summary``, and a ``detail`` in full sentences with the mistake, the
reason and the remedy. An error is raised once, with every problem found.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal, Self

from pragmaspec.frozen import Frozen
from pragmaspec.typing import override

_FIRST_LINE_CHARACTERS = 300


class Where(Frozen, frozen=True):
    """A position in a file of the user: 1-based line and column."""

    file: str
    line: int
    column: int = 1

    @override
    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Frozen, frozen=True):
    """One mistake or failure.

    ``summary`` is constant per kind of problem; ``detail`` is full sentences; ``where`` and ``quote`` are the place and the line
    that the user wrote, if they are the cause. A ``warning`` does not stop the command.
    """

    summary: str
    detail: str = ""
    where: Where | None = None
    quote: str | None = None
    severity: Literal["error", "warning"] = "error"


class PragmaspecError(Exception):
    """A failure that a user can understand and act on; any other exception that escapes is a bug.

    ``PragmaspecError(summary, detail, where=…)`` carries one :class:`Problem`, :meth:`of` carries several.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, summary: str, detail: str = "", *, where: Where | None = None, quote: str | None = None) -> None:
        self._carry((Problem(summary=summary, detail=detail, where=where, quote=quote),))

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> Self:
        """Return an error that carries all of ``problems``."""
        error = cls.__new__(cls)
        error._carry(tuple(problems))  # noqa: SLF001 - its own class
        return error

    @property
    def first_line(self) -> str:
        """The first line of the first problem's detail, else its summary; short enough for a record and a plan."""
        problem = self.problems[0]
        lines = problem.detail.splitlines()
        return (lines[0] if lines else problem.summary)[:_FIRST_LINE_CHARACTERS]

    def _carry(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(_one_line(problem) for problem in problems))


class UsageError(PragmaspecError):
    """The command line is not valid."""

    exit_status = 64


class SpecError(PragmaspecError):
    """The spec or a sites file is not valid."""


class PlanError(PragmaspecError):
    """The spec is valid but cannot be planned: a site lacks capacity, or a value is taken or contradictory."""


class PlanRefusedError(PragmaspecError):
    """The plan is stale, or contains a loss that was not allowed by name."""

    exit_status = 4


class ImageError(PragmaspecError):
    """An image cannot be found, built or verified, or is unsafe to use."""


class StateUnreadableError(PragmaspecError):
    """The recorded state is damaged, foreign or of a newer format; nothing was changed."""

    exit_status = 6


class StateLockedError(PragmaspecError):
    """Another run holds the lock of the stack."""

    exit_status = 3


class StateUnreachableError(PragmaspecError):
    """The state backend does not answer, or denies access."""


class StateUnwritableError(PragmaspecError):
    """The state cannot be written; no more actions start, because they could not be recorded."""


class StateLockLostError(StateUnwritableError):
    """The lock on the state was lost; nothing more is written."""


class SiteError(PragmaspecError):
    """A call to a site failed."""


class SiteUnreachableError(SiteError):
    """The site does not answer."""


class SiteConflictError(SiteError):
    """Another owner holds a resource that the plan needs."""


class SiteInUseError(SiteError):
    """Machines outside the stack use an object that the plan removes; nothing was removed."""


class SiteCapacityError(SiteError):
    """The site ran out of a resource during an apply."""


class NotReadyError(PragmaspecError):
    """A node was booted but did not become ready within its limit."""


class AccessError(PragmaspecError):
    """ssh, console or key failure between this machine and a node."""


class HostKeyError(AccessError):
    """The host key at a node's address is not the node's."""


class ApplyIncompleteError(PragmaspecError):
    """Some actions failed or did not start; the others are recorded, and the next apply continues."""

    exit_status = 5


class InterruptedRunError(PragmaspecError):
    """A signal stopped the run; finished actions are recorded, and the next apply continues."""

    exit_status = 130


def _one_line(problem: Problem) -> str:
    place = f"{problem.where}: " if problem.where else ""
    return f"{place}{problem.summary}" + (f": {problem.detail}" if problem.detail else "")
