from msgspec.structs import replace

from pragmaspec.access.routes import planned_routes, routes
from pragmaspec.guest.keys import host_key
from pragmaspec.resources import Mark
from tests.access.conftest import HELLO, KEY, LINEAGE, recorded, state


def test_computes_are_reached_through_their_frontend():
    frontend, first, second = routes(HELLO, KEY)
    assert (frontend.name, frontend.address, frontend.jump, frontend.user) == ("hello-frontend", "192.0.2.10", None, "root")
    assert (first.name, first.address, first.jump) == ("hello-compute-0", "10.22.0.10", "hello-frontend")
    assert (second.address, second.jump) == ("10.22.0.11", "hello-frontend")


def test_host_keys_belong_to_nodes_and_not_to_addresses():
    found = routes(HELLO, KEY)
    assert [route.host_alias for route in found] == [f"{route.name}.3f9a1c2b" for route in found]
    assert found[1].host_key == host_key(KEY, Mark(lineage=LINEAGE, address="lab/hello/node/hello-compute-0")).public
    assert len({route.host_key for route in found}) == 3


def test_a_name_used_at_two_sites_gets_a_site_suffix():
    moved = HELLO.with_record(recorded("hello-frontend", site="far", public="198.51.100.7"))
    moved = moved.with_record(recorded("hello-compute-0", 0, site="far"))
    found = {route.node: route for route in routes(moved, KEY)}
    assert found["far/hello/node/hello-frontend"].name == "hello-frontend.far"
    assert found["far/hello/node/hello-compute-0"].jump == "hello-frontend.far"
    assert found["lab/hello/node/hello-compute-0"].jump == "hello-frontend.lab"
    assert found["lab/hello/node/hello-compute-1"].name == "hello-compute-1"


def test_without_a_public_address_there_is_no_route():
    assert routes(state(recorded("hello-frontend"), recorded("hello-compute-0", 0)), KEY) == ()
    assert routes(state(recorded("hello-compute-0", 0)), KEY) == ()


def test_a_compute_without_a_private_network_has_no_route():
    compute = recorded("hello-compute-0", 0)
    bare = replace(compute, resource=replace(compute.resource, nics=()))
    assert [route.name for route in routes(HELLO.with_record(bare), KEY)] == ["hello-frontend", "hello-compute-1"]


def test_a_renamed_node_keeps_its_host_key():
    record = recorded("hello-compute-0", 0)
    moved = HELLO.with_record(replace(record, origin="lab/earlier/node/earlier-compute-0"))
    assert (
        routes(moved, KEY)[1].host_key
        == host_key(KEY, Mark(lineage=LINEAGE, address="lab/earlier/node/earlier-compute-0")).public
    )


def test_a_node_has_a_route_once_its_address_is_known():
    later = state(recorded("hello-frontend", public="?", private="10.22.0.1"), recorded("hello-compute-0", 0, private=""))
    frontend = later.record("lab/hello/node/hello-frontend")
    private, public = frontend.resource.nics
    later = later.with_record(replace(frontend, resource=replace(frontend.resource, nics=(private, replace(public, address="")))))
    assert routes(later, KEY) == ()
    assert [(route.name, route.address, route.jump) for route in planned_routes(later, KEY)] == [
        ("hello-frontend", "", None),
        ("hello-compute-0", "", "hello-frontend"),
    ]
    known = later.with_record(recorded("hello-compute-0", 0))
    assert routes(known, KEY) == (), "its frontend is the way to it"
