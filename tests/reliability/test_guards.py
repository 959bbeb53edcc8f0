"""What is refused before anything is done: a listing that cannot be had, a merge with two owners, what is protected."""

import json

from tests.cli.workshop import Workshop
from tests.reliability.runs import machines


def recorded(shop: Workshop) -> str:
    return (shop.directory / "state" / "cluster" / "state.json").read_text(encoding="utf-8")


def test_a_listing_that_is_refused_is_no_empty_site(shop: Workshop) -> None:
    shop.running()
    before = recorded(shop)
    shop.spec(3, site={"faults": "[{call: observe, kind: refuse}]"})
    for words in (("plan",), ("apply", "-y")):
        assert "refuse" in shop(*words, status=1).err
    assert recorded(shop) == before
    assert len(machines(shop)) == 3


def test_a_merge_of_two_states_with_two_owners_of_one_address_is_refused_by_name(shop: Workshop) -> None:
    """Two people applied from copies of one state, and somebody joined the two files by hand."""
    shop.running()
    before = recorded(shop)
    merged = json.loads(shop("state", "pull").out)
    ours = next(record for record in merged["records"] if "networks" in record["resource"])
    theirs = json.loads(json.dumps(ours).replace("hello", "theirs")) | {"op": "f" * 32}
    last = max(at for at, record in enumerate(merged["records"]) if record["resource"].get("cluster") == "hello")
    merged["records"].insert(last + 2, theirs)
    del merged["sha256"]
    (shop.directory / "merged.json").write_text(json.dumps(merged), encoding="utf-8")
    said = shop("state", "push", "merged.json", "-y", status=1).err
    assert "198.51.100.10" in said
    assert "lab/hello/allocation" in said
    assert "lab/theirs/allocation" in said
    assert recorded(shop) == before


def test_what_is_protected_stays_when_it_leaves_the_spec_and_the_plan_is_shown_all_the_same(shop: Workshop) -> None:
    shop.running(protect="true")
    spec = shop.directory / "cluster.yaml"
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    assert "hello-frontend" in shop("plan").out
    said = shop("apply", "-y", "--allow", "data-loss", status=4)
    assert "hello-frontend" in said.out
    assert "The plan removes protected resources" in said.err
    assert len(machines(shop)) == 3
