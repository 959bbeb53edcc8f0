"""Guest access over ssh, with the commands run on this machine."""

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
from pragmaspec.engine.reporter import Reporter
from pragmaspec.errors import AccessError, ApplyIncompleteError, HostKeyError, SiteUnreachableError
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.resources import Mark, Readiness
from tests.engine.fake_provider import KEY, SshGuestProvider, applying, bring_up, plan_for
from tests.state.samples import IMAGE, LINEAGE, act, node

FRONTEND, COMPUTE = node(-1), node(0)
MARK = Mark(lineage=LINEAGE, address=COMPUTE.address)


class LocalSshClient(SshClient):
    """Runs all commands on this machine, with the guest's directories below ``folder``."""

    def __init__(self, folder):
        super().__init__(LINEAGE, KEY, folder / "ssh")
        self.folder = folder
        self.up = {FRONTEND.address, COMPUTE.address}
        self.refused = set()
        self.lost = 0
        self.probed = []
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
        self.probed.append(node)
        return node in self.up

    def run(self, node, argv, stdin=b"", timeout_s=60.0, tick=None):
        if node in self.refused or self.lost:
            self.lost = max(0, self.lost - 1)
            raise AccessError("Ssh connection failed", f"{node}: Connection refused")
        if stdin:  # file installations are counted, not performed
            self.sent.append(node)
            return CommandResult(status=self.install_status, stdout=b"", stderr="read-only file system\n")
        where = str(self.folder / "run")
        replaced = (
            ("/run/cloud-init", where),
            ("/var/log", where),
            ("/run/pragmaspec", f"{where}/pragmaspec"),
            ("/usr/local/sbin", where),
        )
        script = list(argv)
        for old, new in replaced:
            script = [word.replace(old, new) for word in script]
        environment = {"PATH": f"{self.folder}/bin:/usr/bin:/bin"}
        try:
            done = subprocess.run(script, input=stdin, capture_output=True, timeout=timeout_s, env=environment, check=False)
        except subprocess.TimeoutExpired:
            raise AccessError("A command on a node took too long") from None
        return CommandResult(status=done.returncode, stdout=done.stdout, stderr=done.stderr.decode())


@pytest.fixture
def remote(tmp_path):
    return LocalSshClient(tmp_path)


@pytest.fixture
def guests(remote):
    return SshGuests(remote)


def _result(remote, text):
    (remote.folder / "run").mkdir(exist_ok=True)
    (remote.folder / "run" / "result.json").write_text(text)


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
def test_the_cloud_init_result_file_decides_first_boot(remote, guests, text, error):
    _result(remote, text)
    assert _first_boot(guests) == error


def test_setup_scripts_that_failed_are_tried_again(remote, guests):
    _result(remote, '{"v1": {"errors": []}}')
    note, users = (remote.folder / "run" / name for name in ("pragmaspec-setup-failed", "pragmaspec-users"))
    users.write_text("#!/bin/sh\necho pragmaspec-users: user ada is left alone >&2\nexit 1\n")
    users.chmod(0o755)
    assert _first_boot(guests) == "", "without the note the scripts have succeeded, and are not run"
    note.touch()
    assert _first_boot(guests) == "users or disks could not be set up: pragmaspec-users: user ada is left alone"
    users.write_text("#!/bin/sh\n")
    assert _first_boot(guests) == ""
    assert not note.exists()


def test_first_boot_waits_for_the_cloud_init_result(remote, guests):
    writer = threading.Timer(0.3, lambda: _result(remote, '{"v1": {"errors": []}}'))
    writer.start()
    assert _first_boot(guests) == ""
    writer.join()


def test_a_guest_without_cloud_init_gets_a_readiness_hint(remote, guests):
    (remote.folder / "bin" / "cloud-init").unlink()
    assert "write `readiness: ssh`" in _first_boot(guests)


def test_first_boot_does_not_wait_when_cloud_init_is_disabled(remote, guests):
    (remote.folder / "run").mkdir()
    (remote.folder / "run" / "disabled").touch()
    assert _first_boot(guests) == ""


def test_a_broken_connection_is_retried_until_the_time_limit(remote, guests):
    _result(remote, '{"v1": {"errors": []}}')
    remote.lost = 1
    assert _first_boot(guests) == ""
    remote.refused = {COMPUTE.address}
    with pytest.raises(AccessError, match="Ssh connection failed"):
        _first_boot(guests, 0.0)


def test_a_compute_is_probed_only_after_its_frontend_accepts_a_login(remote, guests):
    remote.up = {COMPUTE.address}
    assert not guests.answers(COMPUTE, MARK)
    assert remote.probed == [FRONTEND.address]
    remote.up = {FRONTEND.address, COMPUTE.address}
    remote.refused = {FRONTEND.address}
    assert not guests.answers(COMPUTE, MARK)
    remote.refused = set()
    assert guests.answers(COMPUTE, MARK)
    remote.probed.clear()
    assert guests.answers(COMPUTE, MARK)
    assert remote.probed == [COMPUTE.address], "a frontend that accepts logins is not probed again"


