import fcntl
import json
import re
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine


def _verbs(cli: CommandLine, *arguments: str) -> list[str]:
    return [
        f"{action['verb']} {action['address'].rsplit('/', 1)[-1]}" for action in cli("plan", "--json", *arguments).json["actions"]
    ]


def test_a_plan_after_an_apply_is_empty(cli: CommandLine) -> None:
    cli.spec()
    planned = cli("plan").out
    assert "Plan: 1 to stage (1 MiB to transfer), 1 to allocate, 3 to boot. Nothing is rebooted, rebuilt or lost." in planned
    assert "198.51.100.10 · vlan 20" in planned
    assert not (cli.directory / "state").exists(), "a plan writes nothing"
    applied = cli("apply", "--auto-approve")
    assert planned.splitlines()[:-1] == applied.out.splitlines()[: len(planned.splitlines()) - 1]
    assert re.search(r"Done: 5 actions in [0-9.]+ s\.", applied.out)
    assert cli("plan").out == "No changes: lab matches cluster.yaml.\n"
    assert cli("apply").out == "No changes: lab matches cluster.yaml.\n"


def test_progress_without_a_terminal_is_plain_lines(cli: CommandLine) -> None:
    cli.spec()
    result = cli("apply", "--auto-approve")
    lines = result.err.splitlines()
    assert all(re.match(r"\[ *[0-9.]+ s\] (stage|allocate|boot) ", line) for line in lines)
    assert sum(": done in " in line for line in lines) == 5
    assert "\x1b" not in result.out + result.err


def test_confirmation_requires_a_terminal(cli: CommandLine) -> None:
    cli.spec()
    result = cli("apply", status=4)
    assert "Plan: 1 to stage" in result.out
    assert "--auto-approve" in result.err
    assert not (cli.directory / "site.json").exists()


def test_detailed_exitcode_shows_changes(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "--detailed-exitcode", status=2)
    cli("apply", "-y")
    cli("plan", "--detailed-exitcode", status=0)


def test_scaling_keeps_addresses_and_removal_requires_consent(cli: CommandLine) -> None:
    cli.running(2)
    before = {node["name"]: node["addresses"] for node in cli("list", "cluster", "--json").json["clusters"][0]["nodes"]}
    cli.spec(3)
    cli("apply", "-y")
    cli.spec(1)
    refused = cli("apply", "-y", status=4)
    assert "DATA LOSS: hello-compute-2 and hello-compute-1 are removed" in refused.out
    assert "--allow data-loss" in refused.err
    cli("apply", "-y", "--allow", "data-loss")
    after = {node["name"]: node["addresses"] for node in cli("list", "cluster", "--json").json["clusters"][0]["nodes"]}
    assert after == {name: before[name] for name in ("hello-frontend", "hello-compute-0")}


def test_an_unknown_risk_is_a_usage_error(cli: CommandLine) -> None:
    cli.running(1)
    cli.spec(2)
    assert "Known: rebuild, data-loss, protected" in cli("apply", "-y", "--allow", "everything", status=64).err


def test_target_includes_dependencies(cli: CommandLine) -> None:
    cli.spec()
    assert len(_verbs(cli, "--target", "hello-compute-1")) == 3
    assert not any("hello-compute-1" in verb for verb in _verbs(cli, "--exclude", "hello-compute-1"))
    cli("plan", "--target", "helo-compute-1", status=64)
    cli("apply", "-y", "-t", "hello-frontend")
    assert _verbs(cli) == ["update hello-frontend", "boot hello-compute-0", "boot hello-compute-1"]


def test_no_refresh_uses_the_recorded_state(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "site.json").unlink()
    assert cli("plan", "--no-refresh").out.startswith("No changes: the recorded state matches")
    assert "--accept-missing" in cli("plan", status=4).err
    assert "is gone from the site" in cli("plan", "--accept-missing").out


