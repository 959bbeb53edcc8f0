"""A plan that prints as people read it, for notebooks and ``print``."""

from typing import Self

from pragmaspec.planning.plan import Plan
from pragmaspec.report.plan_text import plan_text

WIDTH = 120


class ReadablePlan(Plan, frozen=True):
    """A :class:`~pragmaspec.planning.plan.Plan` whose text is what ``pragmaspec plan`` prints."""

    def __str__(self) -> str:
        return plan_text(self, width=WIDTH, colour=False).rstrip("\n")

    __repr__ = __str__
    """What a notebook or a Python prompt shows of a plan that is the last value."""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The same plan, readable."""
        return cls(**{name: getattr(plan, name) for name in plan.__struct_fields__})
