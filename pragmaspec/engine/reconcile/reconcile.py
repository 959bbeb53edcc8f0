"""Reconciles recorded state with the sites before an apply, and removes leftovers before and after it."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import Job, ObserveResult
from pragmaspec.engine.executor import Executor
from pragmaspec.engine.reconcile.leftovers import Leftover, find_leftovers, may_have_leftovers
from pragmaspec.engine.reconcile.recovery import (
    UNCHANGED,
    Resolution,
    granted_part,
    resolve_allocation,
    resolve_assigned_node,
    resolve_deterministic_node,
)
from pragmaspec.errors import PlanRefusedError, PragmaspecError
from pragmaspec.failpoints import reach
from pragmaspec.planning.fingerprint import changed_since
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import by_origin
from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedNode
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import SITE_OUTPUT, Record, State
from pragmaspec.text import few

_MAX_NAMED = 8


class ObservedSites(NamedTuple):
    """The observations of the sites, and the errors of those that could not be observed.

    Resources that have moved since their creation are listed under their original addresses.
    """

    observations: Mapping[str, Observations]
    errors: Mapping[str, PragmaspecError]

    @classmethod
    def of(cls, results: Mapping[str, ObserveResult], state: State) -> "ObservedSites":
        """Sort ``results`` into observations and errors."""
        return cls(
            {name: by_origin(each, state) for name, each in results.items() if isinstance(each, Observations)},
            {name: each for name, each in results.items() if isinstance(each, PragmaspecError)},
        )

    def updated(self, later: "ObservedSites") -> "ObservedSites":
        """Return these, replaced by those of ``later`` where it has any."""
        return ObservedSites({**self.observations, **later.observations}, {**self.errors, **later.errors})

    def nodes(self) -> Mapping[str, list[ObservedNode]]:
        """The machines at all sites by address, of which there may be several."""
        found: dict[str, list[ObservedNode]] = {}
        for observed in self.observations.values():
            for node in observed.nodes:
                found.setdefault(node.address, []).append(node)
        return found

    def allocations(self) -> Mapping[str, ObservedAllocation]:
        """The allocations at all sites by address."""
        return {each.address: each for observed in self.observations.values() for each in observed.allocations}


class Reconciler:
    """Observes the sites of one apply, and updates records and sites accordingly."""

    def __init__(self, plan: Plan, context: ApplyContext) -> None:
        self._plan = plan
        self._session = context.session
        self._providers = context.providers
        self._sites = ObservedSites({}, {})
        self._leftover_sites = [name for name, provider in context.providers.items() if may_have_leftovers(provider)]
        self.state = moved_state(context.session.state, plan.moves)
        """The recorded state, under the addresses that the plan uses."""

    @property
    def unobserved(self) -> Mapping[str, PragmaspecError]:
        """The errors of the sites that the plan acts on and that could not be observed."""
        return {site: error for site, error in self._sites.errors.items() if site in self._acted_on()}

    def observe(self, executor: Executor) -> None:
        """Observe every site that the plan acts on. Raises PlanRefusedError if the plan was made from other observations."""
        results = executor.observe(self._acted_on() | set(self._leftover_sites))
        self._sites = ObservedSites.of(results, self.state)
        _refuse_changed_sites(self._plan, self.state, self._sites.observations)

    def update_records(self, executor: Executor, pause: Callable[[float], None]) -> None:
        """Record moves and the outcomes of interrupted operations. Becomes durable with the first intents.

        If a creation may still take effect, ``pause`` is called, once, with the time to wait before the sites are observed again.
        """
        if self._plan.empty:
            return
        self._session.use_sites(planned.site for planned in self._plan.sites)
        if self._plan.moves:
            self._session.moved(self._plan.moves)
        unseen = self._resolve(self._plan.actions, waited=False)
        if unseen:
            sites = {action.resource.site for action in unseen}
            pause(max(self._providers[site].window_s for site in sites))
            again = ObservedSites.of(executor.observe(sites), self.state)
            self._sites = self._sites.updated(again)
            self._resolve((action for action in unseen if action.resource.site in again.observations), waited=True)

    def final_record(self, job: Job, record: Record | None) -> Record | None:
        """Return the record to keep after ``job`` succeeded with ``record``."""
        if job.action.verb == "allocate" and record is not None:
            return self._with_site(record)
        return None if self._never_created(job) else record

    def granted_record(self, record: Record) -> Record | None:
        """Return the record of what the site granted of an allocation when the run began; None for nothing."""
        observed = self._sites.observations.get(record.resource.site)
        if observed is None:
            return record
        allocation = next((each for each in observed.allocations if each.address == record.original_address), None)
        return granted_part(record, allocation)

    def find_leftovers(self) -> list[tuple[str, Leftover]]:
        """Return the leftovers seen before the first action, each with its site."""
        return self._leftovers(self._sites.observations)

    def find_new_leftovers(self, executor: Executor) -> list[tuple[str, Leftover]]:
        """Observe the sites again, and return the leftovers there."""
        names = [name for name in self._leftover_sites if name not in self._sites.errors]
        if not names:
            return []
        reach("engine.before-sweep")
        return self._leftovers(ObservedSites.of(executor.observe(names), self._session.state).observations)

    def remove(self, leftovers: Iterable[tuple[str, Leftover]]) -> list[str]:
        """Remove ``leftovers``, and return the addresses of those that are gone. The next run finds the others again."""
        return [leftover.mark.address for site, leftover in leftovers if self._removed(site, leftover)]

    def _acted_on(self) -> set[str]:
        return {action.resource.site for action in self._plan.actions if action.verb != "record"}

    def _resolve(self, actions: Iterable[Action], *, waited: bool) -> list[Action]:
        """Record the resolutions of ``actions``, and return the actions whose objects may still appear."""
        actions = list(actions)
        resolutions = self._resolutions(actions, waited=waited)
        for address, resolution in resolutions.items():
            earlier, now = self._session.record(address), resolution.record
            if now is None:
                continue
            if earlier is not None and now.op != earlier.op:
                # Closes the earlier op, so that objects of it count as leftovers.
                self._session.outcome(_record_action(earlier), None)
            self._session.outcome(_record_action(now), now)
        return [action for action in actions if action.address in resolutions and resolutions[action.address].unseen]

    def _resolutions(self, actions: Iterable[Action], *, waited: bool) -> dict[str, Resolution]:
        """The resolutions by address, as far as they change anything."""
        closed = frozenset(each.op for each in self.state.closed_ops)
        nodes, allocations = self._sites.nodes(), self._sites.allocations()
        found: dict[str, Resolution] = {}
        done: set[str] = set()
        for action in actions:
            address = action.address
            if action.verb in ("record", "update") or address in done or action.resource.site not in self._sites.observations:
                continue
            done.add(address)
            record = self._session.record(address)
            original_address = record.original_address if record else address
            resolution = UNCHANGED
            if isinstance(action.resource, Allocation):
                resolution = resolve_allocation(record, allocations.get(original_address))
            elif isinstance(action.resource, Node):
                resolution = self._resolve_node(action, record, nodes.get(original_address, []), closed, waited=waited)
            if resolution != UNCHANGED:
                found[address] = resolution
        return found

    def _resolve_node(
        self, action: Action, record: Record | None, observed: list[ObservedNode], closed: AbstractSet[str], *, waited: bool
    ) -> Resolution:
        kind = self._providers[action.resource.site].identity_kind
        if kind == "ident":
            return resolve_deterministic_node(action, record, observed, closed)
        return resolve_assigned_node(action, record, observed, closed, kind, waited=waited)

    def _never_created(self, job: Job) -> bool:
        """True if ``job`` shut down a pending node for good that the site does not have, so that there is nothing to record."""
        record, node = job.earlier, job.action.resource
        if job.action.verb != "shutdown" or not isinstance(node, Node) or node.running:
            return False
        if record is None or record.status != "pending":
            return False
        observed = self._sites.observations.get(record.resource.site)
        return observed is not None and all(node.address != record.original_address for node in observed.nodes)

    def _with_site(self, record: Record) -> Record:
        """Return the record of an allocation with the identity of the site that granted it."""
        observed = self._sites.observations.get(record.resource.site)
        if observed is None:
            return record
        outputs = {**dict(record.outputs), SITE_OUTPUT: observed.identity.id}
        return replace(record, outputs=tuple(sorted(outputs.items())))

    def _leftovers(self, observations: Mapping[str, Observations]) -> list[tuple[str, Leftover]]:
        names = [name for name in self._leftover_sites if name in observations]
        state = self._session.state
        return [
            (name, leftover)
            for name in names
            for leftover in find_leftovers(state, observations[name], self._providers[name].identity_kind)
        ]

    def _removed(self, site: str, leftover: Leftover) -> bool:
        removal = self._providers[site].abilities.duplicate_removal
        try:
            if removal is not None:
                removal.remove_duplicate(leftover.site_id, leftover.mark)
        except PragmaspecError:
            return False
        return True


def _refuse_changed_sites(plan: Plan, state: State, observations: Mapping[str, Observations]) -> None:
    """Raise PlanRefusedError if an object that ``plan`` touches has changed since the plan was made."""
    planned = {each.site.name for each in plan.sites if each.identity is not None}
    now = {name: each for name, each in observations.items() if name in planned}
    changed = changed_since(plan.fingerprints, plan.actions, state, now) if plan.fingerprints is not None else ()
    if changed:
        raise PlanRefusedError(
            "The sites have changed since the plan was made",
            f"Changed: {few(changed, _MAX_NAMED)}. Plan again and review the new plan. Nothing was changed.",
        )


def _record_action(record: Record) -> Action:
    return Action(verb="record", resource=record.resource, reason="found at the site")
