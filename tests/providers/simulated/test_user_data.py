"""User-data of a limited size, as at clouds."""

from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.providers.simulated.shared_world import shared_world
from pragmaspec.site import SimulatedSite

LIMIT = 2048
SECRET = b"#cloud-config\n# a secret key\n"


def boot(stack, user_data=SECRET, **changes):
    return stack.provider.boot(replace(stack.boot_request(stack.node(**changes)), user_data=user_data))


def machine(stack):
    with stack.provider._world.reading() as world:
        (found,) = world.machines_at(stack.lineage, stack.node().address)
    return found


def test_a_machine_has_user_data_of_at_most_the_limit(make_stack):
    stack = make_stack(user_data_limit=LIMIT).prepare()
    with pytest.raises(SiteError, match="has 2,049 bytes of user-data; the site allows 2,048") as refusal:
        boot(stack, SECRET.ljust(LIMIT + 1))
    assert "secret key" not in str(refusal.value)
    assert stack.observed().nodes == ()
    boot(stack, SECRET.ljust(LIMIT))
    assert machine(stack).user_data_bytes == LIMIT


def test_a_new_machine_needs_user_data(make_stack):
    stack = make_stack(user_data_limit=LIMIT).prepare()
    with pytest.raises(SiteError, match="has no user-data, from which nodes of site lab configure themselves"):
        boot(stack, b"")


def test_a_site_without_the_option_has_no_user_data(stack):
    with pytest.raises(SiteError, match="has 29 bytes of user-data; the site has none"):
        boot(stack.prepare())


def test_an_existing_machine_keeps_its_user_data(make_stack):
    stack = make_stack(user_data_limit=LIMIT).prepare()
    boot(stack)
    stack.provider.guest_updated(stack.node(peers="p1"), stack.boot_request(stack.node()).mark)
    assert (machine(stack).user_data_bytes, machine(stack).received) == (len(SECRET), "p1")
    first = machine(stack)
    boot(stack, SECRET * 100)
    assert machine(stack) == first
    boot(stack, b"", cpus=2)
    assert (machine(stack).user_data_bytes, machine(stack).received) == (len(SECRET), "p1")


def test_the_contents_are_not_stored(tmp_path, make_stack):
    file = tmp_path / "site.jsonl"
    stack = make_stack(user_data_limit=LIMIT, file=str(file))
    stack = replaced(stack, world=shared_world(stack.site)).prepare()
    boot(stack)
    assert '"user_data_bytes":29' in file.read_text()
    assert "secret key" not in file.read_text()
    assert SimulatedSite(name="lab").delivery.limit is None
