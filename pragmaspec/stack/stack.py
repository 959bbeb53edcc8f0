"""A stack as one object, for the command line and for notebooks."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pragmaspec.stack.location import StackLocation, locate_stack
from pragmaspec.stack.state.access import open_store
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.access.ssh import CommandResult, SshClient
    from pragmaspec.engine.context import ApplyResult
    from pragmaspec.engine.reporter import Reporter
    from pragmaspec.images.library import ImageLibrary
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.planning.plan import Plan
    from pragmaspec.planning.wanted import Wanted
    from pragmaspec.providers.base import Provider
    from pragmaspec.resources import Mark, Node
    from pragmaspec.stack.planning import Planner, PlannerSources, ReadablePlan
    from pragmaspec.stack.run import Run
    from pragmaspec.stack.sites import SiteSnapshot
    from pragmaspec.state.session import StoreSession
    from pragmaspec.state.store import LockedStore, Store
    from pragmaspec.state_model import State

# Methods import what they need, so that `list` and `ssh` do not load planning, nor planning ssh.


class Stack:
    """One spec and its recorded state.

    ``spec``: a path, or None for ``$PRAGMASPEC_SPEC``, ``cluster.yaml``, ``pragmaspec.yaml`` or the only spec here; ``state``:
    the directory or URL of the recorded state, None for the spec's ``state:``, else ``state/<name>`` beside the spec;
    ``location``: both, already found; ``accept_rollback``: accept a state that is older than one this machine has seen;
    ``locked``: refuse images that do not match ``pragmaspec.lock``. Nothing is read before it is needed, and the
    spec is read anew for every plan. All methods raise only subclasses of PragmaspecError.
    """

    def __init__(
        self,
        spec: str | Path | None = None,
        *,
        state: str | Path | None = None,
        location: StackLocation | None = None,
        accept_rollback: bool = False,
        locked: bool = False,
    ) -> None:
        self._locked = locked
        self._location = location or locate_stack(spec, state)
        self._accept_rollback = accept_rollback
        self._unfinished: bool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        return f"<Stack {self.name}, {f'described by {self._location.spec}' if self._location.spec else 'without a spec'}>"

    @property
    def location(self) -> StackLocation:
        """The spec and the state of the stack."""
        return self._location

    @property
    def name(self) -> str:
        """The name of the stack."""
        return self._location.name

    @cached_property
    def store(self) -> "Store":
        """The store of the recorded state."""
        return open_store(self._location, accept_rollback=self._accept_rollback)

    @cached_property
    def library(self) -> "ImageLibrary":
        """The local image store."""
        from pragmaspec.images.library import ImageLibrary
        from pragmaspec.stack.images.store_directory import image_store_directory

        return ImageLibrary(image_store_directory(), locked=self._locked)

    def state(self) -> "State":
        """Return the recorded state; an empty one before the first apply."""
        loaded = self.store.load()
        if not loaded.exists:
            self._refuse_moved_state()
        self._unfinished = loaded.unfinished
        return loaded.state

    def lineage(self) -> str:
        """Return the lineage of the recorded stack. Raises UsageError before the first apply, which assigns it."""
        from pragmaspec.stack.state.access import recorded_lineage

        return recorded_lineage(self.store)

    def interrupted(self) -> bool:
        """True if an earlier run did not complete and may have left unfinished operations; as of the last read of the state."""
        if self._unfinished is None:
            self._unfinished = bool(self.store.backend.read().journals)
        return self._unfinished

    def wanted(self, reporter: "ImageReporter | None" = None, *, need: frozenset[str] | None = None) -> "Wanted":
        """Return the wanted clusters of the spec. Builds or downloads images whose digests are not known yet.

        ``need``: the clusters whose images, keys and user-data are needed, None: all; unknown values of others stay unknown.
        """
        from pragmaspec.stack.resolve_spec import read_wanted

        return read_wanted(self._location, lambda: self.library, reporter, locked=self._locked, need=need)

    def nodes(self, cluster: str | None = None) -> "tuple[Node, ...]":
        """Return the recorded nodes, frontends first, then by index. Raises UsageError if ``cluster`` is not recorded."""
        from pragmaspec.stack.cluster_requests import refuse_unrecorded

        state = self.state()
        if cluster is not None:
            refuse_unrecorded(cluster, state)
        return state.nodes(cluster)

    def plan(
        self,
        *,
        targets: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        replace: str | Iterable[str] = (),
        refresh: bool = True,
        accept_missing: bool = False,
        prune_images: bool = False,
        reporter: "ImageReporter | None" = None,
    ) -> "ReadablePlan":
        """Return the plan of the next apply; changes nothing. ``targets`` and ``exclude``: addresses, names or patterns.

        ``replace``: the same for nodes to rebuild. ``prune_images``: also remove images from the sites that no node of any stack
        uses.
        """
        from pragmaspec.planning.request import PlanRequest

        request = PlanRequest(
            targets=_words(targets),
            exclude=_words(exclude),
            replace=_words(replace),
            accept_missing=accept_missing,
            prune_images=prune_images,
        )
        with self.planner(reporter) as planner:
            return planner.plan(request, refresh=refresh)

    @contextmanager
    def planner(self, reporter: "ImageReporter | None" = None, *, need: frozenset[str] | None = None) -> "Iterator[Planner]":
        """A planner with open sites, without the lock. ``need``: as for :meth:`wanted`."""
        from pragmaspec.stack.planning import open_planner

        self._refuse_moved_state()
        wanted, state = self.wanted(reporter, need=need), self.state()
        with open_planner(wanted, state, self._planner_sources(reporter)) as planner:
            yield planner

    def apply(
        self, plan: "Plan | None" = None, *, allow: str | Iterable[str] = (), reporter: "Reporter | None" = None
    ) -> "ApplyResult":
        """Apply ``plan``, or a new plan, without confirmation: ``allow`` lists the risks (rebuild, data-loss, protected)."""
        from pragmaspec.planning.request import PlanRequest
        from pragmaspec.stack.saved_plan import clusters_needed_by

        with self.run("apply", lineage=plan.lineage if plan else None, need=clusters_needed_by(plan)) as run:
            return run.apply(plan if plan is not None else run.plan(PlanRequest()), _words(allow), reporter)

    def boot(self, cluster: str, *, allow: str | Iterable[str] = (), reporter: "Reporter | None" = None) -> "ApplyResult":
        """Boot a cluster, whatever its ``state:`` in the spec. Other changes of its nodes are deferred."""
        from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, boot_plan

        with self.run(f"boot {cluster}", need=NO_CLUSTER_DETAILS) as run:
            return run.apply(boot_plan(run, cluster), _words(allow), reporter)

    def shutdown(self, cluster: str, *, reporter: "Reporter | None" = None) -> "ApplyResult":
        """Shut a cluster down, computes before the frontend: gracefully, then by force after a limit."""
        from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, shutdown_plan

        with self.run(f"shutdown {cluster}", need=NO_CLUSTER_DETAILS) as run:
            return run.apply(shutdown_plan(run, cluster), (), reporter)

    def clean(
        self,
        cluster: str,
        *,
        shutdown: bool = False,
        prune_images: bool = False,
        allow: str | Iterable[str] = (),
        reporter: "Reporter | None" = None,
    ) -> "ApplyResult":
        """Remove a cluster with its disks. Refused while it runs, unless ``shutdown``; and while protected, unless allowed.

        ``prune_images``: also remove images from its site that no node of any stack uses.
        """
        from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS, CleanOptions, clean_plan

        options = CleanOptions(shutdown=shutdown, prune_images=prune_images)
        with self.run(f"clean {cluster}", need=NO_CLUSTER_DETAILS) as run:
            return run.apply(clean_plan(run, cluster, options), _words(allow), reporter)

    @contextmanager
    def run(
        self,
        command: str,
        *,
        lineage: str | None = None,
        reporter: "ImageReporter | None" = None,
        steal_lock: bool = False,
        need: frozenset[str] | None = None,
    ) -> "Iterator[Run]":
        """Hold the lock while planning and applying. ``command`` is shown to runs that find the lock; ``need``: as above."""
        from pragmaspec.stack.planning import open_planner
        from pragmaspec.stack.run import Run

        self._refuse_moved_state()
        wanted = self.wanted(reporter, need=need)
        with (
            self.session(command, lineage, steal_lock=steal_lock) as session,
            open_planner(wanted, session.state, self._planner_sources(reporter)) as planner,
        ):
            yield Run(session, planner)

    @contextmanager
    def session(self, command: str, lineage: str | None = None, *, steal_lock: bool = False) -> "Iterator[StoreSession]":
        """Hold the lock, and record operations."""
        self._before_locking(steal_lock=steal_lock)
        with self.store.session(command, lineage) as session:
            yield session

    @contextmanager
    def opened(self, command: str, lineage: str | None = None, *, steal_lock: bool = False) -> "Iterator[LockedStore]":
        """Hold the lock and the current state, to replace it as a whole."""
        self._before_locking(steal_lock=steal_lock)
        with self.store.open_locked(command, lineage) as opened:
            yield opened

    def _planner_sources(self, reporter: "ImageReporter | None") -> "PlannerSources":
        from pragmaspec.stack.planning import PlannerSources

        return PlannerSources(lambda: self.library, lambda need: self.wanted(reporter, need=need), self._location)

    def _before_locking(self, *, steal_lock: bool) -> None:
        self._refuse_moved_state()
        if steal_lock:
            from pragmaspec.stack.state.access import take_over_lock

            take_over_lock(self.store)

    def _refuse_moved_state(self) -> None:
        from pragmaspec.stack.state.renamed_spec import refuse_moved_state

        refuse_moved_state(self._location, self.store)

    def look(self) -> "SiteSnapshot":
        """Observe the sites of all records."""
        from pragmaspec.stack.sites import Sites, take_snapshot

        state = self.state()
        with Sites(state.sites) as sites:
            return take_snapshot(state, sites)

    def remote(self, state: "State | None" = None) -> "SshClient":
        """Return an ssh client for the recorded nodes, with keys and host keys. Raises UsageError before the first apply."""
        from pragmaspec.access.ssh import SshClient
        from pragmaspec.state.stack_key import load_stack_key

        recorded = state if state is not None else self.state()
        if not recorded.records:
            self.lineage()
        remote = SshClient(recorded.lineage, load_stack_key(recorded.lineage))
        remote.use(recorded)
        return remote

    def ssh(self, node: str, *command: str, timeout_s: float = 60.0) -> "CommandResult":
        """Run ``command`` on a node, and return its exit status, stdout (bytes) and stderr."""
        from pragmaspec.access.node_lookup import find_node

        state = self.state()
        return self.remote(state).run(find_node(state, node).address, command, timeout_s=timeout_s)

    @contextmanager
    def provider_of(self, node: "Node", state: "State") -> "Iterator[tuple[Provider, Mark]]":
        """The provider of the node's site, and the mark of the node."""
        from pragmaspec.stack.sites import Sites
        from pragmaspec.state_model import Record

        mark = (state.record(node.address) or Record(resource=node)).mark(state.lineage)
        with Sites(state.sites) as sites:
            yield sites.provider(node.site), mark

    def close(self) -> None:
        """Do nothing: a stack holds no lock or connection of its own between calls. Exists for ``with`` and ``closing``."""


def _words(words: str | Iterable[str]) -> tuple[str, ...]:
    """Return ``words`` as a tuple; a string is a single word."""
    return (words,) if isinstance(words, str) else tuple(words)
