"""SIGKILL at every failpoint and every sync of an apply; after the next apply the records must equal the observed resources."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.resources import Blob
from pragmaspec.site import LibvirtSite, Overcommit, SimulatedSite, Site
from tests.engine.subprocess_apply import LINEAGE, SubprocessApply

COMING = [
    "engine.begin",
    "engine.looked",
    "engine.recovered",
    "engine.before-intents",
    "engine.after-intents",
    "engine.stage.leaves",
    "engine.stage.answered",
    "engine.stage.ended",
    "engine.allocate.leaves",
    "engine.allocate.answered",
    "engine.allocate.ended",
    "engine.boot.leaves",
    "engine.boot.answered",
    "engine.bound",
    "engine.boot.ready",
    "engine.boot.ended",
    "engine.before-checkpoint",
    "engine.after-checkpoint",
    "store.journal.create",
    "store.journal.write",
    "store.journal.sync",
    "store.journal.synced",
    "store.snapshot.write",
    "store.replace.rename",
    "store.replace.sync",
    "store.snapshot.written",
]
GOING = [
    "engine.shutdown.leaves",
    "engine.shutdown.answered",
    "engine.shutdown.ended",
    "engine.clean.leaves",
    "engine.clean.answered",
    "engine.clean.ended",
    "engine.update.leaves",
    "engine.update.answered",
    "engine.update.ended",
    "store.snapshot.keep",
    "store.journal.unlink",
]
LIBVIRT_COMING = [
    "libvirt.image.used",
    "libvirt.image.part-made",
    "libvirt.image.part-filled",
    "libvirt.image.complete",
    "libvirt.network.defined",
    "libvirt.network.started",
    "libvirt.disk.made",
    "libvirt.seed.made",
    "libvirt.domain.defined",
]
LIBVIRT_GOING = ["libvirt.domain.stopped", "libvirt.domain.undefined", "libvirt.volume.removed"]
"""Failpoints: (LIBVIRT_)COMING are reached while a cluster is created, (LIBVIRT_)GOING while it is changed or cleaned."""


@pytest.fixture(scope="module")
def applies() -> Iterator[SubprocessApply]:
    with SubprocessApply() as applies:
        yield applies


@pytest.fixture
def home(tmp_path: Path) -> Path:
    content = os.urandom(16) * 4096
    (tmp_path / "disk.raw").write_bytes(content)
    blob = Blob(sha256=sha256(content).hexdigest(), size_bytes=len(content))
    (tmp_path / "image.json").write_bytes(msgspec.json.encode(blob))
    return tmp_path


def simulated_site(home: Path) -> Site:
    return SimulatedSite(name="lab", file=str(home / "site.jsonl"))


def libvirt_test_site(home: Path) -> Site:
    return LibvirtSite(name="lab", uri="test:///default", overcommit=Overcommit(memory=10.0))


def late_site(home: Path) -> Site:
    return SimulatedSite(name="lab", file=str(home / "site.jsonl"), late=("macs", "private", "public"))


def check_equal(done: dict[str, Any] | None) -> None:
    """Recorded and observed resources are equal, and all are ready."""
    assert done is not None
    assert done["recorded"] == done["observed"]
    assert done["allocations"][0] == done["allocations"][1]
    assert done["images"][0] == done["images"][1]
    assert done["volumes"][0] == done["volumes"][1]
    assert done["disks"][0] == done["disks"][1]
    assert done["statuses"] in ([], ["ready"])
    assert done["ops"], "each creation has its own op"


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", COMING)
def test_apply_recovers_from_a_kill_while_creating_a_cluster(applies: SubprocessApply, home: Path, point: str, nth: int) -> None:
    killed = applies.apply(home, simulated_site(home), "small", f"{point}:{nth}:kill")
    assert killed is None or nth > 1, "the point was not reached"
    check_equal(applies.apply(home, simulated_site(home), "small"))


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", GOING)
def test_apply_recovers_from_a_kill_while_changing_a_cluster(applies: SubprocessApply, home: Path, point: str, nth: int) -> None:
    check_equal(applies.apply(home, simulated_site(home), "small"))
    killed = applies.apply(home, simulated_site(home), "changed", f"{point}:{nth}:kill")
    assert killed is None or nth > 1, "the point was not reached"
    check_equal(applies.apply(home, simulated_site(home), "changed"))


@pytest.mark.parametrize("point", [*COMING, *LIBVIRT_COMING])
def test_apply_recovers_from_a_kill_with_the_libvirt_test_driver(applies: SubprocessApply, home: Path, point: str) -> None:
    """The resources of the test driver are lost with the process, so all are created again."""
    assert applies.apply(home, libvirt_test_site(home), "small", f"{point}:1:kill") is None
    check_equal(applies.apply(home, libvirt_test_site(home), "small"))


def check_late_values(done: dict[str, Any] | None) -> None:
    """The values that the site has chosen are recorded, all guests know them, and nothing is left to do."""
    check_equal(done)
    assert done is not None
    assert done["values"][0] == done["values"][1]
    assert done["left"] == []


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize(
    "point",
    [
        "engine.assigned",
        *(point for point in COMING if point.startswith(("engine.allocate", "engine.bo"))),
        *(point for point in GOING if point.startswith("engine.update")),
    ],
)
def test_apply_recovers_from_a_kill_with_addresses_of_the_site(
    applies: SubprocessApply, home: Path, point: str, nth: int
) -> None:
    """The address has come back, or has not; it is recorded, or is not: the next apply finds the same one."""
    killed = applies.apply(home, late_site(home), "small", f"{point}:{nth}:kill")
    assert killed is None or (nth > 1 and "allocate" in point), "the point was not reached"
    before = applies.values(home, late_site(home))
    done = applies.apply(home, late_site(home), "small")
    check_late_values(done)
    assert done is not None
    assert all(value in done["values"][1][0] for value in before), "the addresses of the machines have not changed"


@pytest.mark.parametrize("point", ["engine.assigned", "engine.bound", "engine.boot.ended", *GOING[:9]])
def test_apply_recovers_from_a_kill_while_changing_a_cluster_with_addresses_of_the_site(
    applies: SubprocessApply, home: Path, point: str
) -> None:
    check_late_values(applies.apply(home, late_site(home), "pair"))
    killed = applies.apply(home, late_site(home), "larger", f"{point}:1:kill")
    assert killed is None or "clean" in point or "shutdown" in point, "the point was not reached"
    check_late_values(applies.apply(home, late_site(home), "larger"))


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", [point for point in COMING if point.startswith(("engine.allocate", "engine.boot"))])
def test_apply_recovers_from_a_kill_while_creating_a_volume(applies: SubprocessApply, home: Path, point: str, nth: int) -> None:
    killed = applies.apply(home, simulated_site(home), "disks", f"{point}:{nth}:kill")
    assert killed is None or nth > 1, "the point was not reached"
    done = applies.apply(home, simulated_site(home), "disks")
    check_equal(done)
    assert done is not None
    assert done["volumes"][0] == [["lab/volume/hello-frontend-home", 2**20]]


@pytest.mark.parametrize(
    "point", [*(point for point in GOING if "clean" not in point), "engine.allocate.answered", "engine.boot.answered"]
)
def test_apply_recovers_from_a_kill_while_changing_disks(applies: SubprocessApply, home: Path, point: str) -> None:
    """A disk that is neither removed nor recorded is drift, which one more apply removes."""
    check_equal(applies.apply(home, simulated_site(home), "disks"))
    applies.apply(home, simulated_site(home), "other disks", f"{point}:1:kill")
    applies.apply(home, simulated_site(home), "other disks")
    done = applies.apply(home, simulated_site(home), "other disks")
    check_equal(done)
    assert done is not None
    assert done["volumes"][0] == [["lab/volume/hello-frontend-home", 2**21]]
    done = applies.apply(home, simulated_site(home), "nothing")
    check_equal(done)
    assert done is not None
    assert done["volumes"][0] == [["lab/volume/hello-frontend-home", 2**21]], "no removal concerns a volume"


@pytest.mark.parametrize("point", ["libvirt.volume.made", "libvirt.extra-disk.made"])
def test_apply_recovers_from_a_kill_with_disks_of_the_libvirt_test_driver(
    applies: SubprocessApply, home: Path, point: str
) -> None:
    assert applies.apply(home, libvirt_test_site(home), "disks", f"{point}:1:kill") is None
    check_equal(applies.apply(home, libvirt_test_site(home), "disks"))


def test_apply_recovers_from_repeated_kills_during_recovery(applies: SubprocessApply, home: Path) -> None:
    for point in ("engine.boot.answered:2", "engine.recovered:1", "engine.after-intents:1", "engine.boot.leaves:3"):
        assert applies.apply(home, simulated_site(home), "small", f"{point}:kill") is None
    check_equal(applies.apply(home, simulated_site(home), "small"))


def test_apply_recovers_from_a_kill_when_the_spec_has_changed(applies: SubprocessApply, home: Path) -> None:
    for spec in ("off", "nothing"):
        assert applies.apply(home, simulated_site(home), "small", "engine.boot.answered:2:kill") is None
        check_equal(applies.apply(home, simulated_site(home), spec))


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
@pytest.mark.parametrize("spec", ["small", "changed"])
def test_apply_recovers_from_a_kill_at_every_sync(applies: SubprocessApply, home: Path, spec: str, call: str) -> None:
    """With strace, which sends the signal inside the system call."""
    before = home / "before"
    before.mkdir()
    for name in ("disk.raw", "image.json"):
        (home / name).rename(before / name)
    if spec == "changed":
        check_equal(applies.apply(before, simulated_site(before), "small"))
    nth = 1
    while True:
        attempt = home / f"{nth}"
        shutil.copytree(before, attempt)
        killed = _killed_at(attempt, spec, call, nth)
        check_equal(applies.apply(attempt, simulated_site(attempt), spec))
        if not killed:
            break
        nth += 1
    assert nth > 2, "more than one sync makes an apply durable"


def _killed_at(home: Path, spec: str, call: str, nth: int) -> bool:
    order = {
        "directory": str(home),
        "site": msgspec.to_builtins(simulated_site(home)),
        "spec": spec,
        "failpoint": "",
        "lineage": LINEAGE.format(0),
    }
    script = f"from tests.engine.subprocess_apply import apply_order; apply_order({order!r})"
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", f"--inject={call}:signal=KILL:when={nth}"]
    done = subprocess.run([*trace, sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


LIMIT = 2100
"""Size of user-data into which the files about 17 members do not fit."""


def cloud(home: Path, limit: int = LIMIT) -> Site:
    return SimulatedSite(name="lab", file=str(home / "site.jsonl"), user_data_limit=limit)


@pytest.mark.parametrize("limit", [LIMIT, 10 * LIMIT])
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", ["leaves", "answered", "ready", "updated", "ended"])
def test_what_did_not_fit_into_user_data_arrives_despite_a_kill(
    applies: SubprocessApply, home: Path, point: str, nth: int, limit: int
) -> None:
    """Also if the limit was raised meanwhile, so that it would fit now: existing machines keep their user-data."""
    assert applies.apply(home, cloud(home), "told", f"engine.boot.{point}:{nth}:kill") is None
    done = applies.apply(home, cloud(home, limit), "told")
    check_equal(done)
    assert done is not None
    assert len(done["told"]) == 17
    for size, received in done["told"].values():
        assert received if size <= LIMIT else size <= limit


@pytest.mark.parametrize("point", ["boot.answered", "assigned", "bound", "boot.ready", "boot.updated", "update.answered"])
def test_addresses_and_what_did_not_fit_into_user_data_arrive_despite_a_kill(
    applies: SubprocessApply, home: Path, point: str
) -> None:
    """A cloud that chooses addresses itself: the members of the cluster are complete after the last boot."""
    site = replace(cloud(home), late=("macs", "private", "public"))
    assert applies.apply(home, site, "told", f"engine.{point}:2:kill") is None
    done = applies.apply(home, site, "told")
    check_equal(done)
    assert done is not None
    assert [received for _, received in done["told"].values()] == [True] * 17
