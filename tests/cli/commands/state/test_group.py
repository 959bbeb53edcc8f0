"""``state``: show, edit, restore and migrate the recorded state."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.workshop import Said, Workshop

COMPUTE = "lab/hello/node/hello-compute-1"


def _file(shop: Workshop) -> Path:
    return shop.directory / "state" / "cluster" / "state.json"


def _serial(shop: Workshop) -> int:
    return int(shop("state", "list", "--json").json["serial"])


def _machines(shop: Workshop) -> set[str]:
    """The machines at the site."""
    holdings = shop("list", "site", "--json").json["sites"][0]["inventory"]["holdings"]
    return {holding["address"] for holding in holdings}


def test_list(shop: Workshop) -> None:
    shop.running()
    said = shop("state", "list").out
    assert said.startswith("state/cluster  ·  serial 1  ·  stack ")
    assert re.search(rf"^{COMPUTE} +ready$", said, re.MULTILINE)
    form = shop("state", "list", "--json").json
    assert [record["address"] for record in form["records"]] == sorted(record["address"] for record in form["records"])
    assert {len(record["op"]) for record in form["records"]} == {32}


def test_list_of_an_empty_state(shop: Workshop) -> None:
    shop.spec()
    assert "nothing is recorded" in shop("state", "list").out
    assert "nothing was ever recorded there" in shop("state", "history").out
    assert "Nobody holds the lock" in shop("state", "lock", "show").out
    assert "Nothing is recorded yet" in shop("state", "pull", status=64).err
    assert not (shop.directory / "state").exists()


def test_show_includes_the_identity_at_the_site(shop: Workshop) -> None:
    shop.running()
    said = shop("state", "show", "hello-compute-1").out
    record = shop("state", "show", COMPUTE, "--json").json["record"]
    assert re.search(rf"^uuid +{record['uuid']}$", said, re.MULTILINE)
    assert re.search(rf"^creation +{record['op']}$", said, re.MULTILINE)
    assert "pragmaspec state list" in shop("state", "show", "nobody", status=64).err


def test_rm_keeps_the_resource_at_its_site(shop: Workshop) -> None:
    shop.running()
    before = _machines(shop)
    said = shop("state", "rm", "hello-compute-1", "-y")
    assert f"{COMPUTE}: record removed; the resource stays at lab" in said.err
    assert said.out == "The state now has serial 2 and 4 records.\n"
    assert _machines(shop) == before
    assert COMPUTE in shop("orphans").out
    assert shop("orphans", "--adopt", COMPUTE).out == f"{COMPUTE} is recorded as degraded\n"
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert _machines(shop) == before


def test_rm_by_pattern(shop: Workshop) -> None:
    shop.running()
    shop("state", "rm", "lab/hello/node/*", "tiny", "-y")
    assert [record["kind"] for record in shop("state", "list", "--json").json["records"]] == ["allocation"]
    assert "No recorded address is like" in shop("state", "rm", "lab/hello/node/*", "-y", status=64).err


@pytest.mark.parametrize(
    "command",
    [("rm", "hello-compute-1"), ("mv", "hello", "world"), ("push", "pulled.json"), ("restore", "0"), ("migrate", "./new")],
)
def test_confirmation_requires_a_terminal(shop: Workshop, command: tuple[str, ...]) -> None:
    shop.running()
    (shop.directory / "pulled.json").write_text(shop("state", "pull").out)
    before = _file(shop).read_bytes()
    said = shop.process("state", *command)
    assert (said.status, said.out) == (4, "")
    assert "--auto-approve" in said.err
    assert "plan --out" not in said.err
    assert _file(shop).read_bytes() == before
    assert not (shop.directory / "new" / "state.json").exists()


def test_mv_keeps_the_machines(shop: Workshop) -> None:
    shop.running()
    machines, uuids = _machines(shop), {record["uuid"] for record in shop("state", "list", "--json").json["records"]}
    shop("state", "mv", "hello", "world", "-y")
    assert {record["uuid"] for record in shop("state", "list", "--json").json["records"]} == uuids
    shop.spec(cluster="world")
    assert {action["impact"] for action in shop("plan", "--json").json["actions"]} <= {"none", "live"}
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert _machines(shop) == machines
    assert "hello-frontend" in shop("state", "show", "world-frontend").out


def test_plan_shows_moves_of_the_spec(shop: Workshop) -> None:
    shop.running()
    machines = _machines(shop)
    spec = shop.spec(cluster="world")
    spec.write_text("moved: [{from: hello, to: world}]\n" + spec.read_text())
    assert "cluster hello → world" in shop("plan", "--detailed-exitcode", status=2).out
    shop("apply", "-y")
    assert shop("plan", "--detailed-exitcode").out.startswith("No changes")
    assert _machines(shop) == machines


def test_mv_of_a_site(shop: Workshop) -> None:
    shop.running()
    said = shop("state", "mv", "--site", "lab", "hall", "-y").err
    assert "lab/hello/allocation → hall/hello/allocation" in said
    assert all(record["site"] == "hall" for record in shop("state", "list", "--json").json["records"])


def test_mv_refuses_invalid_names(shop: Workshop) -> None:
    shop.running()
    assert "Did you mean hello?" in shop("state", "mv", "helo", "world", status=64).err
    assert "Wrong name" in shop("state", "mv", "hello", "World", status=64).err
    assert "No site hello" in shop("state", "mv", "--site", "hello", "hall", status=64).err


def test_pull_and_push(shop: Workshop) -> None:
    shop.running()
    pulled = shop("state", "pull").out
    edited = json.loads(pulled)
    assert (edited["kind"], edited["lineage"]) == ("pragmaspec", json.loads(_file(shop).read_text())["lineage"])
    del edited["sha256"]
    edited["records"] = [record for record in edited["records"] if record["resource"].get("name") != "hello-compute-1"]
    (shop.directory / "edited.json").write_text(json.dumps(edited))
    said = shop("state", "push", "edited.json", "-y")
    assert f"{COMPUTE}: record removed" in said.err
    assert said.out == "The state now has serial 2 and 4 records.\n"
    (shop.directory / "old.json").write_text(pulled)
    assert "older than the recorded one" in shop("state", "push", "old.json", "-y", status=64).err


def test_push_refuses_invalid_input(shop: Workshop) -> None:
    shop.running()
    before = _file(shop).read_bytes()
    (shop.directory / "cut.json").write_text(shop("state", "pull").out[:-100])
    shop("state", "push", "cut.json", "-y", status=6)
    (shop.directory / "edited.json").write_text(shop("state", "pull").out.replace("hello-compute-1", "hello-compute-7"))
    assert "checksum" in shop("state", "push", "edited.json", "-y", status=6).err
    (shop.directory / "empty.json").write_text("")
    shop("state", "push", "empty.json", "-y", status=6)
    assert "No such file" in shop("state", "push", "nowhere.json", "-y", status=64).err
    assert _file(shop).read_bytes() == before


def test_push_from_a_pipe(shop: Workshop) -> None:
    shop.running()
    said = shop.process("state", "push", "-", "--auto-approve", stdin=shop("state", "pull").out)
    assert (said.status, said.out) == (0, "The state now has serial 2 and 5 records.\n")


def test_push_refuses_another_stack(shop: Workshop, tmp_path: Path) -> None:
    shop.running()
    other = str(tmp_path / "other")
    shop("apply", "-y", "--state", other)
    (shop.directory / "other.state").write_text(shop("state", "pull", "--state", other).out)
    assert "another stack" in shop("state", "push", "other.state", "-y", status=64).err


def test_history_and_restore(shop: Workshop) -> None:
    shop.running()
    shop("state", "rm", "hello-compute-1", "-y")
    listed = shop("state", "history", "--json").json["versions"]
    assert [version["serial"] for version in listed] == [2, 1, 0]
    assert "this one stands" in shop("state", "history").out.splitlines()[1]
    said = shop("state", "restore", "1", "-y")
    assert f"{COMPUTE}: record added" in said.err
    assert (said.out, _serial(shop)) == ("The state now has serial 3 and 5 records.\n", 3)
    assert shop("plan").out.startswith("No changes")
    assert "99" in shop("state", "restore", "99", "-y", status=64).err


def test_restore_replaces_a_damaged_state(shop: Workshop) -> None:
    shop.running()
    shop("state", "rm", "hello-compute-1", "-y")
    file = _file(shop)
    file.write_bytes(file.read_bytes()[:-50])
    shop("plan", status=6)
    assert "cannot be read" in shop("state", "restore", "1", "-y").err
    assert shop("plan").out.startswith("No changes")


def test_a_rolled_back_state_is_refused_until_accepted(shop: Workshop) -> None:
    shop.running(1)
    old = _file(shop).read_bytes()
    shop.spec(2)
    shop("apply", "-y")
    _file(shop).write_bytes(old)
    assert "rolled back" in shop("plan", status=6).err
    assert "1 to boot" in shop("plan", "--accept-rollback").out
    shop("plan", status=6)
    shop("apply", "-y", "--accept-rollback")
    assert shop("plan").out.startswith("No changes")


def test_migrate_before_editing_the_spec(shop: Workshop) -> None:
    shop.running()
    said = shop("state", "migrate", "./new/place", "-y")
    assert "from state/cluster" in said.err
    assert "write `state: ./new/place` into the spec" in said.out
    assert "rolled back" in shop("plan", status=6).err, "the old place is outdated"
    spec = shop.spec()
    spec.write_text("state: ./new/place\n" + spec.read_text())
    assert shop("plan").out.startswith("No changes")
    assert shop("state", "list").out.startswith("new/place  ·  serial 2")
    assert "there already" in shop("state", "migrate", "-y", status=64).err


def test_migrate_back(shop: Workshop) -> None:
    """The old state at the target is outdated; it need not be removed or accepted."""
    shop.running(1)
    shop("state", "migrate", "./new", "-y")
    plain = shop.spec(2).read_text()
    (shop.directory / "cluster.yaml").write_text("state: ./new\n" + plain)
    shop("apply", "-y")
    serial = shop("state", "list", "--json").json["serial"]
    shop("state", "migrate", "./state/cluster", "-y")
    (shop.directory / "cluster.yaml").write_text(plain)
    assert shop("plan").out.startswith("No changes")
    assert shop("state", "list").out.startswith(f"state/cluster  ·  serial {serial + 1}")
    assert "rolled back" in shop("plan", "--state", "./new", status=6).err
    assert "rolled back" in shop("state", "migrate", "./third", "--from", "./new", "-y", status=6).err


def test_a_failed_migration_back_keeps_the_old_location_outdated(shop: Workshop) -> None:
    shop.running(1)
    shop("state", "migrate", "./new", "-y")
    shop("state", "mv", "hello", "world", "--state", "./new", "-y")
    kept = shop.directory / "state" / "cluster" / "backups"
    shutil.rmtree(kept)
    kept.write_text("in the way")
    shop("state", "migrate", "./state/cluster", "--from", "./new", "-y", status=1)
    assert "rolled back" in shop("plan", status=6).err


def test_migrate_after_editing_the_spec(shop: Workshop) -> None:
    shop.running()
    spec = shop.spec()
    spec.write_text("state:\n  url: ./new\n  encrypt: true\n" + spec.read_text())
    for command in (("plan",), ("apply", "-y"), ("state", "list"), ("status",)):
        assert "pragmaspec state migrate" in shop(*command, status=64).err
    said = shop("state", "migrate", "-y")
    assert "to new, encrypted" in said.err
    assert "The spec already has this location" in said.out
    assert shop("plan").out.startswith("No changes")
    stored = (shop.directory / "new" / "state.json").read_text()
    assert "hello-frontend" not in stored
    assert "hello-frontend" in shop("state", "pull").out
    assert "hello-frontend" in shop("state", "list").out


def test_migrate_refuses_invalid_targets(shop: Workshop) -> None:
    shop.running()
    assert "No target" in shop("state", "migrate", "-y", status=64).err
    assert "there already" in shop("state", "migrate", "state/cluster", "-y", status=64).err
    assert "Nothing to copy" in shop("state", "migrate", "new", "--from", "empty", "-y", status=64).err
    assert "Did you mean" in shop("state", "migrate", "postgress://db/x", "-y", status=64).err


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
def test_a_password_in_a_url_is_refused_and_redacted(shop: Workshop, url: str) -> None:
    shop.spec()
    said = [shop(*command, "--state", url, status=64) for command in (("plan",), ("state", "list"), ("apply", "-y"))]
    said.append(shop("state", "migrate", url, "-y", status=64))
    assert all("credentials" in each.err or "Nothing to copy" in each.err for each in said)
    spec = shop.spec()
    spec.write_text(f"state: {url}\n" + spec.read_text())
    said += [shop("state", "list", status=64), shop("validate", status=1)]
    assert not any(SECRET in each.err + each.out for each in said)


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
def test_every_yaml_form_of_state_is_accepted(shop: Workshop, form: str) -> None:
    spec = shop.spec()
    spec.write_text(form + spec.read_text())
    shop("validate")
    shop("apply", "-y")
    assert (shop.directory / "some where" / "state.json").exists()
    assert "hello-frontend" in shop("state", "list").out


def test_a_run_in_progress_is_not_an_interrupted_one(shop: Workshop) -> None:
    shop.running()
    journal = f"journal.{_serial(shop)}.jsonl"
    (shop.directory / "state" / "cluster" / journal).write_bytes(b"")
    shop.spec(3)
    with _held(shop):
        assert re.match(r"Another run is in progress, or has died: process \d+ of .* for `a long run`\.", shop("plan").out)
    assert shop("plan").out.startswith("An earlier run was interrupted")


def test_a_live_lock_is_shown_and_not_removed(shop: Workshop) -> None:
    shop.running()
    with _held(shop):
        shown = shop("state", "lock", "show")
        holder = shop("state", "lock", "show", "--json").json["holder"]
        assert holder["command"] == "a long run"
        assert holder["id"] in shown.out
        for command in (("rm", "tiny"), ("mv", "hello", "world"), ("restore", "0"), ("migrate", "new")):
            assert "Another run holds this stack" in shop("state", *command, "-y", status=3).err
        assert shop("plan").out.startswith("No changes"), "a plan needs no lock"
        assert "Different lock ID" in shop("state", "unlock", "0" * 16, "-y", status=64).err
        assert "kill" in shop("state", "unlock", holder["id"], "-y", status=64).err
        assert "kill" in shop("apply", "-y", "--steal-lock", status=64).err
    assert shop("state", "lock", "show", "--json").json["holder"] is None
    assert "is free" in shop("state", "unlock", "abc", "-y").out


def _held(shop: Workshop):
    from tests.state.local_store import LocalStore

    return LocalStore(shop.directory / "state" / "cluster").session("a long run")


def test_every_list_includes_an_unfinished_run(shop: Workshop) -> None:
    """Records that are only in the journal are listed, pulled and migrated."""
    shop.running(1)
    shop.spec(2, site={"faults": "[{call: boot, kind: refuse}]"})
    said: Said = shop("apply", "-y", status=5)
    assert "FAILED" in said.err
    pulled = json.loads(shop("state", "pull").out)
    assert len(pulled["records"]) == len(shop("state", "list", "--json").json["records"])


def test_push_reports_the_kind_of_invalid_input(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "other.json").write_text("{}")
    said = shop("state", "push", "other.json", "-y", status=6)
    assert "This is not a state" in said.err
    assert "other.json is JSON, but not the output of `pragmaspec state pull`: it has no `records`." in " ".join(said.err.split())
    assert "history" not in said.err