def test_only_one_waiting_node_probes_the_frontend_at_a_time(remote, guests):
    inside, go = threading.Event(), threading.Event()

    class Slow(LocalSshClient):
        def answers(self, node, timeout_s=5.0):
            inside.set()
            assert go.wait(10)
            return super().answers(node)

    remote.__class__ = Slow
    first = threading.Thread(target=lambda: guests.answers(COMPUTE, MARK))
    first.start()
    assert inside.wait(10)
    assert not guests.answers(COMPUTE, MARK)
    go.set()
    first.join()


def test_a_failed_login_returns_its_reason(remote, guests):
    assert guests.login(COMPUTE, MARK) == ""
    remote.refused = {COMPUTE.address}
    assert guests.login(COMPUTE, MARK) == f"{COMPUTE.address}: Connection refused"
    remote.refused = set()
    remote.program("true", "echo no more space >&2; exit 9")
    assert guests.login(COMPUTE, MARK) == "the command `true` ended with status 9: no more space"


def test_the_diagnosis_contains_cloud_init_status_and_log(remote, guests):
    assert guests.diagnosis(COMPUTE) == (), "no diagnosis before the first login"
    guests.login(COMPUTE, MARK)
    (remote.folder / "run").mkdir()
    (remote.folder / "run" / "cloud-init-output.log").write_text("Cloud-init v. 22.4 failed\n")
    assert guests.diagnosis(COMPUTE) == ("status: error", "detail: the disk is full", "Cloud-init v. 22.4 failed")
    remote.refused = {COMPUTE.address}
    assert guests.diagnosis(COMPUTE) == ()


def test_a_failed_file_installation_is_an_error(remote, guests):
    files = [GuestFile(path="/etc/hosts", mode=0o644, content="127.0.0.1 localhost\n")]
    guests.update(COMPUTE, MARK, files)
    remote.install_status = 1
    with pytest.raises(AccessError, match="hello-compute-0: the install command ended with status 1: read-only file system"):
        guests.update(COMPUTE, MARK, files)


def test_an_update_is_retried_after_a_lost_connection(remote, guests):
    remote.lost = 2
    guests.update(COMPUTE, MARK, [GuestFile(path="/etc/hosts", mode=0o644, content="127.0.0.1 localhost\n")])
    assert remote.sent == [COMPUTE.address]


def test_an_update_is_not_retried_after_a_host_key_error(remote, guests):
    attempts = []

    def run(node, argv, stdin=b"", timeout_s=60.0, tick=None):
        attempts.append(node)
        raise HostKeyError("A node has a wrong host key")

    remote.run = run
    with pytest.raises(HostKeyError):
        guests.update(COMPUTE, MARK, [])
    assert attempts == [COMPUTE.address]


def test_an_unreachable_site_does_not_mean_a_stopped_machine():
    site = SshGuestProvider()
    watch = PowerWatch(site, LINEAGE, SystemClock())
    assert watch.stopped(COMPUTE.address, time.monotonic())

    def unreachable(lineage):
        raise SiteUnreachableError("gone")

    site.observe = unreachable
    assert watch.stopped(COMPUTE.address, 0.0), "a recent listing is reused"
    assert not watch.stopped(COMPUTE.address, time.monotonic()), "a listing older than the boot is not"


def test_a_paused_machine_is_reported_with_its_reason():
    site = SshGuestProvider()
    node = ObservedNode(address=COMPUTE.address, generation=0, status="paused", why="a disk error")
    site.observe = lambda lineage: Observations(site="lab", identity=site.identity(), nodes=(node,))
    watch = PowerWatch(site, LINEAGE, SystemClock())
    assert watch.stopped(COMPUTE.address, time.monotonic())
    assert watch.paused(COMPUTE.address) == "a disk error"
    assert watch.paused("lab/hello/node/another") is None


def _apply(store, site, tmp_path, remote, *actions):
    with applying(store, site, tmp_path, remote) as context:
        return apply_plan(plan_for(context.session.state, *actions), context)


def _record(store, wanted):
    return store.read().record(wanted.address)


def test_an_unreachable_guest_is_ready_when_its_machine_runs(store, tmp_path, remote):
    site = SshGuestProvider()
    remote.up = set()
    _apply(store, site, tmp_path, remote, *bring_up(1))
    assert all(len(seed) > 2048 for seed in site.seeds), "real guests get a seed"
    site._after = lambda verb, address: site.running.clear()
    with pytest.raises(ApplyIncompleteError, match="waited for the domain to run: its machine has stopped"):
        _apply(store, site, tmp_path, remote, act("boot", COMPUTE))


def test_booting_an_unchanged_node_sends_no_new_seed(store, tmp_path, remote):
    site = SshGuestProvider()
    remote.up = set()
    _apply(store, site, tmp_path, remote, *bring_up(1))
    _apply(store, site, tmp_path, remote, replace(act("boot", COMPUTE), before=COMPUTE))
    assert site.seeds[-1] == b"", "the spec no longer matches the recorded digests"


def test_a_cluster_is_ready_when_cloud_init_has_finished_on_every_node(store, tmp_path, remote):
    _result(remote, '{"v1": {"errors": []}}')
    _apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(1))
    assert {record.status for record in store.read().records} == {"ready"}
    assert remote.sent == [], "the seed contains all files"


