"""Lookups in, and changed copies of, the recorded state."""

from typing import cast

import msgspec
from msgspec.structs import replace

from pragmaspec.resources import Blob, Mark, Node, Readiness, ReadyWhen, StagedImage
from pragmaspec.state_model import Record
from tests.planning.builders import EMPTY, LAB, LINEAGE, applied_state, cluster

STATE = applied_state(cluster(computes=11), cluster("world", computes=0))
FRONTEND = "lab/hello/node/hello-frontend"


def test_records_are_sorted_and_found_by_address() -> None:
    addresses = [record.address for record in STATE.records]
    assert addresses == sorted(addresses)
    assert all(STATE.record(address) is record for address, record in zip(addresses, STATE.records, strict=True))
    assert STATE.record("lab") is None
    assert STATE.record("zzz") is None


def test_defaults_of_readiness_are_always_encoded() -> None:
    another = Readiness(when=cast("ReadyWhen", "CLOUD-INIT".lower()))
    assert msgspec.json.encode(another) == msgspec.json.encode(Readiness()) == b'{"when":"cloud-init","timeout_s":600}'


def test_changes_return_a_new_state() -> None:
    record = STATE.record(FRONTEND)
    assert record is not None
    changed = STATE.with_record(replace(record, status="degraded"))
    assert changed.record(FRONTEND).status == "degraded"
    assert STATE.record(FRONTEND).status == "ready"
    assert changed.without(FRONTEND).record(FRONTEND) is None
    assert STATE.without("lab/nothing") == STATE
    assert STATE.with_records(STATE.records, (FRONTEND,)) == STATE.without(FRONTEND)


def test_nodes_are_sorted_by_role_then_index() -> None:
    names = [node.name for node in STATE.nodes("hello")]
    assert names == ["hello-frontend", *(f"hello-compute-{index}" for index in range(11))]
    assert [node.name for node in STATE.nodes()] == [*names, "world-frontend"]
    assert EMPTY.nodes() == ()


def test_site_returns_the_options_of_a_recorded_site() -> None:
    assert STATE.site("lab") == LAB
    assert STATE.site("tokyo") is None


def test_nic_returns_the_interface_on_a_network() -> None:
    node = STATE.nodes("hello")[0]
    assert isinstance(node, Node)
    assert node.nic("private").address == "10.20.0.1"
    assert node.nic("storage") is None


def test_transfer_bytes_include_kernel_and_initrd() -> None:
    parts = {name: Blob(sha256=name * 8, size_bytes=size) for name, size in (("disk", 10), ("kern", 20), ("init", 30))}
    image = StagedImage(site="lab", digest="ab" * 32, name="tiny", format="raw", disk=parts["disk"], virtual_size_bytes=10)
    assert image.transfer_bytes == 10
    assert replace(image, kernel=parts["kern"], initrd=parts["init"]).transfer_bytes == 60
    assert image.address == "lab/image/abababababababab"


def test_mark_uuids_depend_on_lineage_address_and_generation() -> None:
    mark = Mark(lineage=LINEAGE, address=FRONTEND)
    marks = [mark, replace(mark, generation=1), replace(mark, address="x"), replace(mark, lineage="0" * 8 + LINEAGE[8:])]
    assert len({each.uuid for each in marks}) == 4
    assert mark.uuid == "6f5d9ccc-2b20-59ff-8353-81e815423f61"
    assert mark.short == "3f9a1c2b"
    assert Record(resource=STATE.nodes()[0]).address == FRONTEND
