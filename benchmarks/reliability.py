"""Cost of durability: syncs and their time, recovery; and simulated histories per second.

    python benchmarks/reliability.py [--nodes 3 200 10000] [--rounds 3] [--seeds 300]

Runs the engine in this process at an in-memory simulated site, so that only the engine and the journal are measured. The state is
in --directory (default: the current one, because an in-memory file system would make syncs free).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measure import machine, run, table
from scratch import scratch

from pragmaspec.access.ssh import SshClient
from pragmaspec.clock import SystemClock
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.context import ApplyContext
from pragmaspec.errors import ApplyIncompleteError, SiteUnreachableError
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.planner import make_plan, sites_needing_inventory
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedImage, WantedNodes
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.resources import Blob, Outputs, Readiness
from pragmaspec.site import SimulatedHost, SimulatedSite
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.local.disk import OsDisk
from pragmaspec.state.store import Store
from pragmaspec.state_model import State

KEY = StackKey(b"k" * 32)
REPOSITORY = Path(__file__).parents[1]
OPEN_INTENTS = 50
HEAD = (
    "the journal",
    "waves",
    "before calls / wave",
    "journal syncs",
    "others",
    "s in syncs",
    "apply s",
    "because of syncs",
    "nodes/s",
)


class MeteredDisk(OsDisk):
    """The real disk, with counted and timed syncs. Without ``real``, syncs are skipped, and nothing is durable."""

    def __init__(self, *, real: bool = True) -> None:
        self._real = real
        self.syncs = 0
        self.seconds = 0.0

    def fdatasync(self, handle: int) -> None:
        with self._metered():
            if self._real:
                super().fdatasync(handle)

    def fsync(self, handle: int) -> None:
        with self._metered():
            if self._real:
                super().fsync(handle)

    def fsync_directory(self, folder: Path) -> None:
        with self._metered():
            if self._real:
                super().fsync_directory(folder)

    @contextmanager
    def _metered(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.syncs += 1
        self.seconds += time.perf_counter() - began


class MeteredSite(SimulatedProvider):
    """Counts listings. ``losing``: the responses of boots are lost, and listings fail, so the results are unknown."""

    listings = 0
    losing = False

    def observe(self, lineage: str, recorded: State | None = None) -> Observations:
        self.listings += 1
        if self.losing and self.listings > 2:  # noqa: PLR2004 - that of the plan and the first one of the apply
            raise SiteUnreachableError("no listing")
        return super().observe(lineage, recorded)

    def boot(self, order: BootRequest) -> Outputs:
        outputs = super().boot(order)
        if self.losing:
            raise SiteUnreachableError("the answer was lost")
        return outputs


@dataclass(frozen=True)
class Applied:
    """Figures of one apply, from taking the lock to its release."""

    seconds: float
    waves: int
    intent_syncs: int
    journal_syncs: int
    syncs: int
    sync_seconds: float


class Stack:
    """A stack of ``nodes`` nodes at an in-memory site, with its state in ``directory``."""

    def __init__(self, directory: Path, nodes: int, *, durable: bool = True, identity: str = "ident") -> None:
        self.nodes = nodes
        self.disk = MeteredDisk(real=durable)
        backend = LocalBackend(directory / "state", self.disk)
        self.store = Store(backend, disk=self.disk, machine_directory=directory / "remembered")
        self._directory = directory
        self._site = SimulatedSite(
            name="lab",
            file=":memory:",
            identity=identity,  # type: ignore[arg-type]  # a kind
            window_s=300.0 if identity != "ident" else 0.0,
            host=SimulatedHost(cpus=2 * nodes + 8, memory_mib=1024 * (nodes + 8), disk_bytes=2**40),
            vlans=((20, 60),),
            parallel=16,
        )
        self.provider = MeteredSite(self._site, SystemClock(), SharedWorld(None))

    def apply(self) -> Applied:
        """Plan and apply; only the apply is measured."""
        before = (self.disk.syncs, self.disk.seconds)
        waves = intent_syncs = 0
        wanted = self._wanted()
        with self.store.session("benchmark") as session:
            intend = session.intend

            def counted(actions: list[object]) -> None:
                nonlocal waves, intent_syncs
                already = session.syncs
                intend(actions)  # type: ignore[arg-type]  # actions
                waves += bool(actions)
                intent_syncs += (session.syncs - already) if actions else 0

            session.intend = counted  # type: ignore[method-assign,assignment]  # to count
            state = session.state
            seen = {"lab": self.provider.observe(state.lineage)}
            asked = {name: self.provider.inventory() for name in sites_needing_inventory(wanted, state)}
            plan = make_plan(wanted, state, seen, asked)
            context = ApplyContext(
                session=session,
                providers={"lab": self.provider},
                wanted=wanted,
                files=_no_files,
                stack_key=KEY,
                remote=SshClient(state.lineage, KEY, self._directory / "ssh"),
            )
            began = time.perf_counter()
            apply_plan(plan, context)
            seconds = time.perf_counter() - began
            journal_syncs = session.syncs
        return Applied(seconds, waves, intent_syncs, journal_syncs, self.disk.syncs - before[0], self.disk.seconds - before[1])

    def _wanted(self) -> Wanted:
        blob = Blob(sha256="ab" * 32, size_bytes=2**20)
        image = WantedImage(
            name="blank", origin="benchmark", digest=blob.sha256, format="raw", disk=blob, virtual_size_bytes=2**20
        )
        one = WantedNodes(count=1, cpus=1, memory_mib=512, disk_bytes=2**20, image="blank")
        computes = WantedNodes(count=self.nodes - 1, cpus=1, memory_mib=512, disk_bytes=2**20, image="blank")
        cluster = WantedCluster(
            name="hello", site="lab", frontend=one, computes=computes, cidr="10.0.0.0/8", readiness=Readiness(when="none")
        )
        return Wanted(spec_file="cluster.yaml", spec_sha256="0" * 64, sites=(self._site,), images=(image,), clusters=(cluster,))


def _no_files(_image: WantedImage) -> ImageFiles:
    return ImageFiles(disk=Path("/nowhere"))


def fastest(directory: Path, nodes: int, rounds: int, *, durable: bool) -> Applied:
    """Return the fastest of several applies, each of a new stack."""
    applied = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            applied.append(Stack(Path(folder), nodes, durable=durable).apply())
    return min(applied, key=lambda each: each.seconds)


def journal_rows(directory: Path, sizes: list[int], rounds: int) -> list[tuple[str, ...]]:
    """Return a row per size: syncs of the journal (before the calls of a wave, and all), other syncs, and their cost."""
    rows = []
    for nodes in sizes:
        safe = fastest(directory, nodes, rounds, durable=True)
        unsafe = fastest(directory, nodes, rounds, durable=False)
        rows.append(
            (
                f"{nodes} nodes",
                str(safe.waves),
                f"{safe.intent_syncs / safe.waves:.1f}",
                str(safe.journal_syncs),
                str(safe.syncs - safe.journal_syncs),
                f"{safe.sync_seconds:.3f}",
                f"{safe.seconds:.2f}",
                f"{safe.seconds - unsafe.seconds:+.2f}",
                f"{nodes / safe.seconds:.0f}",
            )
        )
    return rows


def recovery_rows(directory: Path) -> list[tuple[str, ...]]:
    """Return a row per kind of site: the next run after one whose responses were all lost."""
    rows = []
    for identity in ("ident", "token", "tag"):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            stack = Stack(Path(folder), OPEN_INTENTS, identity=identity)
            stack.provider.losing = True
            try:
                stack.apply()
                sys.exit("No answer was lost.")
            except ApplyIncompleteError:
                pass
            found = {record.status for record in stack.store.read().records}
            stack.provider.losing, stack.provider.listings = False, 0
            again = stack.apply()
            assert {record.status for record in stack.store.read().records} == {"ready"}
            assert "pending" in found
            rows.append((identity, str(OPEN_INTENTS), str(stack.provider.listings), f"{again.seconds:.2f}"))
    return rows


def main() -> None:
    arguments = _arguments()
    print(f"{machine()}; the state in {arguments.directory.absolute()}\n")
    with scratch(arguments.directory) as folder:
        print(table(HEAD, journal_rows(folder, arguments.nodes, arguments.rounds)))
        print()
        print(table(("recovery, by kind of site", "open intents", "listings, including the plan", "s"), recovery_rows(folder)))
        print()
        simulation = run(
            [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{arguments.seeds}", "--jobs", "1"], cwd=REPOSITORY
        )
    rate = arguments.seeds / simulation.seconds
    print(f"simulation: {simulation.output.strip()}; {rate:.0f} histories per second in one process")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 200, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--directory", type=Path, default=Path())
    return parser.parse_args()


if __name__ == "__main__":
    main()
