"""``orphans``: objects of the stack that are in no state are found, shown and adopted."""

import shutil

import pytest

from tests.cli.workshop import Workshop


def _machines(shop: Workshop) -> set[str]:
    holdings = shop("list", "site", "--json").json["sites"][0]["inventory"]["holdings"]
    return {holding["address"] for holding in holdings}


def _lineage(shop: Workshop) -> str:
    return str(shop("state", "list", "--json").json["lineage"])


def test_no_orphans(shop: Workshop) -> None:
    shop.spec()
    assert "Nothing with this stack's marks is without a record at lab" in shop("orphans").out
    shop.running()
    assert "Nothing with this stack's marks is without a record at lab" in shop("orphans").out
    form = shop("orphans", "--json").json
    assert (form["orphans"], form["sites"], form["other_stacks"]) == ([], ["lab"], None)


def test_a_whole_cluster_is_adopted(shop: Workshop) -> None:
    shop.running()
    recorded, machines = shop("state", "list", "--json").json["records"], _machines(shop)
    shop("state", "rm", "*", "-y")
    found = shop("orphans", "--json").json["orphans"]
    assert {orphan["address"] for orphan in found} == {record["address"] for record in recorded}
    assert {orphan["kind"] for orphan in found} == {"node", "allocation", "image"}
    shop("orphans", "--adopt", "*")
    after = shop("state", "list", "--json").json["records"]
    assert {record["status"] for record in after} == {"degraded"}
    assert [record["op"] for record in after[:-1]] == [record["op"] for record in recorded[:-1]], "an image has no op"
    for name in ("address", "uuid", "nics", "networks", "public"):
        assert [record.get(name) for record in after] == [record.get(name) for record in recorded], name
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert _machines(shop) == machines


def test_adopted_objects_outside_the_spec_are_cleaned(shop: Workshop) -> None:
    shop.running()
    shop("state", "rm", "*", "-y")
    spec = shop.spec()
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    shop("orphans", "--adopt", "*")
    assert "--allow data-loss" in shop("apply", "-y", status=4).err
    shop("apply", "-y", "--allow", "data-loss")
    assert (_machines(shop), shop("state", "list", "--json").json["records"]) == (set(), [])


def test_a_lost_state_is_recovered(shop: Workshop) -> None:
    shop.running()
    lineage, machines = _lineage(shop), _machines(shop)
    shutil.rmtree(shop.directory / "state")
    assert "Nothing with this stack's marks" in shop("orphans").out
    other = shop("orphans", "--all", "--json").json["other_stacks"]
    assert [(each["lineage"], each["known"], each["machines"], each["clusters"]) for each in other] == [
        (lineage, True, 3, ["hello"])
    ]
    assert "known to this machine" in shop("orphans", "--all").out
    assert "hello-frontend" in shop("orphans", "--lineage", lineage).out
    assert not (shop.directory / "state").exists()
    shop("orphans", "--lineage", lineage, "--adopt", "*")
    assert _lineage(shop) == lineage
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert _machines(shop) == machines
    assert "Another stack is recorded" in shop("orphans", "--lineage", "x", status=64).err


def test_a_single_object_is_adopted(shop: Workshop) -> None:
    shop.running()
    shop("state", "rm", "hello-compute-0", "hello-compute-1", "-y")
    assert "There is no such orphan" in shop("orphans", "--adopt", "hello-frontend", status=64).err
    shop("orphans", "--adopt", "lab/hello/node/hello-compute-0")
    (left,) = shop("orphans", "--site", "lab", "--json").json["orphans"]
    assert left["address"] == "lab/hello/node/hello-compute-1"
    assert "Known sites: lab" in shop("orphans", "--site", "hall", status=64).err


def test_an_unreachable_site_is_not_an_empty_site(shop: Workshop) -> None:
    shop.running()
    shop.spec(site={"faults": "[{call: observe, kind: refuse}]"})
    assert "Nothing with" not in shop("orphans", status=1).out


def test_adopted_nodes_with_state_off(shop: Workshop) -> None:
    shop.running()
    shop.spec(state='"off"')
    shop("apply", "-y")
    shop("state", "rm", "lab/hello/node/*", "-y")
    shop("orphans", "--adopt", "lab/hello/node/*")
    plan = shop("plan", "--json").json
    assert {action["impact"] for action in plan["actions"]} <= {"none", "live"}
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")


@pytest.mark.parametrize("command", ["orphans", "state list"])
def test_orphans_without_a_spec(shop: Workshop, command: str) -> None:
    shop.running()
    (shop.directory / "cluster.yaml").unlink()
    assert shop(*command.split(), "--state", "state/cluster").status == 0


def test_a_restored_state_is_completed(shop: Workshop) -> None:
    shop.running(1)
    file = shop.directory / "state" / "cluster" / "state.json"
    old = file.read_bytes()
    shop.spec(2)
    shop("apply", "-y")
    machines = _machines(shop)
    file.write_bytes(old)
    assert "rolled back" in shop("orphans", status=6).err
    assert "hello-compute-1" in shop("orphans", "--accept-rollback").out
    shop("orphans", "--accept-rollback", "--adopt", "*")
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert _machines(shop) == machines


@pytest.mark.parametrize("lost", ["compute-1", "compute-*", "frontend"])
def test_a_renamed_object_is_adopted_under_its_current_name(shop: Workshop, lost: str) -> None:
    shop.running()
    recorded, machines = shop("state", "list", "--json").json["records"], _machines(shop)
    shop("state", "mv", "hello", "world", "-y")
    shop.spec(cluster="world")
    shop("apply", "-y")
    moved = shop("state", "list", "--json").json["records"]
    shop("state", "rm", f"*/node/*-{lost}", "-y")
    assert "is recorded as degraded" in shop("orphans", "--adopt", "*").out
    after = shop("state", "list", "--json").json["records"]
    for name in ("address", "uuid", "nics", "image", "origin"):
        assert [record.get(name) for record in after] == [record.get(name) for record in moved], name
    assert len(after) == len(recorded)
    assert {action["impact"] for action in shop("plan", "--json").json["actions"]} <= {"none", "live"}
    shop("apply", "-y")
    assert shop("plan").out.startswith("No changes")
    assert len(_machines(shop)) == len(machines)


def test_a_renamed_object_does_not_replace_a_newer_one(shop: Workshop) -> None:
    shop.running()
    shop("state", "mv", "hello", "world", "-y")
    shop.spec(cluster="world")
    shop("state", "rm", "world-compute-1", "-y")
    shop("apply", "-y")
    before = shop("state", "list", "--json").json
    said = shop("orphans", "--adopt", "*", status=64).err
    assert "lab/hello/node/hello-compute-1 is called lab/world/node/world-compute-1 now" in " ".join(said.split())
    assert shop("state", "list", "--json").json == before
