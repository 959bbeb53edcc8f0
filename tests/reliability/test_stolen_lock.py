"""A run that was stopped while it lost its lock starts no further calls at the site."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine
from tests.reliability.runs import LIMIT_S, applying, machines, wait_for
from tests.state.backends.kinds import Kind, running


@pytest.fixture(scope="module", params=["http-gitlab", "postgresql"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    with running(request.param, tmp_path_factory.mktemp("servers")) as started:
        yield started


def test_a_run_that_lost_its_lock_while_stopped_makes_no_further_calls(
    cli: CommandLine, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in kind.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGUSER", "anna")
    url = kind.url("sleeper")
    spec = cli.spec(site={"latency": "1 s"})
    spec.write_text(f"state: {url}\n" + spec.read_text())
    with applying(cli) as process:
        wait_for(lambda: len(cli("state", "list", "--json").json["records"]) > 0, "an intent")
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text(), "the stop")
        held = cli("state", "lock", "show", "--json").json["holder"]
        assert held["command"] == "apply"
        cli("state", "unlock", held["id"], "-y")
        spec = cli.spec()
        spec.write_text(f"state: {url}\n" + spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
        cli("apply", "-y")
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode in (1, 5), err
    assert "The lock was taken from this run" in err
    assert "Traceback" not in out + err
    assert machines(cli) == set(), "the remaining boots of the plan did not run"
    # Calls that were running at the stop may still take effect after the other run; their objects are reported as orphans.
    orphans = {orphan["kind"] for orphan in cli("orphans", "--json").json["orphans"]}
    assert orphans <= {"allocation", "image"}
    if orphans:
        cli("orphans", "--adopt", "*")
        cli("apply", "-y", "--allow", "data-loss")
    assert cli("plan").out.startswith("No changes")
    inventory = cli("list", "site", "--json").json["sites"][0]["inventory"]
    assert (inventory["addresses"], inventory["vlans"], inventory["images"]) == ([], [], [])
