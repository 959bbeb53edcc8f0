"""``--dry-run`` of every command that changes sites: its plan is the one that would be applied, and can be saved."""

import fcntl
import threading

import pytest

from tests.cli.harness import CommandLine

VERBS = (("shutdown", "hello"), ("boot", "hello"), ("clean", "hello", "--shutdown"), ("apply",))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_dry_run_shows_the_plan_and_changes_nothing(cli: CommandLine, verb: tuple[str, ...]) -> None:
    cli.running()
    if verb[0] == "boot":
        cli("shutdown", "hello")
    if verb[0] == "apply":
        cli.spec(3)
    state = (cli.directory / "state" / "cluster" / "state.json").read_bytes()
    shown = cli(*verb, "--dry-run", "--json").json
    assert (shown["kind"], shown["changes"]) == ("plan", True)
    assert cli(*verb, "--dry-run", "--detailed-exitcode", "--verbose", status=2).out.lower().count("plan: ") == 1
    assert (cli.directory / "state" / "cluster" / "state.json").read_bytes() == state
    yes = ("--auto-approve",) if verb[0] == "apply" else ()
    assert cli(*verb, *yes, "--json").json["plan"]["actions"] == shown["actions"]
    assert not cli(*verb, "--dry-run", "--detailed-exitcode", "--json").json["changes"]


@pytest.mark.parametrize("verb", VERBS[:3], ids=lambda verb: verb[0])
def test_a_saved_dry_run_is_applied_exactly(cli: CommandLine, verb: tuple[str, ...]) -> None:
    cli.running()
    if verb[0] == "boot":
        cli("shutdown", "hello")
    assert "Saved as verb.plan" in cli(*verb, "--dry-run", "--out", "verb.plan").err
    (cli.directory / "disk.raw").unlink()
    cli("apply", "verb.plan", "-y")
    assert "stale" in cli("apply", "verb.plan", "-y", status=4).err


def test_a_dry_run_is_refused_like_its_command(cli: CommandLine) -> None:
    cli.running()
    assert "--shutdown" in cli("clean", "hello", "--dry-run", status=4).err
    cli("shutdown", "nothing", "--dry-run", status=64)
    assert "--out requires --dry-run" in cli("clean", "hello", "--out", "x", status=64).err
    assert "--detailed-exitcode requires --dry-run" in cli("boot", "hello", "--detailed-exitcode", status=64).err
    cli("plan", "--out", "saved.plan")
    assert "not available for a saved plan" in cli("apply", "saved.plan", "--dry-run", status=64).err


def test_a_saved_clean_does_not_remove_protected_clusters(cli: CommandLine) -> None:
    cli.running(protect="true")
    cli("clean", "hello", "--shutdown", "--dry-run", "--out", "gone.plan")
    assert "--allow protected" in cli("apply", "gone.plan", "-y", status=4).err
    cli("apply", "gone.plan", "-y", "--allow", "protected")
    assert "No clusters" in cli("list", "cluster").out


def test_a_node_is_replaced_by_name(cli: CommandLine) -> None:
    cli.running()
    assert "REBUILD: hello-compute-0 gets a new disk.\n" in cli("plan", "--replace", "hello-compute-0").out
    cli("plan", "--replace", "hello-compute-0", "--out", "anew.plan")
    assert "--replace" in cli("apply", "anew.plan", "--replace", "hello", status=64).err
    cli("apply", "anew.plan", "-y")
    assert cli("show", "hello-compute-0", "--json").json["record"]["generation"] == 1
    cli("apply", "--replace", "hello-compute-*", "-y")
    assert cli("show", "hello-compute-0", "--json").json["record"]["generation"] == 2
    assert "Did you mean hello-compute-0?" in cli("plan", "--replace", "hello-compute0", status=64).err


@pytest.mark.parametrize(
    "verb", [*VERBS, ("forget",), ("orphans", "--adopt", "x"), ("state", "rm", "hello")], ids=lambda verb: verb[0]
)
def test_every_locking_command_has_a_lock_timeout(cli: CommandLine, verb: tuple[str, ...]) -> None:
    cli.spec()
    assert "write 5 min" in cli(*verb, "--lock-timeout", "5m", status=64).err


def test_a_command_waits_for_another_run(cli: CommandLine) -> None:
    cli.running()
    with (cli.directory / "state" / "cluster" / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid":7,"user":"ann","host":"h","since":"2026-01-01T00:00:00+00:00","command":"apply"}')
        lock.flush()
        assert "`apply`" in cli("shutdown", "hello", status=3).err
        waited = cli("shutdown", "hello", "--lock-timeout", "200ms", status=3).err
        assert "Waiting up to" in waited
        assert "Waited 0.2 s for it" in waited
        threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        assert "process 7 of ann" in cli("shutdown", "hello", "--lock-timeout", "10 min").err


def test_migrate_waits_for_both_locks(cli: CommandLine) -> None:
    cli.running()
    cli("state", "migrate", "./other", "-y", "--lock-timeout", "1 s")
    assert (cli.directory / "other" / "state.json").exists()
