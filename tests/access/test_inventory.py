import json
from pathlib import Path

import pytest

from pragmaspec.access.inventory import group_name, host_text, inventory, inventory_text
from pragmaspec.access.routes import routes
from tests.access.conftest import HELLO, KEY, recorded

TWO = HELLO.with_record(recorded("my-lab-frontend", public="192.0.2.11"))
INVENTORY = inventory(TWO, routes(TWO, KEY), "/home/a b/config")


def test_list(golden):
    golden(Path(__file__).parent / "inventory.json", inventory_text(INVENTORY))


def test_host():
    assert json.loads(host_text(INVENTORY, "hello-compute-1"))["pragmaspec_private_address"] == "10.22.0.11"
    assert json.loads(host_text(INVENTORY, "nobody")) == {}


def test_every_host_of_a_group_has_variables():
    names = {host for name, group in INVENTORY.items() if name != "_meta" for host in group.get("hosts", ())}
    assert names == INVENTORY["_meta"]["hostvars"].keys()


@pytest.mark.parametrize(
    ("cluster", "group"), [("hello", "hello"), ("my-lab", "my_lab"), ("all", "all_cluster"), ("computes", "computes_cluster")]
)
def test_group_names_are_what_ansible_takes(cluster, group):
    assert group_name(cluster) == group


def test_an_empty_state_is_an_inventory_too():
    empty = inventory(HELLO.with_records((), [record.address for record in HELLO.records]), (), "/config")
    assert empty == {"_meta": {"hostvars": {}}, "frontends": {"hosts": []}, "computes": {"hosts": []}}