def test_a_frontend_that_cannot_be_updated_is_still_the_way_to_its_computes(store, tmp_path, remote):
    site = SshGuestProvider()
    _result(remote, '{"v1": {"errors": []}}')
    _apply(store, site, tmp_path, remote, *bring_up(0))
    (remote.folder / "run" / "result.json").unlink()
    remote.install_status = 1

    class FinishingCompute(Reporter):
        def failed(self, action, error):
            _result(remote, '{"v1": {"errors": []}}')

    actions = [act("update", replace(FRONTEND, keys="k2")), act("boot", COMPUTE)]
    with applying(store, site, tmp_path, remote) as context, pytest.raises(ApplyIncompleteError) as caught:
        apply_plan(plan_for(context.session.state, *actions), context, FinishingCompute())
    assert [problem.summary for problem in caught.value.problems] == ["A node could not be updated"]
    assert _record(store, COMPUTE).status == "ready"


def test_a_cloud_init_error_is_recorded_as_the_problem_of_the_node(store, tmp_path, remote):
    _result(remote, '{"v1": {"errors": ["the disk is full"]}}')
    with pytest.raises(ApplyIncompleteError, match="waited for cloud-init: it reports: the disk is full") as caught:
        _apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(0))
    assert "the guest reports:\n  status: error\n  detail: the disk is full" in caught.value.problems[0].detail
    assert _record(store, FRONTEND).problem == "waited for cloud-init: it reports: the disk is full"


def test_the_wait_for_cloud_init_ends_at_the_timeout(store, tmp_path, remote):
    quick = Readiness(timeout_s=1)
    with pytest.raises(ApplyIncompleteError, match="waited for cloud-init: it did not finish within 1 s"):
        _apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(0, readiness=quick))


def test_readiness_none_skips_the_readiness_wait(store, tmp_path, remote):
    remote.refused = {FRONTEND.address, COMPUTE.address}
    _apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(1, readiness=Readiness(when="none")))
    assert remote.probed == []


def test_a_reboot_with_readiness_none_does_not_contact_the_guest(store, tmp_path, remote):
    site, quick = SshGuestProvider(), Readiness(when="none")
    _apply(store, site, tmp_path, remote, *bring_up(0, readiness=quick))
    remote.refused = {FRONTEND.address}
    larger = replace(FRONTEND, readiness=quick, memory_mib=2048)
    down = replace(act("shutdown", larger), before=larger)
    _apply(store, site, tmp_path, remote, down, replace(act("boot", larger, down), before=larger))
    assert remote.probed == []
    assert _record(store, FRONTEND).status == "ready"


@pytest.fixture
def up(store, tmp_path, remote):
    """A cluster that is up."""
    _result(remote, '{"v1": {"errors": []}}')
    site = SshGuestProvider()
    _apply(store, site, tmp_path, remote, *bring_up(1))
    return site


def test_a_live_update_installs_files_on_the_changed_node(store, tmp_path, remote, up):
    changed = node(0, keys="k2")
    _apply(store, up, tmp_path, remote, act("update", changed))
    assert remote.sent == [COMPUTE.address]
    assert _record(store, COMPUTE).resource == changed


def test_a_failed_live_update_keeps_the_old_record(store, tmp_path, remote, up):
    remote.refused = {COMPUTE.address}
    changed = node(0, keys="k2")
    with pytest.raises(ApplyIncompleteError, match=r"update hello-compute-0 at site lab: .*Connection refused"):
        _apply(store, up, tmp_path, remote, act("update", changed))
    assert _record(store, COMPUTE).resource == COMPUTE, "so the next plan contains the update"


def test_a_reboot_updates_the_guest_files_and_a_failure_is_retried(store, tmp_path, remote, up):
    changed = replace(node(0, keys="k2"), memory_mib=2048)
    down = replace(act("shutdown", COMPUTE), before=COMPUTE)
    remote.install_status = 1
    with pytest.raises(ApplyIncompleteError):
        _apply(store, up, tmp_path, remote, down, replace(act("boot", changed, down), before=COMPUTE))
    record = _record(store, COMPUTE)
    assert (record.status, record.resource) == ("degraded", replace(changed, keys="", peers=""))
    remote.install_status = 0
    remote.sent.clear()
    _apply(store, up, tmp_path, remote, act("boot", changed))
    assert remote.sent == [COMPUTE.address]
    assert _record(store, COMPUTE).resource == changed


def test_booting_a_stopped_guest_updates_its_files(store, tmp_path, remote, up):
    _apply(store, up, tmp_path, remote, act("shutdown", node(0, running=False)))
    _apply(store, up, tmp_path, remote, act("boot", COMPUTE))
    assert remote.sent == [COMPUTE.address]


def test_an_image_removed_from_the_spec_cannot_be_staged(store, tmp_path, remote):
    other = replace(IMAGE, digest="cd" * 32)
    with pytest.raises(ApplyIncompleteError, match="the spec no longer has a source for it"):
        _apply(store, SshGuestProvider(), tmp_path, remote, act("stage", other))
