"""State, journal, saved plans, backups, output, errors, logs and process lists contain no secrets."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pragmaspec.guest.keys import StackKey, host_key, operator_key
from pragmaspec.resources import Mark
from tests.cli.harness import CommandLine
from tests.reliability.runs import LIMIT_S, applying, has_intent, wait_for
from tests.state.backends.kinds import HttpKind, running

USER_SECRET = "canary-7f3a91c04be2"
FRONTEND = "lab/hello/node/hello-frontend"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpKind]:
    with running("http-gitlab", tmp_path_factory.mktemp("server")) as started:
        assert isinstance(started, HttpKind)
        yield started


def spec_with_secret(cli: CommandLine, computes: int = 2, **site: str) -> None:
    cli.spec(computes, site=site, user_data=f"{{write_files: [{{path: /etc/token, content: {USER_SECRET}}}]}}")


def canaries(cli: CommandLine) -> list[bytes]:
    """Return the secrets to search for: the stack's key in every form, a private key of a node, and text of the user-data."""
    (file,) = Path(os.environ["HOME"]).rglob("*.key")
    lineage, secret = file.stem, bytes.fromhex(file.read_text().strip())
    keys = [operator_key(StackKey(secret)), host_key(StackKey(secret), Mark(lineage=lineage, address=FRONTEND))]
    return [
        secret,
        secret.hex().encode(),
        base64.b64encode(secret),
        *(pair.private.splitlines()[3].encode() for pair in keys),
        USER_SECRET.encode(),
    ]


def contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_files_output_and_process_lists_contain_no_secrets(cli: CommandLine) -> None:
    spec_with_secret(cli)
    results = [
        cli("plan", "-o", "hello.plan", "-v"),
        cli("apply", "-y"),
        cli("plan", "--json"),
        cli("show", "hello-frontend", "--json"),
        cli("show", "hello-frontend"),
        cli("list", "cluster", "--json"),
        cli("list", "site", "--json"),
        cli("status", "--json"),
        cli("state", "pull"),
        cli("state", "history"),
        cli("key", "show"),
        cli("inventory", "--list"),
        cli("console", "hello-frontend", "--log"),
    ]
    spec_with_secret(cli, 3, latency="300 ms", faults="[{call: boot, kind: refuse, nth: 1}]")
    with applying(cli) as process:
        wait_for(lambda: has_intent(cli, "boot"), "the journal")
        listed = (Path(f"/proc/{process.pid}/cmdline").read_bytes(), Path(f"/proc/{process.pid}/environ").read_bytes())
        process.kill()
        process.wait(timeout=LIMIT_S)
    assert any(path.name.startswith("journal.") for path in contents(cli.directory / "state"))
    results += [cli("apply", "-y", status=5)]
    here = cli.directory
    found = {
        **{str(path): data for path, data in contents(here / "state").items()},
        "saved plan": (here / "hello.plan").read_bytes(),
        "the site's own file": (here / "site.json").read_bytes(),
        "process list": b"".join(listed),
        **{f"output {number}": (each.out + each.err).encode() for number, each in enumerate(results)},
    }
    assert any("backups" in name for name in found)
    for name, data in found.items():
        for canary in canaries(cli):
            assert canary not in data, (name, canary)


def test_tracebacks_of_bugs_contain_no_secrets(cli: CommandLine) -> None:
    spec_with_secret(cli)
    cli("apply", "-y")
    code = (
        "import pragmaspec.engine.apply as a, pragmaspec.cli.app as c\n"
        "def broken(plan, context, reporter=None):\n"
        "    raise ZeroDivisionError(repr(context.stack_key) + repr(context.session.state) + repr(plan))\n"
        "a.apply_plan = broken\n"
        "c.run(['apply', '-y'])"
    )
    spec_with_secret(cli, 3)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.directory, env=cli.environment, capture_output=True, text=True, check=False
    )
    assert "ZeroDivisionError" in done.stderr
    for canary in canaries(cli):
        assert canary not in (done.stdout + done.stderr).encode()


def test_server_passwords_are_in_no_file_output_or_process_list(
    cli: CommandLine, server: HttpKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    password = next(value for name, value in server.environment.items() if "PASSWORD" in name)
    spec = cli.spec(site={"latency": "300 ms"})
    spec.write_text(f"state: {server.url('secret')}\n" + spec.read_text())
    results = [cli("plan", "-o", "hello.plan")]
    with applying(cli) as process:
        wait_for(lambda: len(cli("state", "list", "--json").json["records"]) > 0, "an intent")
        listed = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        out, err = process.communicate(timeout=LIMIT_S)
    monkeypatch.setenv("PRAGMASPEC_HTTP_PASSWORD", "wrong")
    results.append(cli("plan", status=1))
    monkeypatch.setenv("PRAGMASPEC_HTTP_PASSWORD", password)
    results += [cli("state", "lock", "show", "--json"), cli("state", "pull")]
    files = contents(cli.directory, Path(os.environ["HOME"]))
    searched = [*files.values(), listed, (out + err).encode(), *((each.out + each.err).encode() for each in results)]
    basic = base64.b64encode(f"{server.environment.get('PRAGMASPEC_HTTP_USERNAME', '')}:{password}".encode())
    for data in searched:
        assert password.encode() not in data
        assert basic not in data
