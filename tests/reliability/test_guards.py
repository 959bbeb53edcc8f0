"""What is refused before anything is done: a listing that cannot be had, a merge with two owners, what is protected."""

import json

from tests.cli.harness import CommandLine
from tests.reliability.runs import machines


def recorded(cli: CommandLine) -> str:
    return (cli.directory / "state" / "cluster" / "state.json").read_text(encoding="utf-8")


def test_a_listing_that_is_refused_is_no_empty_site(cli: CommandLine) -> None:
    cli.running()
    before = recorded(cli)
    cli.spec(3, site={"faults": "[{call: observe, kind: refuse}]"})
    for words in (("plan",), ("apply", "-y")):
        assert "refuse" in cli(*words, status=1).err
    assert recorded(cli) == before
    assert len(machines(cli)) == 3


def test_a_merge_of_two_states_with_two_owners_of_one_address_is_refused_by_name(cli: CommandLine) -> None:
    """Two people applied from copies of one state, and somebody joined the two files by hand."""
    cli.running()
    before = recorded(cli)
    merged = json.loads(cli("state", "pull").out)
    ours = next(record for record in merged["records"] if "networks" in record["resource"])
    theirs = json.loads(json.dumps(ours).replace("hello", "theirs")) | {"op": "f" * 32}
    last = max(at for at, record in enumerate(merged["records"]) if record["resource"].get("cluster") == "hello")
    merged["records"].insert(last + 2, theirs)
    del merged["sha256"]
    (cli.directory / "merged.json").write_text(json.dumps(merged), encoding="utf-8")
    said = cli("state", "push", "merged.json", "-y", status=1).err
    assert "198.51.100.10" in said
    assert "lab/hello/allocation" in said
    assert "lab/theirs/allocation" in said
    assert recorded(cli) == before


def test_what_is_protected_stays_when_it_leaves_the_spec_and_the_plan_is_shown_all_the_same(cli: CommandLine) -> None:
    cli.running(protect="true")
    spec = cli.directory / "cluster.yaml"
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    assert "hello-frontend" in cli("plan").out
    said = cli("apply", "-y", "--allow", "data-loss", status=4)
    assert "hello-frontend" in said.out
    assert "The plan removes protected resources" in said.err
    assert len(machines(cli)) == 3
