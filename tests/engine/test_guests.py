"""What is asked of guests over ssh, with the commands run by a shell of this machine in place of a guest's."""

import subprocess
import threading
import time

import pytest
from msgspec.structs import replace

from pragmaspec.access.ssh import CommandResult, SshClient
from pragmaspec.clock import SystemClock
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.guests import SshGuests
from pragmaspec.engine.power_watch import PowerWatch
from pragmaspec.errors import AccessError, ApplyIncompleteError, HostKeyError, SiteUnreachableError
from pragmaspec.guest.contract.files import GuestFile
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.resources import Mark, Readiness
from tests.engine.fake_provider import KEY, SshGuestProvider, applying, bring_up, plan_for
from tests.state.local_store import LocalStore
from tests.state.samples import IMAGE, LINEAGE, act, node

FRONTEND, COMPUTE = node(-1), node(0)
MARK = Mark(lineage=LINEAGE, address=COMPUTE.address)


class Here(SshClient):
    """Runs everything on this machine, below ``folder`` where the guest's own folders are meant."""

    def __init__(self, folder):
        super().__init__(LINEAGE, KEY, folder / "ssh")
        self.folder = folder
        self.up = {FRONTEND.address, COMPUTE.address}
        self.refused = set()
        self.lost = 0
        self.asked = []
        self.sent = []
        self.install_status = 0
        (folder / "bin").mkdir()
        self.program("cloud-init", "echo status: error; echo detail: the disk is full")

    def program(self, name, text):
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def jump(self, node):
        return FRONTEND.address if node == COMPUTE.address else None

    def reachable(self, node):
        return node in self.up

    def answers(self, node, timeout_s=5.0):
        self.asked.append(node)
        return node in self.up

    def run(self, node, argv, stdin=b"", timeout_s=60.0, tick=None):
        if node in self.refused or self.lost:
            self.lost = max(0, self.lost - 1)
            raise AccessError("Ssh connection failed", f"{node}: Connection refused")
        if stdin:  # files for the guest: this machine keeps its own
            self.sent.append(node)
            return CommandResult(status=self.install_status, stdout=b"", stderr="read-only file system\n")
        where = str(self.folder / "run")
        script = [word.replace("/run/cloud-init", where).replace("/var/log", where) for word in argv]
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        try:
            done = subprocess.run(script, input=stdin, capture_output=True, timeout=timeout_s, env=environment, check=False)
        except subprocess.TimeoutExpired:
            raise AccessError("A command on a node took too long") from None
        return CommandResult(status=done.returncode, stdout=done.stdout, stderr=done.stderr.decode())


@pytest.fixture
def here(tmp_path):
    return Here(tmp_path)


@pytest.fixture
def guests(here):
    return SshGuests(here)


def _result(here, text):
    (here.folder / "run").mkdir(exist_ok=True)
    (here.folder / "run" / "result.json").write_text(text)


def _first_boot(guests, limit_s=10.0):
    return guests.first_boot(COMPUTE, MARK, limit_s, lambda: None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}', ""),
        ('{"v1": {"errors": ["the disk is full", "no route"]}}', "the disk is full; no route"),
        ('{"v1": {}}', ""),
        ("not json", "its result file cannot be read: b'not json'"),
    ],
)
def test_cloud_inits_own_result_decides(here, guests, text, error):
    _result(here, text)
    assert _first_boot(guests) == error


def test_the_result_is_waited_for(here, guests):
    writer = threading.Timer(0.3, lambda: _result(here, '{"v1": {"errors": []}}'))
    writer.start()
    assert _first_boot(guests) == ""
    writer.join()


def test_without_cloud_init_the_spec_must_not_wait_for_it(here, guests):
    (here.folder / "bin" / "cloud-init").unlink()
    assert "write `readiness: ssh`" in _first_boot(guests)


def test_a_guest_where_cloud_init_is_off_has_nothing_to_wait_for(here, guests):
    (here.folder / "run").mkdir()
    (here.folder / "run" / "disabled").touch()
    assert _first_boot(guests) == ""


def test_a_broken_connection_is_made_again_until_the_time_is_over(here, guests):
    _result(here, '{"v1": {"errors": []}}')
    here.lost = 1
    assert _first_boot(guests) == ""
    here.refused = {COMPUTE.address}
    with pytest.raises(AccessError, match="Ssh connection failed"):
        _first_boot(guests, 0.0)


def test_a_compute_is_asked_only_when_its_frontend_lets_us_in(here, guests):
    here.up = {COMPUTE.address}
    assert not guests.answers(COMPUTE, MARK)
    assert here.asked == [FRONTEND.address]
    here.up = {FRONTEND.address, COMPUTE.address}
    here.refused = {FRONTEND.address}
    assert not guests.answers(COMPUTE, MARK)
    here.refused = set()
    assert guests.answers(COMPUTE, MARK)
    here.asked.clear()
    assert guests.answers(COMPUTE, MARK)
    assert here.asked == [COMPUTE.address], "an open frontend is not asked again"


