import fcntl
import json
import re
from pathlib import Path

import pytest

from tests.cli.workshop import Workshop


def _verbs(shop: Workshop, *arguments: str) -> list[str]:
    return [
        f"{action['verb']} {action['address'].rsplit('/', 1)[-1]}"
        for action in shop("plan", "--json", *arguments).json["actions"]
    ]


def test_a_plan_after_an_apply_is_empty(shop: Workshop) -> None:
    shop.spec()
    planned = shop("plan").out
    assert "Plan: 1 to stage (1 MiB to transfer), 1 to allocate, 3 to boot. Nothing is rebooted, rebuilt or lost." in planned
    assert "198.51.100.10 · vlan 20" in planned
    assert not (shop.directory / "state").exists(), "a plan writes nothing"
    applied = shop("apply", "--auto-approve")
    assert planned.splitlines()[:-1] == applied.out.splitlines()[: len(planned.splitlines()) - 1]
    assert re.search(r"Done: 5 actions in [0-9.]+ s\.", applied.out)
    assert shop("plan").out == "No changes: everything at lab is as cluster.yaml says.\n"
    assert shop("apply").out == "No changes: everything at lab is as cluster.yaml says.\n"


def test_progress_without_a_terminal_is_plain_lines(shop: Workshop) -> None:
    shop.spec()
    said = shop("apply", "--auto-approve")
    lines = said.err.splitlines()
    assert all(re.match(r"\[ *[0-9.]+ s\] (stage|allocate|boot) ", line) for line in lines)
    assert sum(": done in " in line for line in lines) == 5
    assert "\x1b" not in said.out + said.err


def test_confirmation_requires_a_terminal(shop: Workshop) -> None:
    shop.spec()
    said = shop("apply", status=4)
    assert "Plan: 1 to stage" in said.out
    assert "--auto-approve" in said.err
    assert not (shop.directory / "site.json").exists()


def test_detailed_exitcode_shows_changes(shop: Workshop) -> None:
    shop.spec()
    shop("plan", "--detailed-exitcode", status=2)
    shop("apply", "-y")
    shop("plan", "--detailed-exitcode", status=0)


def test_scaling_keeps_addresses_and_removal_requires_consent(shop: Workshop) -> None:
    shop.running(2)
    before = {node["name"]: node["addresses"] for node in shop("list", "cluster", "--json").json["clusters"][0]["nodes"]}
    shop.spec(3)
    shop("apply", "-y")
    shop.spec(1)
    refused = shop("apply", "-y", status=4)
    assert "DATA LOSS: hello-compute-2 and hello-compute-1 are removed" in refused.out
    assert "--allow data-loss" in refused.err
    shop("apply", "-y", "--allow", "data-loss")
    after = {node["name"]: node["addresses"] for node in shop("list", "cluster", "--json").json["clusters"][0]["nodes"]}
    assert after == {name: before[name] for name in ("hello-frontend", "hello-compute-0")}


def test_an_unknown_risk_is_a_usage_error(shop: Workshop) -> None:
    shop.running(1)
    shop.spec(2)
    assert "Known: rebuild, data-loss, protected" in shop("apply", "-y", "--allow", "everything", status=64).err


def test_target_includes_dependencies(shop: Workshop) -> None:
    shop.spec()
    assert len(_verbs(shop, "--target", "hello-compute-1")) == 3
    assert not any("hello-compute-1" in verb for verb in _verbs(shop, "--exclude", "hello-compute-1"))
    shop("plan", "--target", "helo-compute-1", status=64)
    shop("apply", "-y", "-t", "hello-frontend")
    assert _verbs(shop) == ["update hello-frontend", "boot hello-compute-0", "boot hello-compute-1"]


def test_no_refresh_uses_the_recorded_state(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "site.json").unlink()
    assert shop("plan", "--no-refresh").out.startswith("No changes: everything recorded is")
    assert "--accept-missing" in shop("plan", status=4).err
    assert "is gone from the site" in shop("plan", "--accept-missing").out


def test_verbose_shows_macs(shop: Workshop) -> None:
    shop.spec()
    assert re.search(r"private +52(:[0-9a-f]{2}){5}  10\.20\.0\.10/", shop("plan", "-v").out)


@pytest.mark.parametrize("place", [(), ("cluster.yaml",), ("--spec", "cluster.yaml"), (".",)])
def test_the_spec_is_found(shop: Workshop, place: tuple[str, ...]) -> None:
    shop.spec()
    assert "3 to boot" in shop("plan", *place).out


