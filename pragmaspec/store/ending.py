"""Why a run writes no more to a place on the network: the error that ended its writing, with which every later attempt ends."""

from pragmaspec.errors import Problem, StateLockLostError, StateUnwritableError


class Ending:
    """The end of one run's writing at the place called ``title``. Nothing has ended until :meth:`because` is called."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._error: StateUnwritableError | None = None

    @property
    def has_come(self) -> bool:
        """Whether nothing more is written."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error that ended the writing, if one did."""
        if self._error is not None:
            raise type(self._error)(*self._error.problems)

    def because(self, kind: type[StateUnwritableError], why: str) -> StateUnwritableError:
        """The error, of ``kind``, that this write and every later one ends with."""
        why = why.rstrip(".")
        if kind is StateLockLostError:
            problem = Problem(
                summary="The lock was taken from this run",
                detail=f"{self._title}: {why}. Nothing more is written or started. What is under way may still be carried out; "
                "the run that holds the lock now, or else the next one, finds it by its intents and marks.",
            )
        else:
            problem = Problem(
                summary="The state cannot be written",
                detail=f"{self._title}: {why}. Nothing more is started, because it could not be recorded. Run the command again "
                "when the server works: it continues where this one stopped.",
            )
        self._error = kind(problem)
        return self._error
