"""A plan that prints as people read it, for notebooks and ``print``."""

from typing import Self

from pragmaspec.planning.plan import Plan
from pragmaspec.report.plan_text import plan_text

WIDTH = 120


class ReadablePlan(Plan, frozen=True):
    """A :class:`~pragmaspec.planning.plan.Plan` whose text is what ``pragmaspec plan`` prints."""

    def __str__(self) -> str:
        return plan_text(self, width=WIDTH, colour=False).rstrip("\n")

    def _repr_pretty_(self, printer: object, _cycle: bool) -> None:
        """What IPython and Jupyter show of a plan that is the last value of a cell."""
        printer.text(str(self))  # type: ignore[attr-defined]  # IPython's printer, which is no dependency

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The same plan, readable."""
        return cls(**{name: getattr(plan, name) for name in plan.__struct_fields__})
