"""The command line with the state at a real server: HTTP (GitLab), S3, PostgreSQL."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pragmaspec.stack.stack import Stack
from tests.cli.harness import CommandLine
from tests.state.backends.kinds import Kind, running

LIMIT_S = 60


@pytest.fixture(scope="module", params=["http-gitlab", "http-plain", "s3", "postgresql"])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    with running(request.param, tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def url(kind: Kind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in kind.environment.items():
        monkeypatch.setenv(name, value)
    if kind.url("x").startswith("postgresql:"):
        monkeypatch.setenv("PGUSER", "anna")
    return kind.url(f"s{abs(hash(tmp_path)):x}")


def _remote(cli: CommandLine, url: str, computes: int = 2, **settings: str) -> None:
    spec = cli.spec(computes, **settings)
    spec.write_text(f"state: {url}\n" + spec.read_text())


def test_two_users_share_a_remote_state(cli: CommandLine, url: str, kind: Kind) -> None:
    _remote(cli, url)
    cli("apply", "-y")
    assert not (cli.directory / "state").exists()
    listed = cli("state", "list", "--json").json
    assert len(listed["records"]) == 5
    colleague = cli.directory.parent / "colleague"
    shutil.copytree(cli.directory, colleague)
    (colleague / "site.json").unlink()
    (colleague / "site.json").symlink_to(cli.directory / "site.json")
    with Stack(colleague / "cluster.yaml") as stack:
        assert stack.state() == Stack(cli.directory / "cluster.yaml").state()
    _remote(cli, url, 3)
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert cli("state", "history", "--json").json["versions"][0]["serial"] == listed["serial"] + 1
    secrets = [value for name, value in kind.environment.items() if "PASSWORD" in name or "SECRET" in name or "TOKEN" in name]
    result = cli("state", "list").out + cli("state", "pull").out + cli("state", "lock", "show").out
    assert not any(secret in result for secret in secrets)
    cli("clean", "hello", "--shutdown")
    cli("forget")
    assert "no records" in cli("state", "list").out


def test_migration_to_a_server_and_back(cli: CommandLine, url: str) -> None:
    cli.running()
    recorded = cli("state", "list", "--json").json["records"]
    cli("state", "migrate", url, "-y")
    _remote(cli, url)
    assert cli("plan").out.startswith("No changes")
    assert cli("state", "list", "--json").json["records"] == recorded
    cli("state", "rm", "hello-compute-1", "-y")
    cli("state", "migrate", "./back", "-y")
    assert len(cli("state", "list", "--state", "./back", "--json").json["records"]) == 4
    assert "rolled back" in cli("plan", status=6).err


def test_the_lock_of_a_dead_run_can_be_taken_over(cli: CommandLine, url: str) -> None:
    """A run is killed during its first calls. Backends that do not detect this keep its lock, and --steal-lock takes it over."""
    _remote(cli, url, 1, site={"latency": "1 s"})
    process = subprocess.Popen(cli.command("apply", "-y"), cwd=cli.directory, env=cli.environment, stderr=subprocess.PIPE)
    try:
        limit = time.monotonic() + LIMIT_S
        while not cli("state", "list", "--json").json["records"]:
            assert time.monotonic() < limit, "the run never began anything"
            time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)
        assert "`apply`" in cli("state", "lock", "show").out
        _remote(cli, url, 1)
        assert "Another run holds this stack" in cli("apply", "-y", status=3).err
        assert "completes its actions" in cli("plan").out
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_S)
    cli("apply", "-y", "--steal-lock")
    assert cli("state", "lock", "show", "--json").json["holder"] is None
    assert cli("plan").out.startswith("No changes")


def test_a_lock_is_removed_by_its_id(cli: CommandLine, url: str) -> None:
    _remote(cli, url, 1)
    cli("apply", "-y")
    with Stack("cluster.yaml") as stack, stack.session("a long run"):
        lock_id = cli("state", "lock", "show", "--json").json["holder"]["id"]
        assert "Different lock ID" in cli("state", "unlock", "not-this-one", "-y", status=64).err
        assert "Confirmation required" in cli.process("state", "unlock", lock_id).err
        assert cli("state", "unlock", lock_id, "-y").out == "The lock is free.\n"
    cli("state", "rm", "tiny", "-y")


def test_every_backend_supports_waiting_for_a_lock(cli: CommandLine, url: str) -> None:
    _remote(cli, url, 1)
    cli("apply", "-y")
    with Stack("cluster.yaml") as stack:
        with stack.session("a long run"):
            waited = " ".join(cli("shutdown", "hello", "--lock-timeout", "100 ms", status=3).err.split())
            assert "`a long run`" in waited
            assert "Waited 0.1 s for it" in waited
        cli("shutdown", "hello", "--lock-timeout", "10 min")


def test_the_state_is_encrypted_at_the_server(cli: CommandLine, url: str, kind: Kind) -> None:
    spec = cli.spec(1)
    spec.write_text(f"state:\n  url: {url}\n  encrypt: true\n" + spec.read_text())
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    name = url.rpartition("/")[2].partition(".")[0].partition("?")[0]
    assert b"hello-frontend" not in (kind.backend(name).read().snapshot or b"")
    assert "hello-frontend" in cli("state", "list").out


def test_an_unreachable_server_is_an_error(cli: CommandLine) -> None:
    cli.spec(1)
    result = cli("plan", "--state", "http://127.0.0.1:9/states/x", status=1)
    assert "127.0.0.1:9" in result.err
    assert "Traceback" not in result.err
