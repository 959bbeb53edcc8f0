"""New nodes are told by a seed, by user-data and the rest over ssh, or by files, as their site declares."""

import gzip
from io import BytesIO

import pycdlib
import pytest
from msgspec.structs import replace

from pragmaspec.access.routes import routes
from pragmaspec.delivery import SEED_AND_FILES, Delivery
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.first_information import FirstInformation, first_information
from pragmaspec.engine.guests import SimulatedGuests, SshGuests
from pragmaspec.engine.provider_calls import NO_DELIVERY, delivery_to
from pragmaspec.engine.target_state import TargetState
from pragmaspec.errors import AccessError, ApplyIncompleteError
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestSettings, first_boot_digest, keys_digest
from pragmaspec.guest.contract.files import HOST_KEY
from pragmaspec.guest.keys import host_key
from pragmaspec.planning.plan import PlannedSite
from pragmaspec.resources import Mark, Nic, Readiness
from pragmaspec.site import ExternalSite
from pragmaspec.state_model import Record, State
from tests.engine.fake_provider import KEY, WANTED, FakeProvider, SshGuestProvider, applying, bring_up, plan_for
from tests.engine.test_guests import COMPUTE, FRONTEND, LocalSshClient
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, act

LIMIT = 1500
"""Size of user-data into which not all files of a node fit."""
SSH = Readiness(when="ssh", timeout_s=1)
MARK = Mark(lineage=LINEAGE, address=COMPUTE.address)


@pytest.fixture
def remote(tmp_path):
    return LocalSshClient(tmp_path)


def cloud(limit=LIMIT, **more):
    return ExternalSite(name="lab", plugin="cloud", declared_delivery=Delivery(user_data_limit=limit, **more))


def apply(store, provider, tmp_path, remote, *actions, site=None):
    with applying(store, provider, tmp_path, remote) as context:
        plan = plan_for(context.session.state, *actions, sites=(PlannedSite(site=site or cloud()),))
        return apply_plan(plan, context)


def state_of(*nodes):
    return State(lineage=LINEAGE).with_records(Record(resource=each) for each in (*nodes, ALLOCATION, IMAGE))


def target(*nodes):
    return TargetState(plan_for(state_of(*nodes)), state_of(*nodes), WANTED)


def text_of(user_data):
    return (gzip.decompress(user_data) if user_data[:2] == b"\x1f\x8b" else user_data).decode()


def file_in(seed, name):
    iso, found = pycdlib.PyCdlib(), BytesIO()
    iso.open_fp(BytesIO(seed))
    iso.get_file_from_iso_fp(found, rr_path=f"/{name}")
    return found.getvalue().decode()


@pytest.mark.parametrize("delivery", [SEED_AND_FILES, Delivery(user_data_limit=2000), Delivery(user_data_limit=10**6)])
def test_the_host_key_is_known_before_the_first_login(delivery):
    public = Nic(network="public", mac="52:54:00:00:00:09", address="192.0.2.10", prefix=24)
    frontend = replace(FRONTEND, nics=(*FRONTEND.nics, public))
    aim = target(frontend, COMPUTE)
    known = {route.node: route.host_key for route in routes(aim.state, KEY)}
    for node in (frontend, COMPUTE):
        found = first_information(node, MARK, delivery, aim, KEY)
        text = file_in(found.seed, "user-data") if found.seed else text_of(found.user_data)
        pair = host_key(KEY, Mark(lineage=LINEAGE, address=node.address))
        assert known[node.address] == pair.public
        assert f'ed25519_public: "{pair.public} {node.name}"' in text
        assert "\n    ".join(pair.private.splitlines()) in text
        files = {file.path: file.content for file in seed_files(node, aim.cluster(node), KEY)}
        assert files[HOST_KEY] == pair.private


def test_only_a_seed_or_user_data_is_sent():
    aim = target(FRONTEND, COMPUTE)
    seeded = first_information(COMPUTE, MARK, SEED_AND_FILES, aim, KEY)
    assert seeded.seed
    assert not seeded.user_data
    told = first_information(COMPUTE, MARK, Delivery(user_data_limit=10**6), aim, KEY)
    assert told.user_data
    assert not told.seed
    assert not told.left_out
    offline = replace(COMPUTE, cloud_init=False)
    assert first_information(offline, MARK, Delivery(user_data_limit=10**6), aim, KEY) == FirstInformation()
    assert first_information(COMPUTE, MARK, Delivery(files=True), aim, KEY) == FirstInformation()


def test_private_keys_are_not_shown(store, tmp_path, remote):
    found = first_information(COMPUTE, MARK, Delivery(user_data_limit=10**6), target(FRONTEND, COMPUTE), KEY)
    assert "PRIVATE" in text_of(found.user_data)
    assert "PRIVATE" not in repr(found) + repr(found.__rich_repr__())
    provider = SshGuestProvider()
    apply(store, provider, tmp_path, remote, *bring_up(0, readiness=SSH), site=cloud(10**6))
    (order,) = provider.orders
    assert "PRIVATE" in text_of(order.user_data)
    assert repr(order).startswith("BootRequest('lab/hello/node/hello-frontend'")
    assert "PRIVATE" not in repr(order) + repr(order.__rich_repr__())


