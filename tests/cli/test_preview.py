"""``--dry-run`` of every command that changes sites: its plan is the one that would be applied, and can be saved."""

import fcntl
import threading

import pytest

from tests.cli.workshop import Workshop

VERBS = (("shutdown", "hello"), ("boot", "hello"), ("clean", "hello", "--shutdown"), ("apply",))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_a_dry_run_shows_the_plan_and_changes_nothing(shop: Workshop, verb: tuple[str, ...]) -> None:
    shop.running()
    if verb[0] == "boot":
        shop("shutdown", "hello")
    if verb[0] == "apply":
        shop.spec(3)
    state = (shop.directory / "state" / "cluster" / "state.json").read_bytes()
    shown = shop(*verb, "--dry-run", "--json").json
    assert (shown["kind"], shown["changes"]) == ("plan", True)
    assert shop(*verb, "--dry-run", "--detailed-exitcode", "--verbose", status=2).out.count("Plan") == 1
    assert (shop.directory / "state" / "cluster" / "state.json").read_bytes() == state
    yes = ("--auto-approve",) if verb[0] == "apply" else ()
    assert shop(*verb, *yes, "--json").json["plan"]["actions"] == shown["actions"]
    assert not shop(*verb, "--dry-run", "--detailed-exitcode", "--json").json["changes"]


@pytest.mark.parametrize("verb", VERBS[:3], ids=lambda verb: verb[0])
def test_a_saved_dry_run_is_applied_exactly(shop: Workshop, verb: tuple[str, ...]) -> None:
    shop.running()
    if verb[0] == "boot":
        shop("shutdown", "hello")
    assert "Saved as verb.plan" in shop(*verb, "--dry-run", "--out", "verb.plan").err
    (shop.directory / "disk.raw").unlink()
    shop("apply", "verb.plan", "-y")
    assert "stale" in shop("apply", "verb.plan", "-y", status=4).err


def test_a_dry_run_is_refused_like_its_command(shop: Workshop) -> None:
    shop.running()
    assert "--shutdown" in shop("clean", "hello", "--dry-run", status=4).err
    shop("shutdown", "nothing", "--dry-run", status=64)
    assert "--out requires --dry-run" in shop("clean", "hello", "--out", "x", status=64).err
    assert "--detailed-exitcode requires --dry-run" in shop("boot", "hello", "--detailed-exitcode", status=64).err
    shop("plan", "--out", "saved.plan")
    assert "not available for a saved plan" in shop("apply", "saved.plan", "--dry-run", status=64).err


def test_a_saved_clean_does_not_remove_protected_clusters(shop: Workshop) -> None:
    shop.running(protect="true")
    shop("clean", "hello", "--shutdown", "--dry-run", "--out", "gone.plan")
    assert "--allow protected" in shop("apply", "gone.plan", "-y", status=4).err
    shop("apply", "gone.plan", "-y", "--allow", "protected")
    assert "No clusters" in shop("list", "cluster").out


def test_a_node_is_replaced_by_name(shop: Workshop) -> None:
    shop.running()
    assert "REBUILD: hello-compute-0 gets a new disk.\n" in shop("plan", "--replace", "hello-compute-0").out
    shop("plan", "--replace", "hello-compute-0", "--out", "anew.plan")
    assert "--replace" in shop("apply", "anew.plan", "--replace", "hello", status=64).err
    shop("apply", "anew.plan", "-y")
    assert shop("show", "hello-compute-0", "--json").json["record"]["generation"] == 1
    shop("apply", "--replace", "hello-compute-*", "-y")
    assert shop("show", "hello-compute-0", "--json").json["record"]["generation"] == 2
    assert "Did you mean hello-compute-0?" in shop("plan", "--replace", "hello-compute0", status=64).err


@pytest.mark.parametrize(
    "verb", [*VERBS, ("forget",), ("orphans", "--adopt", "x"), ("state", "rm", "hello")], ids=lambda verb: verb[0]
)
def test_every_locking_command_has_a_lock_timeout(shop: Workshop, verb: tuple[str, ...]) -> None:
    shop.spec()
    assert "write 5 min" in shop(*verb, "--lock-timeout", "5m", status=64).err


def test_a_command_waits_for_another_run(shop: Workshop) -> None:
    shop.running()
    with (shop.directory / "state" / "cluster" / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid":7,"user":"ann","host":"h","since":"2026-01-01T00:00:00+00:00","command":"apply"}')
        lock.flush()
        assert "`apply`" in shop("shutdown", "hello", status=3).err
        waited = shop("shutdown", "hello", "--lock-timeout", "200ms", status=3).err
        assert "Waiting up to" in waited
        assert "Waited 0.2 s for it" in waited
        threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        assert "process 7 of ann" in shop("shutdown", "hello", "--lock-timeout", "10 min").err


def test_migrate_waits_for_both_locks(shop: Workshop) -> None:
    shop.running()
    shop("state", "migrate", "./other", "-y", "--lock-timeout", "1 s")
    assert (shop.directory / "other" / "state.json").exists()