def test_verbose_shows_macs(cli: CommandLine) -> None:
    cli.spec()
    assert re.search(r"private +52(:[0-9a-f]{2}){5}  10\.20\.0\.10/", cli("plan", "-v").out)


@pytest.mark.parametrize("place", [(), ("cluster.yaml",), ("--spec", "cluster.yaml"), (".",)])
def test_the_spec_is_found(cli: CommandLine, place: tuple[str, ...]) -> None:
    cli.spec()
    assert "3 to boot" in cli("plan", *place).out


def test_the_spec_can_be_set_in_the_environment(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = cli.spec().rename(cli.directory / "other.yaml")
    (cli.directory / "notes.yaml").write_text("clusters:\n  x: {}\n")
    assert "Several specs could be meant" in cli("plan", status=64).err
    monkeypatch.setenv("PRAGMASPEC_SPEC", str(spec))
    assert "3 to boot" in cli("plan").out
    cli("plan", "a.yaml", "--spec", "b.yaml", status=64)


def test_a_saved_plan_is_applied_exactly(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "--out", "hello.plan")
    assert (cli.directory / "hello.plan").stat().st_mode & 0o777 == 0o600
    planned = cli("plan", "--out", "again.plan", "--json").json
    cli("apply", "again.plan", status=4)
    applied = cli("apply", "again.plan", "-y", "--json").json
    assert applied["plan"]["actions"] == planned["actions"]
    assert sorted(applied["done"]) == sorted(action["key"] for action in planned["actions"])
    assert "belongs to another stack" in cli("apply", "hello.plan", "-y", status=4).err


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_a_saved_plan_is_not_mistaken_for_a_spec(cli: CommandLine, command: str) -> None:
    cli.spec()
    cli("plan", "--out", "hello.json")
    refused = " ".join(cli(command, "hello.json", status=1).err.split())
    assert refused.startswith("error: Not a spec hello.json is a saved plan. `pragmaspec apply hello.json` shows and applies it.")


def test_a_saved_plan_of_another_state_is_stale(cli: CommandLine) -> None:
    cli.running()
    cli.spec(3)
    cli("plan", "-o", "three.plan")
    cli("apply", "-y")
    assert "the state has changed since" in cli("apply", "three.plan", "-y", status=4).err


def test_a_saved_plan_of_another_spec_is_stale(cli: CommandLine) -> None:
    cli.running()
    cli.spec(3)
    cli("plan", "-o", "three.plan")
    cli.spec(4)
    assert "has changed since the plan was made" in cli("apply", "three.plan", "-y", status=4).err


def test_a_saved_plan_of_another_version_is_stale(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    file = cli.directory / "hello.plan"
    file.write_text(file.read_text().replace('"tool":"', '"tool":"9', 1))
    assert "made by pragmaspec 9" in cli("apply", "hello.plan", "-y", status=4).err


@pytest.mark.parametrize(
    ("old", "new"), [('"plan":', '"plam":'), ('"format"', '"formal"'), ("}\n", "\n"), ('"tool":"', '"tool":5,"x":"')]
)
def test_a_damaged_plan_is_refused(cli: CommandLine, old: str, new: str) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    file = cli.directory / "hello.plan"
    text = file.read_text().replace(',"tool"', ',"format":1,"tool"') if old == '"format"' else file.read_text()
    file.write_text(text.replace(old, new))
    assert "Saved plan damaged" in cli("apply", "hello.plan", "-y", status=64).err


def test_a_saved_plan_excludes_selection_options(cli: CommandLine) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    assert "applied as it is" in cli("apply", "hello.plan", "--target", "hello", status=64).err


def test_a_saved_plan_works_in_another_directory(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cli.spec()
    cli("plan", "-o", "hello.plan")
    monkeypatch.chdir(tmp_path)
    cli("apply", str(cli.directory / "hello.plan"), "-y")
    monkeypatch.chdir(cli.directory)
    assert cli("plan").out.startswith("No changes")


def test_a_saved_plan_only_replaces_a_saved_plan(cli: CommandLine) -> None:
    cli.running()
    cli.spec(computes=3)
    for other in ("cluster.yaml", "state/cluster/state.json"):
        before = (cli.directory / other).read_bytes()
        assert "Name another file" in cli("plan", "--out", other, status=64).err
        assert (cli.directory / other).read_bytes() == before
    for _ in range(2):
        cli("plan", "--out", "hello.plan")


def test_an_unwritable_plan_file_is_an_error(cli: CommandLine) -> None:
    cli.spec()
    assert "cannot be saved" in cli("plan", "-o", f"{'a' * 300}.plan", status=1).err


def test_drift_is_shown_separately_and_repaired(cli: CommandLine) -> None:
    cli.running()
    lines = (cli.directory / "site.json").read_text().splitlines()
    kept = [line for line in lines if not ("hello-compute-1" in line and '"machine"' in line)]
    (cli.directory / "site.json").write_text("\n".join(kept) + "\n")
    result = cli("plan").out
    assert result.startswith("Drift: the site differs from the recorded state.\n\n  !  hello-compute-1  is gone from the site\n")
    assert _verbs(cli) == ["boot hello-compute-1"]
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")


def test_a_failure_is_reported_and_the_next_apply_continues(cli: CommandLine) -> None:
    faults = "[{call: boot, kind: refuse, match: hello-compute-1, nth: 1}]"
    cli.spec(site={"faults": faults})
    failed = cli("apply", "-y", status=5)
    assert "boot hello-compute-1: FAILED" in failed.err
    assert "error:" in failed.err
    assert _verbs(cli) == ["boot hello-compute-1"]
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")


def test_failure_as_json(cli: CommandLine) -> None:
    cli.spec(site={"faults": "[{call: boot, kind: refuse, match: hello-compute-1, nth: 1}]"})
    result = cli("apply", "-y", "--json", status=5)
    assert (result.json["kind"], result.json["error"], result.json["exit_status"]) == ("error", "ApplyIncomplete", 5)
    assert "hello-compute-1" in result.json["problems"][0]["detail"]


def test_a_second_run_is_refused(cli: CommandLine) -> None:
    cli.running()
    with (cli.directory / "state" / "cluster" / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cli.spec(3)
        cli("apply", "-y", status=3)
        assert "1 to boot" in cli("plan").out, "a plan needs no lock"


def test_a_damaged_state_is_an_error(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "state" / "cluster" / "state.json").write_text("{}")
    cli("plan", status=6)
    cli("apply", "-y", status=6)


def test_missing_capacity_is_a_plan_error(cli: CommandLine) -> None:
    cli.spec(2, memory="200 GiB")
    result = cli("plan", status=1)
    assert "memory" in result.err
    assert result.out == ""


def test_every_error_of_a_spec_is_shown_with_its_line(cli: CommandLine) -> None:
    spec = cli.spec(computs="3", protect="maybe")
    result = cli("plan", status=1)
    number = next(at for at, line in enumerate(spec.read_text().splitlines(), 1) if "computs" in line)
    assert f"cluster.yaml:{number}:5" in result.err
    assert "computes" in result.err
    assert "2 problems." in result.err
    problems = cli("validate", "--json", status=1).json["problems"]
    assert len(problems) >= 2
    assert {"summary", "detail", "where", "quote", "severity"} == set(problems[0])


def test_control_characters_in_a_spec_are_escaped(cli: CommandLine) -> None:
    cli.spec(**{'"\\e]0;owned\\a"': "1"})
    result = cli("validate", status=1)
    assert "\x1b" not in result.err
    assert "\x07" not in result.err


def test_the_state_can_be_in_another_location(cli: CommandLine, tmp_path: Path) -> None:
    cli.spec()
    cli("apply", "-y", "--state", str(tmp_path / "elsewhere"))
    assert not (cli.directory / "state").exists()
    assert "3 to boot" in cli("plan").out
    assert cli("plan", "--state", str(tmp_path / "elsewhere")).out.startswith("No changes")


def test_the_spec_can_name_the_stack(cli: CommandLine) -> None:
    spec = cli.spec()
    spec.write_text('stack: "science"   # for the paper\n' + spec.read_text())
    cli("apply", "-y")
    assert (cli.directory / "state" / "science" / "state.json").exists()
    for form in ("? stack\n: science", "x-n: &n science\nstack: *n"):
        cli.spec()
        spec.write_text(f"{form}\n" + spec.read_text())
        assert cli("plan").out.startswith("No changes")


def test_a_plan_mentions_an_interrupted_run(cli: CommandLine) -> None:
    cli.running()
    state = cli.directory / "state" / "cluster"
    serial = json.loads((state / "state.json").read_text())["serial"]
    (state / f"journal.{serial}.jsonl").write_bytes(b"")
    cli.spec(3)
    assert cli("plan").out.startswith("An earlier run was interrupted")


def test_a_changed_disk_is_a_new_image(cli: CommandLine) -> None:
    """The disk is not read for every plan, but a changed file is detected."""
    cli.running()
    disk = cli.directory / "disk.raw"
    data = bytearray(disk.read_bytes())
    data[4096] = 1
    disk.write_bytes(data)
    assert "REBUILD" in cli("plan").out


def test_a_plan_of_an_unchanged_spec_loads_no_models(cli: CommandLine) -> None:
    cli.running()
    loaded = cli.process("plan", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert loaded.out.startswith("No changes")
    modules = {line.rpartition("|")[2].strip() for line in loaded.err.splitlines()}
    heavy = {"pydantic", "ruamel", "ruamel.yaml", "rich", "requests", "deepdiff", "libvirt", "cryptography", "pycdlib"}
    assert not modules & heavy


def test_skipped_actions_of_one_cause_are_summarised(cli: CommandLine) -> None:
    cli.spec(20, site={"faults": "[{call: allocate, kind: refuse}]", "host": "{cpus: 200, memory: 1 TiB, disk: 10 TiB}"})
    result = cli("apply", "-y", status=5)
    because = r"not started, .*allocat.* failed$"
    assert len(re.findall(rf"boot \S+: {because}", result.err, re.MULTILINE)) == 3
    assert re.search(rf"18 more: {because}", result.err, re.MULTILINE)


@pytest.mark.parametrize("name", ["nosuch.json", "nosuch.plan", f"{'a' * 300}.plan"])
def test_a_missing_plan_file_is_a_usage_error(cli: CommandLine, name: str) -> None:
    cli.spec()
    result = " ".join(cli("apply", name, status=64).err.split())
    assert (
        result
        == f"error: No such file There is no {name}. A spec is a YAML file; a plan is saved with `pragmaspec plan --out {name}`."
    )


def test_a_missing_target_directory_is_refused_before_planning(cli: CommandLine) -> None:
    cli.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    result = cli("plan", "--out", "nowhere/x.plan", status=64)
    assert (result.out, "There is no directory nowhere." in result.err) == ("", True)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("dataloss", "Did you mean data-loss?"),
        ("DATA_LOSS", "Did you mean data-loss?"),
        ("x", "Known: rebuild, data-loss, protected."),
    ],
)
@pytest.mark.parametrize("command", [("apply", "-y"), ("boot", "hello"), ("clean", "hello")])
def test_an_unknown_risk_is_refused_before_a_site_is_queried(
    cli: CommandLine, command: tuple[str, ...], word: str, advice: str
) -> None:
    cli.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    result = cli(*command, "--allow", "rebuild", "--allow", word, status=64)
    assert result.out == ""
    assert f"{word} cannot be allowed. {advice}" in result.err
