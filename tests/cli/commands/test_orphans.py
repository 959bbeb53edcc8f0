"""``orphans``: objects of the stack that are in no state are found, shown and adopted."""

import shutil

import pytest

from tests.cli.harness import CommandLine


def _machines(cli: CommandLine) -> set[str]:
    holdings = cli("list", "site", "--json").json["sites"][0]["inventory"]["holdings"]
    return {holding["address"] for holding in holdings}


def _lineage(cli: CommandLine) -> str:
    return str(cli("state", "list", "--json").json["lineage"])


def test_no_orphans(cli: CommandLine) -> None:
    cli.spec()
    assert "No orphans at lab" in cli("orphans").out
    cli.running()
    assert "No orphans at lab" in cli("orphans").out
    form = cli("orphans", "--json").json
    assert (form["orphans"], form["sites"], form["other_stacks"]) == ([], ["lab"], None)


def test_a_whole_cluster_is_adopted(cli: CommandLine) -> None:
    cli.running()
    recorded, machines = cli("state", "list", "--json").json["records"], _machines(cli)
    cli("state", "rm", "*", "-y")
    found = cli("orphans", "--json").json["orphans"]
    assert {orphan["address"] for orphan in found} == {record["address"] for record in recorded}
    assert {orphan["kind"] for orphan in found} == {"node", "allocation", "image"}
    cli("orphans", "--adopt", "*")
    after = cli("state", "list", "--json").json["records"]
    assert {record["status"] for record in after} == {"degraded"}
    assert [record["op"] for record in after[:-1]] == [record["op"] for record in recorded[:-1]], "an image has no op"
    for name in ("address", "uuid", "nics", "networks", "public"):
        assert [record.get(name) for record in after] == [record.get(name) for record in recorded], name
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert _machines(cli) == machines


def test_adopted_objects_outside_the_spec_are_cleaned(cli: CommandLine) -> None:
    cli.running()
    cli("state", "rm", "*", "-y")
    spec = cli.spec()
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    cli("orphans", "--adopt", "*")
    assert "--allow data-loss" in cli("apply", "-y", status=4).err
    cli("apply", "-y", "--allow", "data-loss")
    assert (_machines(cli), cli("state", "list", "--json").json["records"]) == (set(), [])


def test_a_lost_state_is_recovered(cli: CommandLine) -> None:
    cli.running()
    lineage, machines = _lineage(cli), _machines(cli)
    shutil.rmtree(cli.directory / "state")
    assert "No orphans at lab" in cli("orphans").out
    other = cli("orphans", "--all", "--json").json["other_stacks"]
    assert [(each["lineage"], each["known"], each["machines"], each["clusters"]) for each in other] == [
        (lineage, True, 3, ["hello"])
    ]
    assert "known to this machine" in cli("orphans", "--all").out
    assert "hello-frontend" in cli("orphans", "--lineage", lineage).out
    assert not (cli.directory / "state").exists()
    cli("orphans", "--lineage", lineage, "--adopt", "*")
    assert _lineage(cli) == lineage
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert _machines(cli) == machines
    assert "Another stack is recorded" in cli("orphans", "--lineage", "x", status=64).err


def test_a_single_object_is_adopted(cli: CommandLine) -> None:
    cli.running()
    cli("state", "rm", "hello-compute-0", "hello-compute-1", "-y")
    assert "No such orphan" in cli("orphans", "--adopt", "hello-frontend", status=64).err
    cli("orphans", "--adopt", "lab/hello/node/hello-compute-0")
    (left,) = cli("orphans", "--site", "lab", "--json").json["orphans"]
    assert left["address"] == "lab/hello/node/hello-compute-1"
    assert "Known sites: lab" in cli("orphans", "--site", "hall", status=64).err


def test_an_allocation_alone_keeps_its_range(cli: CommandLine) -> None:
    cli.running(private="{range: 10.77.0.0/16}")
    before = cli("state", "list", "--json").json["records"][0]
    wanted = cli.spec().read_text()
    for text in (wanted.partition("clusters:")[0] + "clusters: {}\n", wanted):
        cli.spec().write_text(text)
        cli("state", "rm", "lab/hello/allocation", "-y")
        cli("orphans", "--adopt", "*")
        adopted = cli("state", "list", "--json").json["records"][0]
        assert [network["cidr"] for network in adopted["networks"]] == ["10.77.0.0/16"]
    assert [adopted[name] for name in ("public", "op")] == [before[name] for name in ("public", "op")]
    plan = cli("plan", "--json").json
    assert [(action["verb"], action["impact"]) for action in plan["actions"]] == [("allocate", "none")]
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")


def test_an_unreachable_site_is_not_an_empty_site(cli: CommandLine) -> None:
    cli.running()
    cli.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    assert "No orphans" not in cli("orphans", status=1).out


def test_adopted_nodes_with_state_off(cli: CommandLine) -> None:
    cli.running()
    cli.spec(state='"off"')
    cli("apply", "-y")
    cli("state", "rm", "lab/hello/node/*", "-y")
    cli("orphans", "--adopt", "lab/hello/node/*")
    plan = cli("plan", "--json").json
    assert {action["impact"] for action in plan["actions"]} <= {"none", "live"}
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")


@pytest.mark.parametrize("command", ["orphans", "state list"])
def test_orphans_without_a_spec(cli: CommandLine, command: str) -> None:
    cli.running()
    (cli.directory / "cluster.yaml").unlink()
    assert cli(*command.split(), "--state", "state/cluster").status == 0


def test_a_restored_state_is_completed(cli: CommandLine) -> None:
    cli.running(1)
    file = cli.directory / "state" / "cluster" / "state.json"
    old = file.read_bytes()
    cli.spec(2)
    cli("apply", "-y")
    machines = _machines(cli)
    file.write_bytes(old)
    assert "rolled back" in cli("orphans", status=6).err
    assert "hello-compute-1" in cli("orphans", "--accept-rollback").out
    cli("orphans", "--accept-rollback", "--adopt", "*")
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert _machines(cli) == machines


@pytest.mark.parametrize("lost", ["compute-1", "compute-*", "frontend"])
def test_a_renamed_object_is_adopted_under_its_current_name(cli: CommandLine, lost: str) -> None:
    cli.running()
    recorded, machines = cli("state", "list", "--json").json["records"], _machines(cli)
    cli("state", "mv", "hello", "world", "-y")
    cli.spec(cluster="world")
    cli("apply", "-y")
    moved = cli("state", "list", "--json").json["records"]
    cli("state", "rm", f"*/node/*-{lost}", "-y")
    assert "is recorded as degraded" in cli("orphans", "--adopt", "*").out
    after = cli("state", "list", "--json").json["records"]
    for name in ("address", "uuid", "nics", "image", "origin"):
        assert [record.get(name) for record in after] == [record.get(name) for record in moved], name
    assert len(after) == len(recorded)
    assert {action["impact"] for action in cli("plan", "--json").json["actions"]} <= {"none", "live"}
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert len(_machines(cli)) == len(machines)


def test_a_renamed_object_does_not_replace_a_newer_one(cli: CommandLine) -> None:
    cli.running()
    cli("state", "mv", "hello", "world", "-y")
    cli.spec(cluster="world")
    cli("state", "rm", "world-compute-1", "-y")
    cli("apply", "-y")
    before = cli("state", "list", "--json").json
    result = cli("orphans", "--adopt", "*", status=64).err
    assert "lab/hello/node/hello-compute-1 is now called lab/world/node/world-compute-1" in " ".join(result.split())
    assert cli("state", "list", "--json").json == before