def test_one_of_those_who_wait_tries_the_frontend(here, guests):
    inside, go = threading.Event(), threading.Event()

    class Slow(Here):
        def answers(self, node, timeout_s=5.0):
            inside.set()
            assert go.wait(10)
            return super().answers(node)

    here.__class__ = Slow
    first = threading.Thread(target=lambda: guests.answers(COMPUTE, MARK))
    first.start()
    assert inside.wait(10)
    assert not guests.answers(COMPUTE, MARK)
    go.set()
    first.join()


def test_why_one_cannot_log_in(here, guests):
    assert guests.login(COMPUTE, MARK) == ""
    here.refused = {COMPUTE.address}
    assert guests.login(COMPUTE, MARK) == f"{COMPUTE.address}: Connection refused"
    here.refused = set()
    here.program("true", "echo no more space >&2; exit 9")
    assert guests.login(COMPUTE, MARK) == "the command `true` ended with status 9: no more space"


def test_the_guests_own_words(here, guests):
    assert guests.diagnosis(COMPUTE) == (), "never asked before one could log in"
    guests.login(COMPUTE, MARK)
    (here.folder / "run").mkdir()
    (here.folder / "run" / "cloud-init-output.log").write_text("Cloud-init v. 22.4 failed\n")
    assert guests.diagnosis(COMPUTE) == ("status: error", "detail: the disk is full", "Cloud-init v. 22.4 failed")
    here.refused = {COMPUTE.address}
    assert guests.diagnosis(COMPUTE) == ()


def test_files_that_cannot_be_installed_are_an_error(here, guests):
    files = [GuestFile(path="/etc/hosts", mode=0o644, content="127.0.0.1 localhost\n")]
    guests.update(COMPUTE, files)
    here.install_status = 1
    with pytest.raises(AccessError, match="hello-compute-0: the install command ended with status 1: read-only file system"):
        guests.update(COMPUTE, files)


def test_a_busy_guest_is_asked_again(here, guests):
    here.lost = 2
    guests.update(COMPUTE, [GuestFile(path="/etc/hosts", mode=0o644, content="127.0.0.1 localhost\n")])
    assert here.sent == [COMPUTE.address]


def test_another_machine_is_not_asked_again(here, guests):
    asked = []

    def run(node, argv, stdin=b"", timeout_s=60.0, tick=None):
        asked.append(node)
        raise HostKeyError("A node has a wrong host key")

    here.run = run
    with pytest.raises(HostKeyError):
        guests.update(COMPUTE, [])
    assert asked == [COMPUTE.address]


def test_a_site_that_does_not_answer_proves_nothing():
    site = SshGuestProvider()
    watch = PowerWatch(site, LINEAGE, SystemClock())
    assert watch.stopped(COMPUTE.address, time.monotonic())

    def unreachable(lineage):
        raise SiteUnreachableError("gone")

    site.observe = unreachable
    assert watch.stopped(COMPUTE.address, 0.0), "a fresh listing is used again"
    assert not watch.stopped(COMPUTE.address, time.monotonic()), "one from before the boot is not"


def test_a_machine_that_is_paused_is_not_said_to_have_stopped():
    site = SshGuestProvider()
    node = ObservedNode(address=COMPUTE.address, generation=0, status="paused", why="a disk error")
    site.observe = lambda lineage: Observations(site="lab", identity=site.identity(), nodes=(node,))
    watch = PowerWatch(site, LINEAGE, SystemClock())
    assert watch.stopped(COMPUTE.address, time.monotonic())
    assert watch.paused(COMPUTE.address) == "a disk error"
    assert watch.paused("lab/hello/node/another") is None


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "state")


def _apply(store, site, tmp_path, here, *actions):
    with applying(store, site, tmp_path, here) as context:
        return apply_plan(plan_for(context.session.state, *actions), context)


def _record(store, wanted):
    return store.read().record(wanted.address)


def test_guests_that_nobody_can_reach_are_ready_when_their_machine_runs(store, tmp_path, here):
    site = SshGuestProvider()
    here.up = set()
    _apply(store, site, tmp_path, here, *bring_up(1))
    assert all(len(seed) > 2048 for seed in site.seeds), "real guests get a seed"
    site._after = lambda verb, address: site.running.clear()
    with pytest.raises(ApplyIncompleteError, match="waited for the domain to run: its machine has stopped"):
        _apply(store, site, tmp_path, here, act("boot", COMPUTE))


