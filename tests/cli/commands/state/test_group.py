"""``state``: show, edit, restore and migrate the recorded state."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine, CommandOutput

COMPUTE = "lab/hello/node/hello-compute-1"


def _file(cli: CommandLine) -> Path:
    return cli.directory / "state" / "cluster" / "state.json"


def _serial(cli: CommandLine) -> int:
    return int(cli("state", "list", "--json").json["serial"])


def _machines(cli: CommandLine) -> set[str]:
    """The machines at the site."""
    holdings = cli("list", "site", "--json").json["sites"][0]["inventory"]["holdings"]
    return {holding["address"] for holding in holdings}


def test_list(cli: CommandLine) -> None:
    cli.running()
    result = cli("state", "list").out
    assert result.startswith("state/cluster  ·  serial 1  ·  stack ")
    assert re.search(rf"^{COMPUTE} +ready$", result, re.MULTILINE)
    form = cli("state", "list", "--json").json
    assert [record["address"] for record in form["records"]] == sorted(record["address"] for record in form["records"])
    assert {len(record["op"]) for record in form["records"]} == {32}


def test_list_of_an_empty_state(cli: CommandLine) -> None:
    cli.spec()
    assert "no records" in cli("state", "list").out
    assert "nothing was ever recorded at" in cli("state", "history").out
    assert "is free" in cli("state", "lock", "show").out
    assert "Nothing is recorded yet" in cli("state", "pull", status=64).err
    assert not (cli.directory / "state").exists()


def test_show_includes_the_identity_at_the_site(cli: CommandLine) -> None:
    cli.running()
    result = cli("state", "show", "hello-compute-1").out
    record = cli("state", "show", COMPUTE, "--json").json["record"]
    assert re.search(rf"^uuid +{record['uuid']}$", result, re.MULTILINE)
    assert re.search(rf"^creation +{record['op']}$", result, re.MULTILINE)
    assert "pragmaspec state list" in cli("state", "show", "nobody", status=64).err


def test_rm_keeps_the_resource_at_its_site(cli: CommandLine) -> None:
    cli.running()
    before = _machines(cli)
    result = cli("state", "rm", "hello-compute-1", "-y")
    assert f"{COMPUTE}: record removed; the resource stays at lab" in result.err
    assert result.out == "The state now has serial 2 and 4 records.\n"
    assert _machines(cli) == before
    assert COMPUTE in cli("orphans").out
    assert cli("orphans", "--adopt", COMPUTE).out == f"{COMPUTE} is recorded as degraded\n"
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert _machines(cli) == before


def test_rm_by_pattern(cli: CommandLine) -> None:
    cli.running()
    cli("state", "rm", "lab/hello/node/*", "tiny", "-y")
    assert [record["kind"] for record in cli("state", "list", "--json").json["records"]] == ["allocation"]
    assert "No recorded address matches" in cli("state", "rm", "lab/hello/node/*", "-y", status=64).err


@pytest.mark.parametrize(
    "command",
    [("rm", "hello-compute-1"), ("mv", "hello", "world"), ("push", "pulled.json"), ("restore", "0"), ("migrate", "./new")],
)
def test_confirmation_requires_a_terminal(cli: CommandLine, command: tuple[str, ...]) -> None:
    cli.running()
    (cli.directory / "pulled.json").write_text(cli("state", "pull").out)
    before = _file(cli).read_bytes()
    result = cli.process("state", *command)
    assert (result.status, result.out) == (4, "")
    assert "--auto-approve" in result.err
    assert "plan --out" not in result.err
    assert _file(cli).read_bytes() == before
    assert not (cli.directory / "new" / "state.json").exists()


def test_mv_keeps_the_machines(cli: CommandLine) -> None:
    cli.running()
    machines, uuids = _machines(cli), {record["uuid"] for record in cli("state", "list", "--json").json["records"]}
    cli("state", "mv", "hello", "world", "-y")
    assert {record["uuid"] for record in cli("state", "list", "--json").json["records"]} == uuids
    cli.spec(cluster="world")
    assert {action["impact"] for action in cli("plan", "--json").json["actions"]} <= {"none", "live"}
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert _machines(cli) == machines
    assert "hello-frontend" in cli("state", "show", "world-frontend").out


def test_plan_shows_moves_of_the_spec(cli: CommandLine) -> None:
    cli.running()
    machines = _machines(cli)
    spec = cli.spec(cluster="world")
    spec.write_text("moved: [{from: hello, to: world}]\n" + spec.read_text())
    assert "cluster hello → world" in cli("plan", "--detailed-exitcode", status=2).out
    cli("apply", "-y")
    assert cli("plan", "--detailed-exitcode").out.startswith("No changes")
    assert _machines(cli) == machines


def test_mv_of_a_site(cli: CommandLine) -> None:
    cli.running()
    result = cli("state", "mv", "--site", "lab", "hall", "-y").err
    assert "lab/hello/allocation → hall/hello/allocation" in result
    assert all(record["site"] == "hall" for record in cli("state", "list", "--json").json["records"])


def test_mv_refuses_invalid_names(cli: CommandLine) -> None:
    cli.running()
    assert "Did you mean hello?" in cli("state", "mv", "helo", "world", status=64).err
    assert "Invalid name" in cli("state", "mv", "hello", "World", status=64).err
    assert "No site hello" in cli("state", "mv", "--site", "hello", "hall", status=64).err


def test_pull_and_push(cli: CommandLine) -> None:
    cli.running()
    pulled = cli("state", "pull").out
    edited = json.loads(pulled)
    assert (edited["kind"], edited["lineage"]) == ("pragmaspec", json.loads(_file(cli).read_text())["lineage"])
    del edited["sha256"]
    edited["records"] = [record for record in edited["records"] if record["resource"].get("name") != "hello-compute-1"]
    frontend = next(record for record in edited["records"] if record["resource"].get("name") == "hello-frontend")
    before, frontend["resource"]["memory_mib"] = frontend["resource"]["memory_mib"], 4321
    (cli.directory / "edited.json").write_text(json.dumps(edited))
    result = cli("state", "push", "edited.json", "-y")
    assert f"{COMPUTE}: record removed" in result.err
    assert f"node/hello-frontend: resource.memory_mib: {before} → 4321" in result.err
    assert result.out == "The state now has serial 2 and 4 records.\n"
    (cli.directory / "old.json").write_text(pulled)
    assert "older than the recorded one" in cli("state", "push", "old.json", "-y", status=64).err


def test_push_refuses_invalid_input(cli: CommandLine) -> None:
    cli.running()
    before = _file(cli).read_bytes()
    (cli.directory / "cut.json").write_text(cli("state", "pull").out[:-100])
    cli("state", "push", "cut.json", "-y", status=6)
    (cli.directory / "edited.json").write_text(cli("state", "pull").out.replace("hello-compute-1", "hello-compute-7"))
    assert "checksum" in cli("state", "push", "edited.json", "-y", status=6).err
    (cli.directory / "empty.json").write_text("")
    cli("state", "push", "empty.json", "-y", status=6)
    assert "No such file" in cli("state", "push", "nowhere.json", "-y", status=64).err
    assert _file(cli).read_bytes() == before


def test_push_from_a_pipe(cli: CommandLine) -> None:
    cli.running()
    result = cli.process("state", "push", "-", "--auto-approve", stdin=cli("state", "pull").out)
    assert (result.status, result.out) == (0, "The state now has serial 2 and 5 records.\n")


def test_push_refuses_another_stack(cli: CommandLine, tmp_path: Path) -> None:
    cli.running()
    other = str(tmp_path / "other")
    cli("apply", "-y", "--state", other)
    (cli.directory / "other.state").write_text(cli("state", "pull", "--state", other).out)
    assert "another stack" in cli("state", "push", "other.state", "-y", status=64).err


def test_history_and_restore(cli: CommandLine) -> None:
    cli.running()
    cli("state", "rm", "hello-compute-1", "-y")
    listed = cli("state", "history", "--json").json["versions"]
    assert [version["serial"] for version in listed] == [2, 1, 0]
    assert "current" in cli("state", "history").out.splitlines()[1]
    result = cli("state", "restore", "1", "-y")
    assert f"{COMPUTE}: record added" in result.err
    assert (result.out, _serial(cli)) == ("The state now has serial 3 and 5 records.\n", 3)
    assert cli("plan").out.startswith("No changes")
    assert "99" in cli("state", "restore", "99", "-y", status=64).err


def test_restore_replaces_a_damaged_state(cli: CommandLine) -> None:
    cli.running()
    cli("state", "rm", "hello-compute-1", "-y")
    file = _file(cli)
    file.write_bytes(file.read_bytes()[:-50])
    cli("plan", status=6)
    assert "cannot be read" in cli("state", "restore", "1", "-y").err
    assert cli("plan").out.startswith("No changes")


def test_a_rolled_back_state_is_refused_until_accepted(cli: CommandLine) -> None:
    cli.running(1)
    old = _file(cli).read_bytes()
    cli.spec(2)
    cli("apply", "-y")
    _file(cli).write_bytes(old)
    assert "rolled back" in cli("plan", status=6).err
    assert "1 to boot" in cli("plan", "--accept-rollback").out
    cli("plan", status=6)
    cli("apply", "-y", "--accept-rollback")
    assert cli("plan").out.startswith("No changes")


def test_migrate_before_editing_the_spec(cli: CommandLine) -> None:
    cli.running()
    result = cli("state", "migrate", "./new/place", "-y")
    assert "from state/cluster" in result.err
    assert "write `state: ./new/place` into the spec" in result.out
    assert "rolled back" in cli("plan", status=6).err, "the old place is outdated"
    spec = cli.spec()
    spec.write_text("state: ./new/place\n" + spec.read_text())
    assert cli("plan").out.startswith("No changes")
    assert cli("state", "list").out.startswith("new/place  ·  serial 2")
    assert "already there" in cli("state", "migrate", "-y", status=64).err


def test_migrate_back(cli: CommandLine) -> None:
    """The old state at the target is outdated; it need not be removed or accepted."""
    cli.running(1)
    cli("state", "migrate", "./new", "-y")
    plain = cli.spec(2).read_text()
    (cli.directory / "cluster.yaml").write_text("state: ./new\n" + plain)
    cli("apply", "-y")
    serial = cli("state", "list", "--json").json["serial"]
    cli("state", "migrate", "./state/cluster", "-y")
    (cli.directory / "cluster.yaml").write_text(plain)
    assert cli("plan").out.startswith("No changes")
    assert cli("state", "list").out.startswith(f"state/cluster  ·  serial {serial + 1}")
    assert "rolled back" in cli("plan", "--state", "./new", status=6).err
    assert "rolled back" in cli("state", "migrate", "./third", "--from", "./new", "-y", status=6).err


def test_a_failed_migration_back_keeps_the_old_location_outdated(cli: CommandLine) -> None:
    cli.running(1)
    cli("state", "migrate", "./new", "-y")
    cli("state", "mv", "hello", "world", "--state", "./new", "-y")
    kept = cli.directory / "state" / "cluster" / "backups"
    shutil.rmtree(kept)
    kept.write_text("in the way")
    cli("state", "migrate", "./state/cluster", "--from", "./new", "-y", status=1)
    assert "rolled back" in cli("plan", status=6).err


def test_migrate_after_editing_the_spec(cli: CommandLine) -> None:
    cli.running()
    spec = cli.spec()
    spec.write_text("state:\n  url: ./new\n  encrypt: true\n" + spec.read_text())
    for command in (("plan",), ("apply", "-y"), ("state", "list"), ("status",)):
        assert "pragmaspec state migrate" in cli(*command, status=64).err
    result = cli("state", "migrate", "-y")
    assert "to new, encrypted" in result.err
    assert "The spec already has this location" in result.out
    assert cli("plan").out.startswith("No changes")
    stored = (cli.directory / "new" / "state.json").read_text()
    assert "hello-frontend" not in stored
    assert "hello-frontend" in cli("state", "pull").out
    assert "hello-frontend" in cli("state", "list").out


def test_migrate_refuses_invalid_targets(cli: CommandLine) -> None:
    cli.running()
    assert "No target" in cli("state", "migrate", "-y", status=64).err
    assert "already there" in cli("state", "migrate", "state/cluster", "-y", status=64).err
    assert "Nothing to copy" in cli("state", "migrate", "new", "--from", "empty", "-y", status=64).err
    assert "Did you mean" in cli("state", "migrate", "postgress://db/x", "-y", status=64).err


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@host/x",
        f"s3://me:{SECRET}@bucket/key",
        f"postgresql://me:{SECRET}@db/x",
        f"https://host/x?token={SECRET}",
    ],
)
def test_a_password_in_a_url_is_refused_and_redacted(cli: CommandLine, url: str) -> None:
    cli.spec()
    result = [cli(*command, "--state", url, status=64) for command in (("plan",), ("state", "list"), ("apply", "-y"))]
    result.append(cli("state", "migrate", url, "-y", status=64))
    assert all("credentials" in each.err or "Nothing to copy" in each.err for each in result)
    spec = cli.spec()
    spec.write_text(f"state: {url}\n" + spec.read_text())
    result += [cli("state", "list", status=64), cli("validate", status=1)]
    assert not any(SECRET in each.err + each.out for each in result)


@pytest.mark.parametrize(
    "form",
    [
        "state: >-\n  ./some where\n",
        "state:   './some where'   # there\n",
        "state: {url: './some where', encrypt: false}\n",
        "state: {\n  url: ./some where\n}\n",
        "x-state: &there ./some where\nstate: *there\n",
        '"state" : "./some\\x20where"\n',
        "state: ./some\n  where\n",
    ],
)
def test_every_yaml_form_of_state_is_accepted(cli: CommandLine, form: str) -> None:
    spec = cli.spec()
    spec.write_text(form + spec.read_text())
    cli("validate")
    cli("apply", "-y")
    assert (cli.directory / "some where" / "state.json").exists()
    assert "hello-frontend" in cli("state", "list").out


def test_a_run_in_progress_is_not_an_interrupted_one(cli: CommandLine) -> None:
    cli.running()
    journal = f"journal.{_serial(cli)}.jsonl"
    (cli.directory / "state" / "cluster" / journal).write_bytes(b"")
    cli.spec(3)
    with _held(cli):
        assert re.match(r"Another run is in progress, or has died: process \d+ of .* for `a long run`\.", cli("plan").out)
    assert cli("plan").out.startswith("An earlier run was interrupted")


def test_a_live_lock_is_shown_and_not_removed(cli: CommandLine) -> None:
    cli.running()
    with _held(cli):
        shown = cli("state", "lock", "show")
        holder = cli("state", "lock", "show", "--json").json["holder"]
        assert holder["command"] == "a long run"
        assert holder["id"] in shown.out
        for command in (("rm", "tiny"), ("mv", "hello", "world"), ("restore", "0"), ("migrate", "new")):
            assert "Another run holds this stack" in cli("state", *command, "-y", status=3).err
        assert cli("plan").out.startswith("No changes"), "a plan needs no lock"
        assert "Different lock ID" in cli("state", "unlock", "0" * 16, "-y", status=64).err
        assert "kill" in cli("state", "unlock", holder["id"], "-y", status=64).err
        assert "kill" in cli("apply", "-y", "--steal-lock", status=64).err
    assert cli("state", "lock", "show", "--json").json["holder"] is None
    assert "is free" in cli("state", "unlock", "abc", "-y").out


def _held(cli: CommandLine):
    from tests.state.local_store import LocalStore

    return LocalStore(cli.directory / "state" / "cluster").session("a long run")


def test_every_list_includes_an_unfinished_run(cli: CommandLine) -> None:
    """Records that are only in the journal are listed, pulled and migrated."""
    cli.running(1)
    cli.spec(2, site={"faults": "[{call: boot, kind: refuse}]"})
    result: CommandOutput = cli("apply", "-y", status=5)
    assert "FAILED" in result.err
    pulled = json.loads(cli("state", "pull").out)
    assert len(pulled["records"]) == len(cli("state", "list", "--json").json["records"])


def test_push_reports_the_kind_of_invalid_input(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "other.json").write_text("{}")
    result = cli("state", "push", "other.json", "-y", status=6)
    assert "This is not a state" in result.err
    assert "other.json is JSON, but not the output of `pragmaspec state pull`: it has no `records`." in " ".join(
        result.err.split()
    )
    assert "history" not in result.err
