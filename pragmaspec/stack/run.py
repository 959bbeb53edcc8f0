"""A run that plans and applies under one lock, so that no other run can interfere between plan and apply."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pragmaspec.errors import PlanRefusedError, Problem, UsageError
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.safety import ALLOWANCES, refusals
from pragmaspec.stack.network_use import networks_in_use
from pragmaspec.stack.planning import Planner
from pragmaspec.state_model import State
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.engine.context import ApplyResult
    from pragmaspec.engine.reporter import Reporter
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.providers.base import Provider
    from pragmaspec.state.session import StoreSession


class Run(Planner):
    """A planner for the locked state of ``session`` that also applies. Images are downloaded only when they are staged."""

    def __init__(
        self,
        session: "StoreSession",
        planner: Planner,
        *,
        shutdown_grace_s: float = 60.0,
    ) -> None:
        super().__init__(planner.wanted, session.state, planner.sites, planner.sources)
        self.session = session
        self.shutdown_grace_s = shutdown_grace_s

    @property
    @override
    def state(self) -> State:
        """The recorded state, including all results of this run."""
        return self.session.state

    def bound(self, plan: Plan) -> Plan:
        """Return the saved ``plan``. Raises PlanRefusedError if it no longer matches the state, the spec and the sites."""
        from pragmaspec.engine.preconditions import check_preconditions

        sites = {action.resource.site for action in plan.actions}
        check_preconditions(plan, self.session.state, self.wanted, self.sites.providers(sites))
        return plan

    def check(self, plan: Plan, allow: Iterable[str]) -> None:
        """Raise PlanRefusedError if ``plan`` needs an allowance that is not in ``allow``, or removes a network in use."""
        check_allowed(plan, allow, networks_in_use(plan, self.session.state, self.sites))

    def apply(
        self,
        plan: Plan,
        allow: Iterable[str] = (),
        reporter: "Reporter | None" = None,
        images: "ImageReporter | None" = None,
    ) -> "ApplyResult":
        """Apply ``plan``. Raises PlanRefusedError if it is stale or needs an allowance that is not in ``allow``.

        ``images`` reports images that have to be built or downloaded again, from worker threads. Raises ApplyIncompleteError or
        InterruptedRunError after everything else is done and recorded.
        """
        self.check(plan, allow)
        from pragmaspec.access.ssh import SshClient
        from pragmaspec.engine.apply import apply_plan
        from pragmaspec.engine.context import ApplyContext, ApplyResult
        from pragmaspec.engine.reconcile.leftovers import may_have_leftovers
        from pragmaspec.state.stack_key import load_stack_key

        providers = self._providers(plan)
        if plan.empty and not (self._has_history() and any(map(may_have_leftovers, providers.values()))):
            return ApplyResult()
        lineage = self.session.state.lineage
        stack_key = load_stack_key(lineage, create=not self.session.state.records)
        remote = SshClient(lineage, stack_key)
        context = ApplyContext(
            session=self.session,
            providers=providers,
            wanted=self.wanted,
            files=lambda image: self.library().files(image, images),
            public_copy=self.copy_of,
            stack_key=stack_key,
            remote=remote,
            shutdown_grace_s=self.shutdown_grace_s,
        )
        try:
            return apply_plan(plan, context, reporter)
        finally:
            remote.close()

    def _providers(self, plan: Plan) -> "dict[str, Provider]":
        """The providers of all sites with actions, and of all observed sites, which may have leftovers."""
        acting = {action.resource.site for action in plan.actions}
        return self.sites.providers(acting | {planned.site.name for planned in plan.sites if planned.identity is not None})

    def _has_history(self) -> bool:
        """True if the stack has or had resources, so that leftovers are possible."""
        return bool(self.session.state.records or self.session.state.closed_ops)


def check_allowed(plan: Plan, allow: Iterable[str], more: Iterable[Problem] = ()) -> None:
    """Raise PlanRefusedError for every missing allowance of ``plan``; UsageError for an unknown one.

    ``more``: further reasons to refuse the plan.
    """
    allowed = frozenset(allow)
    unknown = sorted(allowed.difference(ALLOWANCES))
    if unknown:
        raise UsageError("Unknown allowance", f"{', '.join(unknown)} cannot be allowed. Known: {', '.join(ALLOWANCES)}.")
    refused = (*refusals(plan, allowed), *more)
    if refused:
        raise PlanRefusedError.of(refused)