def test_simulated_guests_are_told_only_where_that_is_limited(remote):
    guests = SimulatedGuests(FakeProvider(), None)
    assert delivery_to(guests, SEED_AND_FILES) == NO_DELIVERY
    assert delivery_to(guests, cloud().delivery) == cloud().delivery
    assert delivery_to(SshGuests(remote), SEED_AND_FILES) == SEED_AND_FILES


def test_simulated_guests_are_updated_once_they_answer():
    provider = FakeProvider()
    guests = SimulatedGuests(provider, None)
    with pytest.raises(AccessError, match="ssh does not answer"):
        guests.update(COMPUTE, MARK, ())
    provider.running.add(MARK.address)
    guests.update(COMPUTE, MARK, ())
    assert provider.updated == [COMPUTE.address]


def test_the_rest_is_sent_before_a_node_is_ready(store, tmp_path, remote):
    provider = SshGuestProvider()
    apply(store, provider, tmp_path, remote, *bring_up(1, readiness=SSH))
    assert sorted(remote.sent) == [COMPUTE.address, FRONTEND.address]
    assert all(len(order.user_data) <= LIMIT and not order.seed and order.overlay is None for order in provider.orders)
    assert {record.status for record in store.read().records} == {"ready"}


def test_nothing_follows_where_everything_fits(store, tmp_path, remote):
    apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(1, readiness=SSH), site=cloud(16 * 2**10))
    assert remote.sent == []


def test_a_node_without_the_rest_is_not_ready_and_gets_it_from_the_next_apply(store, tmp_path, remote):
    provider = SshGuestProvider()
    remote.install_status = 1
    with pytest.raises(ApplyIncompleteError, match="the install command ended with status 1"):
        apply(store, provider, tmp_path, remote, *bring_up(1, readiness=SSH))
    record = store.read().record(FRONTEND.address)
    assert (record.status, record.resource.keys, record.resource.peers) == ("degraded", "", "")
    remote.install_status = 0
    remote.sent.clear()
    again = [replace(action, before=action.resource) for action in bring_up(1, readiness=SSH) if action.verb == "boot"]
    apply(store, provider, tmp_path, remote, *again, site=cloud(10**6))
    assert sorted(remote.sent) == [COMPUTE.address, FRONTEND.address], "although everything would fit now"
    assert store.read().record(FRONTEND.address).resource.keys == "k1"


def test_a_node_that_is_ready_at_once_is_not_updated(store, tmp_path, remote):
    """It may be one that boots again in a cluster that has grown, and has everything from its first boot."""
    remote.refused = {FRONTEND.address}
    apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(0, readiness=Readiness(when="none")))
    assert remote.sent == []
    assert store.read().record(FRONTEND.address).status == "ready"


def test_the_rest_needs_a_route(store, tmp_path, remote):
    remote.up = set()
    with pytest.raises(ApplyIncompleteError, match=r"there is no route to it\. Give its frontend a public address"):
        apply(store, SshGuestProvider(), tmp_path, remote, *bring_up(0, readiness=SSH))
    assert store.read().record(FRONTEND.address).status == "degraded"


def test_too_large_user_data_is_not_sent(store, tmp_path, remote):
    provider = SshGuestProvider()
    with pytest.raises(ApplyIncompleteError, match=r"and site lab allows 500\. Shorten the node's `user_data`"):
        apply(store, provider, tmp_path, remote, *bring_up(0, readiness=SSH), site=cloud(500))
    assert provider.orders == []


def test_an_existing_machine_boots_again_although_the_limit_was_lowered(store, tmp_path, remote):
    provider = SshGuestProvider()
    whole = replace(FRONTEND, **digests())
    boot = replace(act("boot", whole), resource=replace(whole, readiness=SSH))
    apply(store, provider, tmp_path, remote, act("stage", IMAGE), act("allocate", ALLOCATION), boot, site=cloud(10**6))
    again = replace(boot, before=boot.resource, impact="reboot")
    apply(store, provider, tmp_path, remote, again, site=cloud(500))
    assert [bool(order.user_data) for order in provider.orders] == [True, False]
    with pytest.raises(ApplyIncompleteError, match="site lab allows 500"):
        apply(store, provider, tmp_path, remote, replace(again, impact="rebuild", generation=1), site=cloud(500))


def digests():
    """The digests of a node without packages, user-data, keys and users, as in the spec."""
    return {"first_boot": first_boot_digest(GuestSettings()), "keys": keys_digest(())}


def test_an_image_without_cloud_init_gets_files_only_where_they_can_be_written(store, tmp_path, remote):
    provider = SshGuestProvider()
    actions = [
        replace(action, resource=replace(action.resource, cloud_init=False)) if action.verb == "boot" else action
        for action in bring_up(0, readiness=SSH)
    ]
    apply(store, provider, tmp_path, remote, *actions, site=cloud(10**6, files=True))
    (order,) = provider.orders
    assert order.overlay is not None
    assert not order.user_data
