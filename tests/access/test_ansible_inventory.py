import json
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.access.ansible_inventory import ansible_inventory, host_text, inventory_text, inventory_warnings, list_text
from pragmaspec.access.routes import routes
from tests.access.conftest import HELLO, KEY, member, recorded, state

HERE = Path(__file__).parent
TWO = HELLO.with_record(recorded("my-lab-frontend", public="192.0.2.11"))
INVENTORY = ansible_inventory(TWO, routes(TWO, KEY), "/home/a b/config")
NOTHING = HELLO.with_records((), [record.address for record in HELLO.records])


def test_inventory_file(golden):
    golden(HERE / "inventory.yaml", inventory_text(INVENTORY))


def test_inventory_list(golden):
    golden(HERE / "inventory_list.json", list_text(INVENTORY))


def test_host_variables():
    assert json.loads(host_text(INVENTORY, "hello-compute-1"))["pragmaspec_private_address"] == "10.22.0.11"
    assert json.loads(host_text(INVENTORY, "unknown")) == {}


def test_every_host_of_a_group_has_variables():
    names = {host for group in INVENTORY.groups if group.holds == "hosts" for host in group.members}
    assert names == dict(INVENTORY.hosts).keys()


def test_an_empty_state_yields_a_valid_inventory():
    empty = ansible_inventory(NOTHING, (), "")
    assert json.loads(inventory_text(empty, as_json=True)) == {
        "all": {"hosts": {}, "children": {"frontends": {"hosts": {}}, "computes": {"hosts": {}}}}
    }
    assert json.loads(list_text(empty)) == {"_meta": {"hostvars": {}}, "frontends": {"hosts": []}, "computes": {"hosts": []}}


def test_unreachable_nodes_are_warned_about():
    assert inventory_warnings(TWO, routes(TWO, KEY)) == ()
    assert "inventory is empty. `pragmaspec apply`" in inventory_warnings(NOTHING, ())[0]
    hidden = state(*(member("hidden", "lab", index) for index in range(-1, 6)))
    reason = "Without a public address, of their own or of their frontend, and therefore left out: "
    listed = "hidden-frontend, hidden-compute-0, hidden-compute-1, hidden-compute-2, hidden-compute-3 and 2 more."
    assert inventory_warnings(hidden, routes(hidden, KEY)) == (reason + listed,)
    off = state(*(replace(record, resource=replace(record.resource, running=False)) for record in HELLO.records))
    assert inventory_warnings(off, routes(off, KEY)) == (
        "Recorded as off, so that nothing answers there: the nodes of hello. `pragmaspec boot hello` starts them.",
    )
