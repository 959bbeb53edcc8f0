"""Values that only a site chooses, in the text and in the JSON of a plan, and in lists."""

from msgspec.structs import replace

from pragmaspec.report.json_forms import resource_json
from pragmaspec.report.lists_text import nodes_text
from pragmaspec.report.plan.json import plan_json
from pragmaspec.report.plan.text import plan_text
from pragmaspec.report.style import Style
from pragmaspec.site import SimulatedSite
from tests.planning.builders import EMPTY, applied, cluster, planned, wanted

CLOUD = SimulatedSite(name="cloud", late=("macs", "private", "public"))
SPEC = wanted(cluster(computes=1, site="cloud"), sites=(CLOUD,))


def test_unknown_values_are_null_in_json() -> None:
    actions = {action["key"]: action["resource"] for action in plan_json(planned(SPEC))["actions"]}
    frontend = actions["boot cloud/hello/node/hello-frontend"]
    assert frontend["addresses"] == {"private": None, "public": None}
    assert [(nic["mac"], nic["address"]) for nic in frontend["nics"]] == [(None, None)] * 2
    assert [grant["address"] for grant in actions["allocate cloud/hello/allocation"]["public"]] == [None]


def test_known_values_are_text_in_json() -> None:
    after = applied(planned(SPEC), EMPTY)
    found = resource_json(after.record("cloud/hello/node/hello-frontend").resource)
    assert found["addresses"] == {"private": "10.20.0.100", "public": "203.0.113.1"}
    assert all(nic["mac"].startswith("fa:16:") for nic in found["nics"])


def test_every_interface_of_a_verbose_plan_says_so() -> None:
    text = plan_text(planned(SPEC), width=200, colour=False, verbose=True)
    assert text.count("(known after apply)  (known after apply)") == 3
    assert "public address (known after apply) · vlan 20 · 10.20.0.0/16" in text


def test_an_unfinished_node_has_no_address_in_lists() -> None:
    record = applied(planned(SPEC), EMPTY).record("cloud/hello/node/hello-frontend")
    nics = tuple(replace(nic, mac="", address="") for nic in record.resource.nics)
    unfinished = replace(record, status="pending", resource=replace(record.resource, nics=nics))
    assert nodes_text((unfinished,), {}, Style()).count("(known after apply)") == 2
