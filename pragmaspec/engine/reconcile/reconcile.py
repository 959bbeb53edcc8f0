"""How an apply begins and ends: the sites are looked at, records are brought to what is there, leftovers are removed.

What the sites show when an apply begins, held against the plan and against the records. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.engine.action_runner import ObserveResult
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import Job
from pragmaspec.engine.reconcile.leftovers import Leftover, find_leftovers, may_have_leftovers
from pragmaspec.engine.reconcile.recovery import (
    UNCHANGED,
    Resolution,
    granted_part,
    resolve_allocation,
    resolve_assigned_node,
    resolve_deterministic_node,
)
from pragmaspec.engine.workers import Executor
from pragmaspec.errors import PlanRefusedError, PragmaspecError
from pragmaspec.failpoints import reach
from pragmaspec.planning.fingerprint import changed_since
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.moves.readdress import by_origin
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.providers.base import Provider
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import SITE_OUTPUT, Record, State

_SHOWN = 8

Records = Callable[[str], Record | None]
"""The record of an address."""


class ObservedSites(NamedTuple):
    """What the sites have shown, and why some have not."""

    seen: Mapping[str, Observations]
    failed: Mapping[str, PragmaspecError]


def observed_sites(found: Mapping[str, ObserveResult], state: State) -> ObservedSites:
    """``found`` sorted out; what has moved since it was made goes by the address that it was made under."""
    seen = {name: by_origin(each, state) for name, each in found.items() if isinstance(each, Observations)}
    return ObservedSites(seen, {name: each for name, each in found.items() if isinstance(each, PragmaspecError)})


def refuse_changed_sites(plan: Plan, state: State, seen: Mapping[str, Observations]) -> None:
    """Raise PlanRefusedError when an object that ``plan`` touches is not as it was when the plan was made."""
    asked = {each.site.name for each in plan.sites if each.identity is not None}
    now = {name: each for name, each in seen.items() if name in asked}
    changed = changed_since(plan.fingerprints, plan.actions, state, now) if plan.fingerprints is not None else ()
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise PlanRefusedError(
            "The sites have changed since the plan was made",
            f"{', '.join(changed[:_SHOWN])}{more}: not as it was when the plan was made. Plan again and look at the "
            "new plan. Nothing was changed.",
        )


def resolutions(
    actions: Iterable[Action],
    records: Records,
    look: ObservedSites,
    providers: Mapping[str, Provider],
    closed: AbstractSet[str],
    *,
    waited: bool,
) -> dict[str, Resolution]:
    """By address, what the records that ``actions`` start from must be, where they may not stay as they are."""
    nodes: dict[str, list[ObservedNode]] = {}
    for seen in look.seen.values():
        for node in seen.nodes:
            nodes.setdefault(node.address, []).append(node)
    allocations = {granted.address: granted for seen in look.seen.values() for granted in seen.allocations}
    found: dict[str, Resolution] = {}
    done: set[str] = set()
    for action in actions:
        address, site = action.address, action.resource.site
        if action.verb in ("record", "update") or address in done or site not in look.seen:
            continue
        done.add(address)
        record = records(address)
        made_as = record.original_address if record else address
        ruling = UNCHANGED
        if isinstance(action.resource, Allocation):
            ruling = resolve_allocation(record, allocations.get(made_as))
        elif isinstance(action.resource, Node):
            there, kind = nodes.get(made_as, []), providers[site].identity_kind
            if kind == "ident":
                ruling = resolve_deterministic_node(action, record, there, closed)
            else:
                ruling = resolve_assigned_node(action, record, there, closed, kind, waited=waited)
        if ruling != UNCHANGED:
            found[address] = ruling
    return found


Durably = Callable[[Callable[[], None]], bool]
"""Does something that writes to the state, and tells whether it could be done."""


class Reconciler:
    """What one apply knows of its sites before its first action, and does about it."""

    def __init__(self, plan: Plan, context: ApplyContext) -> None:
        self._plan = plan
        self._session = context.session
        self._providers = context.providers
        self._look = ObservedSites({}, {})
        self._sweeping = [name for name, provider in context.providers.items() if may_have_leftovers(provider)]
        self.state = moved_state(context.session.state, plan.moves)
        """The recorded state, under the names that the plan uses."""

    @property
    def failed(self) -> Mapping[str, PragmaspecError]:
        """Why sites where something is to be done could not be looked at."""
        return {site: error for site, error in self._look.failed.items() if site in self._acted_on()}

    def look(self, crew: Executor) -> None:
        """Look at every site where something is to be done. Raises PlanRefusedError when the plan saw something else there."""
        self._look = observed_sites(crew.observe(self._acted_on() | set(self._sweeping)), self.state)
        refuse_changed_sites(self._plan, self.state, self._look.seen)

    def record(self, crew: Executor, pause: Callable[[float], None]) -> None:
        """Record new names, and what was found of what was begun. Durable with the first intents.

        Where a creation may still take effect of which nothing is to be seen, ``pause`` is told how long to wait; once.
        """
        if self._plan.empty:
            return
        self._session.use_sites(planned.site for planned in self._plan.sites)
        if self._plan.moves:
            self._session.moved(self._plan.moves)
        unseen = self._rule(self._plan.actions, waited=False)
        if unseen:
            sites = {action.resource.site for action in unseen}
            pause(max(self._providers[site].window_s for site in sites))
            again = observed_sites(crew.observe(sites), self.state)
            self._look = ObservedSites({**self._look.seen, **again.seen}, {**self._look.failed, **again.failed})
            self._rule((action for action in unseen if action.resource.site in again.seen), waited=True)

    def outcome(self, job: Job, record: Record | None) -> Record | None:
        """What is to be recorded after ``job`` has gone well and left ``record``."""
        if job.action.verb == "allocate" and record is not None:
            return self._placed(record)
        return None if self._never_made(job) else record

    def _never_made(self, job: Job) -> bool:
        """Whether ``job`` was to shut down, for good, a machine that was begun and is not there: then nothing is left of it."""
        record, node = job.earlier, job.action.resource
        if job.action.verb != "shutdown" or not isinstance(node, Node) or node.running:
            return False
        if record is None or record.status != "pending":
            return False
        seen = self._look.seen.get(record.resource.site)
        return seen is not None and all(node.address != record.original_address for node in seen.nodes)

    def _placed(self, record: Record) -> Record:
        """``record`` of an allocation, saying which site granted it."""
        seen = self._look.seen.get(record.resource.site)
        if seen is None:
            return record
        outputs = {**dict(record.outputs), SITE_OUTPUT: seen.identity.id}
        return replace(record, outputs=tuple(sorted(outputs.items())))

    def granted(self, record: Record) -> Record | None:
        """What the site held of the recorded allocation when the run began."""
        seen = self._look.seen.get(record.resource.site)
        if seen is None:
            return record
        return granted_part(record, next((each for each in seen.allocations if each.address == record.original_address), None))

    def sweep_first(self, durably: Durably) -> list[str]:
        """Remove the leftovers that were seen; addresses of what was removed."""
        return self._sweep(self._look.seen, durably)

    def sweep(self, crew: Executor, durably: Durably) -> list[str]:
        """Look again where anything can be left over, and remove it; addresses of what was removed."""
        names = [name for name in self._sweeping if name not in self._look.failed]
        if not names:
            return []
        reach("engine.before-sweep")
        return self._sweep(observed_sites(crew.observe(names), self._session.state).seen, durably)

    def _acted_on(self) -> set[str]:
        return {action.resource.site for action in self._plan.actions if action.verb != "record"}

    def _rule(self, actions: Iterable[Action], *, waited: bool) -> list[Action]:
        """Bring records to what was found; the actions on what was not seen although it may yet come."""
        asked = list(actions)
        closed = frozenset(each.op for each in self.state.closed_ops)
        found = resolutions(asked, self._session.record, self._look, self._providers, closed, waited=waited)
        for address, ruling in found.items():
            earlier, now = self._session.record(address), ruling.record
            if now is None:
                continue
            if earlier is not None and now.op != earlier.op:
                # That creation is over, and what may yet turn up of it is known to be.
                self._session.outcome(_only_recorded(earlier), None)
            self._session.outcome(_only_recorded(now), now)
        return [action for action in asked if action.address in found and found[action.address].unseen]

    def _sweep(self, seen: Mapping[str, Observations], durably: Durably) -> list[str]:
        names = [name for name in self._sweeping if name in seen]
        state = self._session.state if names else self.state
        found = [
            (name, each) for name in names for each in find_leftovers(state, seen[name], self._providers[name].identity_kind)
        ]
        # What is removed must be known to be surplus, also after a crash.
        if not found or not durably(self._session.flush):
            return []
        return [each.mark.address for name, each in found if self._removed(name, each)]

    def _removed(self, site: str, leftover: Leftover) -> bool:
        removal = self._providers[site].abilities.duplicate_removal
        try:
            if removal is not None:
                removal.remove_duplicate(leftover.site_id, leftover.mark)
        except PragmaspecError:
            return False  # The next run finds it again.
        return True


def _only_recorded(record: Record) -> Action:
    return Action(verb="record", resource=record.resource, reason="found at the site")