def test_the_spec_can_be_set_in_the_environment(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = shop.spec().rename(shop.directory / "other.yaml")
    (shop.directory / "notes.yaml").write_text("clusters:\n  x: {}\n")
    assert "Several specs could be meant" in shop("plan", status=64).err
    monkeypatch.setenv("PRAGMASPEC_SPEC", str(spec))
    assert "3 to boot" in shop("plan").out
    shop("plan", "a.yaml", "--spec", "b.yaml", status=64)


def test_a_saved_plan_is_applied_exactly(shop: Workshop) -> None:
    shop.spec()
    shop("plan", "--out", "hello.plan")
    assert (shop.directory / "hello.plan").stat().st_mode & 0o777 == 0o600
    planned = shop("plan", "--out", "again.plan", "--json").json
    shop("apply", "again.plan", status=4)
    applied = shop("apply", "again.plan", "-y", "--json").json
    assert applied["plan"]["actions"] == planned["actions"]
    assert sorted(applied["done"]) == sorted(action["key"] for action in planned["actions"])
    assert "belongs to another stack" in shop("apply", "hello.plan", "-y", status=4).err


def test_a_saved_plan_of_another_state_is_stale(shop: Workshop) -> None:
    shop.running()
    shop.spec(3)
    shop("plan", "-o", "three.plan")
    shop("apply", "-y")
    assert "the state has changed since" in shop("apply", "three.plan", "-y", status=4).err


def test_a_saved_plan_of_another_spec_is_stale(shop: Workshop) -> None:
    shop.running()
    shop.spec(3)
    shop("plan", "-o", "three.plan")
    shop.spec(4)
    assert "has changed since the plan was made" in shop("apply", "three.plan", "-y", status=4).err


def test_a_saved_plan_of_another_version_is_stale(shop: Workshop) -> None:
    shop.spec()
    shop("plan", "-o", "hello.plan")
    file = shop.directory / "hello.plan"
    file.write_text(file.read_text().replace('"tool":"', '"tool":"9', 1))
    assert "made by pragmaspec 9" in shop("apply", "hello.plan", "-y", status=4).err


@pytest.mark.parametrize(
    ("old", "new"), [('"plan":', '"plam":'), ('"format"', '"formal"'), ("}\n", "\n"), ('"tool":"', '"tool":5,"x":"')]
)
def test_a_damaged_plan_is_refused(shop: Workshop, old: str, new: str) -> None:
    shop.spec()
    shop("plan", "-o", "hello.plan")
    file = shop.directory / "hello.plan"
    text = file.read_text().replace(',"tool"', ',"format":1,"tool"') if old == '"format"' else file.read_text()
    file.write_text(text.replace(old, new))
    assert "Saved plan damaged" in shop("apply", "hello.plan", "-y", status=64).err


def test_a_saved_plan_excludes_selection_options(shop: Workshop) -> None:
    shop.spec()
    shop("plan", "-o", "hello.plan")
    assert "applied as it is" in shop("apply", "hello.plan", "--target", "hello", status=64).err


def test_a_saved_plan_works_in_another_directory(shop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop.spec()
    shop("plan", "-o", "hello.plan")
    monkeypatch.chdir(tmp_path)
    shop("apply", str(shop.directory / "hello.plan"), "-y")
    monkeypatch.chdir(shop.directory)
    assert shop("plan").out.startswith("No changes")


def test_a_saved_plan_only_replaces_a_saved_plan(shop: Workshop) -> None:
    shop.running()
    shop.spec(computes=3)
    for other in ("cluster.yaml", "state/cluster/state.json"):
        before = (shop.directory / other).read_bytes()
        assert "Name another file" in shop("plan", "--out", other, status=64).err
        assert (shop.directory / other).read_bytes() == before
    for _ in range(2):
        shop("plan", "--out", "hello.plan")


def test_an_unwritable_plan_file_is_an_error(shop: Workshop) -> None:
    shop.spec()
    assert "cannot be saved" in shop("plan", "-o", f"{'a' * 300}.plan", status=1).err


def test_drift_is_shown_separately_and_repaired(shop: Workshop) -> None:
    shop.running()
    lines = (shop.directory / "site.json").read_text().splitlines()
    kept = [line for line in lines if not ("hello-compute-1" in line and '"machine"' in line)]
    (shop.directory / "site.json").write_text("\n".join(kept) + "\n")
    said = shop("plan").out
    assert said.startswith(
        "Drift: the site differs from what the last apply recorded.\n\n  !  hello-compute-1  is gone from the site\n"
    )
    assert _verbs(shop) == ["boot hello-compute-1"]
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")


def test_a_failure_is_reported_and_the_next_apply_continues(shop: Workshop) -> None:
    faults = "[{call: boot, kind: refuse, match: hello-compute-1, nth: 1}]"
    shop.spec(site={"faults": faults})
    failed = shop("apply", "-y", status=5)
    assert "boot hello-compute-1: FAILED" in failed.err
    assert "error:" in failed.err
    assert _verbs(shop) == ["boot hello-compute-1"]
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")


def test_failure_as_json(shop: Workshop) -> None:
    shop.spec(site={"faults": "[{call: boot, kind: refuse, match: hello-compute-1, nth: 1}]"})
    said = shop("apply", "-y", "--json", status=5)
    assert (said.json["kind"], said.json["error"], said.json["exit_status"]) == ("error", "ApplyIncomplete", 5)
    assert "hello-compute-1" in said.json["problems"][0]["detail"]


def test_a_second_run_is_refused(shop: Workshop) -> None:
    shop.running()
    with (shop.directory / "state" / "cluster" / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shop.spec(3)
        shop("apply", "-y", status=3)
        assert "1 to boot" in shop("plan").out, "a plan needs no lock"


def test_a_damaged_state_is_an_error(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "state" / "cluster" / "state.json").write_text("{}")
    shop("plan", status=6)
    shop("apply", "-y", status=6)


def test_missing_capacity_is_a_plan_error(shop: Workshop) -> None:
    shop.spec(2, memory="200 GiB")
    said = shop("plan", status=1)
    assert "memory" in said.err
    assert said.out == ""


def test_every_error_of_a_spec_is_shown_with_its_line(shop: Workshop) -> None:
    spec = shop.spec(computs="3", protect="maybe")
    said = shop("plan", status=1)
    number = next(at for at, line in enumerate(spec.read_text().splitlines(), 1) if "computs" in line)
    assert f"cluster.yaml:{number}:5" in said.err
    assert "computes" in said.err
    assert "2 problems." in said.err
    problems = shop("validate", "--json", status=1).json["problems"]
    assert len(problems) >= 2
    assert {"summary", "detail", "where", "quote", "severity"} == set(problems[0])


def test_control_characters_in_a_spec_are_escaped(shop: Workshop) -> None:
    shop.spec(**{'"\\e]0;owned\\a"': "1"})
    said = shop("validate", status=1)
    assert "\x1b" not in said.err
    assert "\x07" not in said.err


def test_the_state_can_be_in_another_location(shop: Workshop, tmp_path: Path) -> None:
    shop.spec()
    shop("apply", "-y", "--state", str(tmp_path / "elsewhere"))
    assert not (shop.directory / "state").exists()
    assert "3 to boot" in shop("plan").out
    assert shop("plan", "--state", str(tmp_path / "elsewhere")).out.startswith("No changes")


def test_the_spec_can_name_the_stack(shop: Workshop) -> None:
    spec = shop.spec()
    spec.write_text('stack: "science"   # for the paper\n' + spec.read_text())
    shop("apply", "-y")
    assert (shop.directory / "state" / "science" / "state.json").exists()
    for form in ("? stack\n: science", "x-n: &n science\nstack: *n"):
        shop.spec()
        spec.write_text(f"{form}\n" + spec.read_text())
        assert shop("plan").out.startswith("No changes")


def test_a_plan_mentions_an_interrupted_run(shop: Workshop) -> None:
    shop.running()
    state = shop.directory / "state" / "cluster"
    serial = json.loads((state / "state.json").read_text())["serial"]
    (state / f"journal.{serial}.jsonl").write_bytes(b"")
    shop.spec(3)
    assert shop("plan").out.startswith("An earlier run was interrupted")


def test_a_changed_disk_is_a_new_image(shop: Workshop) -> None:
    """The disk is not read for every plan, but a changed file is detected."""
    shop.running()
    disk = shop.directory / "disk.raw"
    data = bytearray(disk.read_bytes())
    data[4096] = 1
    disk.write_bytes(data)
    assert "REBUILD" in shop("plan").out


def test_a_plan_of_an_unchanged_spec_loads_no_models(shop: Workshop) -> None:
    shop.running()
    loaded = shop.process("plan", environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert loaded.out.startswith("No changes")
    modules = {line.rpartition("|")[2].strip() for line in loaded.err.splitlines()}
    heavy = {"pydantic", "ruamel", "ruamel.yaml", "rich", "requests", "deepdiff", "libvirt", "cryptography", "pycdlib"}
    assert not modules & heavy


def test_skipped_actions_of_one_cause_are_summarised(shop: Workshop) -> None:
    shop.spec(20, site={"faults": "[{call: allocate, kind: refuse}]", "host": "{cpus: 200, memory: 1 TiB, disk: 10 TiB}"})
    said = shop("apply", "-y", status=5)
    because = r"not started, .*allocat.* failed$"
    assert len(re.findall(rf"boot \S+: {because}", said.err, re.MULTILINE)) == 3
    assert re.search(rf"18 more: {because}", said.err, re.MULTILINE)


@pytest.mark.parametrize("name", ["nosuch.json", "nosuch.plan", f"{'a' * 300}.plan"])
def test_a_missing_plan_file_is_a_usage_error(shop: Workshop, name: str) -> None:
    shop.spec()
    said = " ".join(shop("apply", name, status=64).err.split())
    assert (
        said
        == f"error: No such file There is no {name}. A spec is a YAML file; a plan is saved with `pragmaspec plan --out {name}`."
    )


def test_a_missing_target_directory_is_refused_before_planning(shop: Workshop) -> None:
    shop.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    said = shop("plan", "--out", "nowhere/x.plan", status=64)
    assert (said.out, "There is no folder nowhere." in said.err) == ("", True)


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
    shop: Workshop, command: tuple[str, ...], word: str, advice: str
) -> None:
    shop.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    said = shop(*command, "--allow", "rebuild", "--allow", word, status=64)
    assert said.out == ""
    assert f"{word} cannot be allowed. {advice}" in said.err
