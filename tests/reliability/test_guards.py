"""Refusals before any change: failed listings, merged states with two owners, and removal of protected nodes."""

import json

from tests.cli.harness import CommandLine
from tests.reliability.runs import machines


def recorded(cli: CommandLine) -> str:
    return (cli.directory / "state" / "cluster" / "state.json").read_text(encoding="utf-8")


def test_a_refused_listing_is_not_an_empty_site(cli: CommandLine) -> None:
    cli.running()
    before = recorded(cli)
    cli.spec(3, site={"faults": "[{call: observe, kind: refuse}]"})
    for command in (("plan",), ("apply", "-y")):
        assert "refuse" in cli(*command, status=1).err
    assert recorded(cli) == before
    assert len(machines(cli)) == 3


def test_a_merged_state_with_two_owners_of_an_address_is_refused(cli: CommandLine) -> None:
    """Two users applied from copies of one state, and the files were then merged by hand."""
    cli.running()
    before = recorded(cli)
    merged = json.loads(cli("state", "pull").out)
    ours = next(record for record in merged["records"] if "networks" in record["resource"])
    theirs = json.loads(json.dumps(ours).replace("hello", "theirs")) | {"op": "f" * 32}
    last = max(at for at, record in enumerate(merged["records"]) if record["resource"].get("cluster") == "hello")
    merged["records"].insert(last + 2, theirs)
    del merged["sha256"]
    (cli.directory / "merged.json").write_text(json.dumps(merged), encoding="utf-8")
    error = cli("state", "push", "merged.json", "-y", status=1).err
    assert "198.51.100.10" in error
    assert "lab/hello/allocation" in error
    assert "lab/theirs/allocation" in error
    assert recorded(cli) == before


def test_removal_of_protected_nodes_is_refused_after_the_plan_is_shown(cli: CommandLine) -> None:
    cli.running(protect="true")
    spec = cli.directory / "cluster.yaml"
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    assert "hello-frontend" in cli("plan").out
    result = cli("apply", "-y", "--allow", "data-loss", status=4)
    assert "hello-frontend" in result.out
    assert "The plan removes protected resources" in result.err
    assert len(machines(cli)) == 3