def test_what_is_booted_as_it_was_left_keeps_its_seed(store, tmp_path, here):
    site = SshGuestProvider()
    here.up = set()
    _apply(store, site, tmp_path, here, *bring_up(1))
    _apply(store, site, tmp_path, here, replace(act("boot", COMPUTE), before=COMPUTE))
    assert site.seeds[-1] == b"", "the spec no longer says what it was told"


def test_a_cluster_is_ready_when_cloud_init_has_finished_everywhere(store, tmp_path, here):
    _result(here, '{"v1": {"errors": []}}')
    _apply(store, SshGuestProvider(), tmp_path, here, *bring_up(1))
    assert {record.status for record in store.read().records} == {"ready"}
    assert here.sent == [], "the first boot tells everything"


def test_cloud_inits_error_is_the_nodes_error(store, tmp_path, here):
    _result(here, '{"v1": {"errors": ["the disk is full"]}}')
    with pytest.raises(ApplyIncompleteError, match="waited for cloud-init: it reports: the disk is full") as caught:
        _apply(store, SshGuestProvider(), tmp_path, here, *bring_up(0))
    assert "the guest reports:\n  status: error\n  detail: the disk is full" in caught.value.problems[0].detail
    assert _record(store, FRONTEND).problem == "waited for cloud-init: it reports: the disk is full"


def test_cloud_init_has_its_time_and_no_more(store, tmp_path, here):
    quick = Readiness(timeout_s=1)
    with pytest.raises(ApplyIncompleteError, match="waited for cloud-init: it did not finish within 1 s"):
        _apply(store, SshGuestProvider(), tmp_path, here, *bring_up(0, readiness=quick))


def test_a_node_that_need_not_be_ready_is_not_waited_for(store, tmp_path, here):
    here.refused = {FRONTEND.address, COMPUTE.address}
    _apply(store, SshGuestProvider(), tmp_path, here, *bring_up(1, readiness=Readiness(when="none")))
    assert here.asked == []


def test_a_node_that_need_not_be_ready_is_rebooted_without_its_guest(store, tmp_path, here):
    site, quick = SshGuestProvider(), Readiness(when="none")
    _apply(store, site, tmp_path, here, *bring_up(0, readiness=quick))
    here.refused = {FRONTEND.address}
    larger = replace(FRONTEND, readiness=quick, memory_mib=2048)
    down = replace(act("shutdown", larger), before=larger)
    _apply(store, site, tmp_path, here, down, replace(act("boot", larger, down), before=larger))
    assert here.asked == []
    assert _record(store, FRONTEND).status == "ready"


@pytest.fixture
def up(store, tmp_path, here):
    """A cluster that is up."""
    _result(here, '{"v1": {"errors": []}}')
    site = SshGuestProvider()
    _apply(store, site, tmp_path, here, *bring_up(1))
    return site


def test_a_running_guest_is_told_what_changed(store, tmp_path, here, up):
    changed = node(0, keys="k2")
    _apply(store, up, tmp_path, here, act("update", changed))
    assert here.sent == [COMPUTE.address]
    assert _record(store, COMPUTE).resource == changed


def test_a_guest_that_cannot_be_told_is_told_by_the_next_apply(store, tmp_path, here, up):
    here.refused = {COMPUTE.address}
    changed = node(0, keys="k2")
    with pytest.raises(ApplyIncompleteError, match=r"update hello-compute-0 at site lab: .*Connection refused"):
        _apply(store, up, tmp_path, here, act("update", changed))
    assert _record(store, COMPUTE).resource == COMPUTE, "so that the next plan sees the difference"


def test_a_reboot_tells_what_the_disk_does_not_know(store, tmp_path, here, up):
    changed = replace(node(0, keys="k2"), memory_mib=2048)
    down = replace(act("shutdown", COMPUTE), before=COMPUTE)
    here.install_status = 1
    with pytest.raises(ApplyIncompleteError):
        _apply(store, up, tmp_path, here, down, replace(act("boot", changed, down), before=COMPUTE))
    record = _record(store, COMPUTE)
    assert (record.status, record.resource) == ("degraded", replace(changed, keys="", peers=""))
    here.install_status = 0
    here.sent.clear()
    _apply(store, up, tmp_path, here, act("boot", changed))
    assert here.sent == [COMPUTE.address]
    assert _record(store, COMPUTE).resource == changed


def test_a_guest_that_was_off_is_told_what_it_missed(store, tmp_path, here, up):
    _apply(store, up, tmp_path, here, act("shutdown", node(0, running=False)))
    _apply(store, up, tmp_path, here, act("boot", COMPUTE))
    assert here.sent == [COMPUTE.address]


def test_an_image_that_left_the_spec_cannot_be_staged(store, tmp_path, here):
    other = replace(IMAGE, digest="cd" * 32)
    with pytest.raises(ApplyIncompleteError, match="the spec no longer has a source for it"):
        _apply(store, SshGuestProvider(), tmp_path, here, act("stage", other))
