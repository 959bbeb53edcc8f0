"""Plans at sites that do not tell their nodes by seeds and files; most cases are golden plans called ``delivery-…``."""

from hashlib import sha256
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.delivery import Delivery
from pragmaspec.errors import PlanError
from pragmaspec.guest.cloud_init.limited import essential_user_data
from pragmaspec.guest.contract.cluster import GuestSettings
from pragmaspec.guest.keys import StackKey
from pragmaspec.planning.delivery import MARGIN_BYTES, delivery_problems
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.new_machines import NewMachines
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted, WantedNodes
from pragmaspec.resources import Node
from pragmaspec.site import ExternalSite, SimulatedSite
from pragmaspec.typing import override
from tests.guest.conftest import make_cluster
from tests.planning.builders import EMPTY, LAB, action_names, applied, cluster, image, nodes, planned, wanted

CLOUD = SimulatedSite(name="lab", user_data_limit=4096)
KEYS = "".join(sha256(bytes((number,))).hexdigest() for number in range(128))
TOO_LARGE = '#cloud-config\n{"write_files": [{"path": "/etc/keys", "content": "' + KEYS + '"}]}'


class Unread(Wanted, frozen=True):
    """A spec that fails the test when it is read."""

    @override
    def __getattribute__(self, name: str) -> NoReturn:
        pytest.fail(f"{name} of the spec was read")


def large(count: int = 2) -> WantedNodes:
    return nodes(count, user_data=TOO_LARGE)


def refusal(*clusters: object, **more: object) -> str:
    with pytest.raises(PlanError) as error:
        planned(wanted(*clusters, **more))
    return str(error.value)


def test_the_lack_of_any_way_is_refused() -> None:
    paper = ExternalSite(name="lab", plugin="paper", declared_delivery=Delivery(files=True))
    text = refusal(cluster(), sites=(paper,))
    assert "Image debian-12 of hello-frontend reads a seed or user-data" in text
    assert "the provider paper of site lab has neither of them" in text
    offline = image(cloud_init=False)
    assert planned(wanted(cluster(), sites=(paper,), images=(offline,))).actions
    assert planned(wanted(cluster(), sites=(replace(paper, declared_delivery=Delivery(seed=True)),))).actions


def test_what_every_node_needs_cannot_be_shortened() -> None:
    tiny = replace(CLOUD, user_data_limit=256)
    text = refusal(cluster(), sites=(tiny,))
    assert "these are the ssh keys and settings that every node needs, at least 1 to 2 KiB. Use a site that allows more" in text
    text = refusal(cluster(frontend=large(1), computes=large()), sites=(tiny,))
    assert "of them are keys and settings that every node needs. Use a site that allows more, or fewer ssh keys" in text
    text = refusal(cluster(computes=nodes(1, user_data=TOO_LARGE, packages=("gcc",))), sites=(CLOUD,))
    assert "Shorten `user_data` and `packages`: move" in text


def test_a_seed_has_no_limit() -> None:
    both = ExternalSite(name="lab", plugin="paper", declared_delivery=Delivery(seed=True, user_data_limit=4096))
    assert planned(wanted(cluster(computes=large()), sites=(both,))).actions
    assert both.delivery.limit is None


def test_nodes_that_may_have_to_be_created_again_are_checked() -> None:
    state = applied(planned(wanted(cluster(computes=large()), sites=(LAB,))), EMPTY)
    address = "lab/hello/node/hello-compute-1"
    record = state.record(address)
    assert record is not None
    assert not planned(wanted(cluster(computes=large()), sites=(CLOUD,)), state).actions
    with pytest.raises(PlanError, match="That of hello-compute-1 has about"):
        planned(wanted(cluster(computes=large()), sites=(CLOUD,)), state.with_record(replace(record, status="pending")))
    with pytest.raises(PlanError, match="That of hello-compute-1 has about"):
        planned(wanted(cluster(computes=large()), sites=(CLOUD,)), state, request=PlanRequest(replace=("hello-compute-1",)))


def test_an_update_of_existing_nodes_needs_no_user_data() -> None:
    state = applied(planned(wanted(cluster(computes=large()), sites=(LAB,))), EMPTY)
    other = replace(cluster(computes=large()), ssh_keys=("ssh-ed25519 BBBB bob",))
    assert {name.split()[0] for name in action_names(planned(wanted(other, sites=(CLOUD,)), state))} == {"update"}


def test_unread_user_data_is_left_to_the_apply() -> None:
    unread = replace(cluster(computes=large()), unknown=("first_boot",))
    assert planned(wanted(unread, sites=(CLOUD,))).actions


def test_a_node_that_left_the_spec_needs_none() -> None:
    spec = wanted(cluster(), sites=(CLOUD,))
    state = applied(planned(spec), EMPTY)
    off = applied(planned(spec, state, request=PlanRequest(running=(("hello", False),))), state)
    record = off.record("lab/hello/node/hello-frontend")
    assert record is not None
    unfinished = off.with_record(replace(record, status="pending"))
    boots = planned(wanted(sites=(CLOUD,)), unfinished, request=PlanRequest(running=(("hello", True),)))
    assert action_names(boots)[0] == "boot hello-frontend"


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.integers(1, 300))
def test_the_estimate_holds_for_every_secret(one: bytes, other: bytes, index: int) -> None:
    members = make_cluster(index)
    node: Node = members.nodes[-1]
    few = replace(members, nodes=(members.frontend, node))
    sizes = [len(essential_user_data(node, few, GuestSettings(), StackKey(key), 0).content) for key in (one, other)]
    assert abs(sizes[0] - sizes[1]) <= MARGIN_BYTES


def test_nothing_is_read_for_nodes_without_changes() -> None:
    state = applied(planned(wanted(cluster(computes=2), sites=(CLOUD,))), EMPTY)
    desired = [Desired(record.resource, None) for record in state.records]
    addresses = {record.address for record in state.records}
    unread = Unread(spec_file="", spec_sha256="", sites=(), images=(), clusters=())
    assert not list(delivery_problems(CLOUD, desired, unread, NewMachines(state, ()), addresses))
    with pytest.raises(pytest.fail.Exception, match="cluster of the spec was read"):
        list(delivery_problems(CLOUD, desired, unread, NewMachines(EMPTY, ()), addresses))
