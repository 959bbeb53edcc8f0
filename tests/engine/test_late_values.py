"""Applies at a site that chooses MACs and addresses, with guests that are reached over ssh."""

import dataclasses
import io
import tarfile
import threading

import pytest

from pragmaspec.access.ssh import CommandResult, SshClient
from pragmaspec.engine.apply import apply_plan
from pragmaspec.errors import AccessError, ApplyIncompleteError, SiteError
from pragmaspec.planning.planner import make_plan
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Readiness
from pragmaspec.site import SimulatedSite
from tests.engine.fake_provider import KEY, SshGuestProvider, applying
from tests.planning.builders import ROOMY, cluster, image, wanted
from tests.state.samples import LINEAGE

SITE = SimulatedSite(name="lab", late=("macs", "private", "public"))
FRONTEND, COMPUTE = "lab/hello/node/hello-frontend", "lab/hello/node/hello-compute-0"


class CloudProvider(SshGuestProvider):
    """A site that names the values of its machines; ``silent``: it does not."""

    silent = False

    def allocate(self, wanted, mark):
        super().allocate(wanted, mark)
        return () if self.silent else (("public:hello-frontend", "203.0.113.7"),)

    def boot(self, order):
        super().boot(order)
        number = 1 if order.node.role == "frontend" else 100 + order.node.index
        named = (("address:private", f"10.20.0.{number}"), ("mac:private", f"fa:16:3e:00:00:{number:02x}"))
        return () if self.silent else (*named, ("mac:public", "fa:16:3e:00:01:00"))


class RecordingRemote(SshClient):
    """Guests that answer once their address is known."""

    def __init__(self, folder):
        super().__init__(LINEAGE, KEY, folder / "ssh")
        self.probed = []
        self.files = {}
        self.failed = set()
        """Nodes whose cloud-init fails."""
        self._lock = threading.Lock()

    def answers(self, node, timeout_s=5.0):
        address = self.route(node).address
        if address:  # without one, as of a frontend that still boots, nothing is probed
            with self._lock:
                self.probed.append((node, address))
        return bool(address)

    def run(self, node, argv, stdin=b"", timeout_s=60.0, tick=None):
        assert self.route(node).address
        if stdin:
            with tarfile.open(fileobj=io.BytesIO(stdin)) as archive, self._lock:
                texts = {member.name: archive.extractfile(member).read().decode() for member in archive if member.isfile()}
                self.files.setdefault(node, []).append(texts)
        errors = b'["the disk is full"]' if node in self.failed else b"[]"
        return CommandResult(status=0, stdout=b'{"v1": {"errors": %s}}' % errors, stderr="")


@pytest.fixture
def remote(tmp_path):
    return RecordingRemote(tmp_path)


def spec(computes=2) -> Wanted:
    return wanted(cluster(computes=computes, site="lab", readiness=Readiness(timeout_s=20)), sites=(SITE,), images=(image(),))


def apply(store, provider, remote, tmp_path, asked):
    with applying(store, provider, tmp_path, remote) as context:
        plan = make_plan(asked, context.session.state, {}, {"lab": ROOMY})
        return apply_plan(plan, dataclasses.replace(context, wanted=asked))


def left(store, asked):
    return [action.key for action in make_plan(asked, store.read(), {}, {"lab": ROOMY}).actions]


def test_everything_that_follows_from_the_addresses_is_made_after_the_boots(store, remote, tmp_path):
    provider = CloudProvider()
    apply(store, provider, remote, tmp_path, spec())
    assert left(store, spec()) == []
    frontend = store.read().record(FRONTEND)
    assert [(nic.network, nic.mac, nic.address) for nic in frontend.resource.nics] == [
        ("private", "fa:16:3e:00:00:01", "10.20.0.1"),
        ("public", "fa:16:3e:00:01:00", "203.0.113.7"),
    ]
    assert frontend.outputs == (), "they are fields of the resource"
    assert {address for node, address in remote.probed if node == FRONTEND} == {"203.0.113.7"}
    assert {address for node, address in remote.probed if node == COMPUTE} <= {"10.20.0.100"}
    assert remote.files.keys() == {FRONTEND, COMPUTE, "lab/hello/node/hello-compute-1"}
    for sent in remote.files.values():
        hosts = next(text for name, text in sent[-1].items() if name.endswith("etc/hosts"))
        assert all(address in hosts for address in ("10.20.0.1\t", "10.20.0.100\t", "10.20.0.101\t", "203.0.113.7\t"))
    described = next(text for name, text in remote.files[FRONTEND][-1].items() if name.endswith("vc-out.xml"))
    assert 'ip="10.20.0.101" mac="fa:16:3e:00:00:65"' in described
    assert "HostName 203.0.113.7" in remote.config.read_text()
    assert all(b"dhcp4: true" in seed for seed in provider.seeds)


def test_a_site_that_names_no_address_is_an_error_and_the_next_apply_asks_again(store, remote, tmp_path):
    provider = CloudProvider()
    provider.silent = True
    with pytest.raises(ApplyIncompleteError, match=r"allocate lab/hello/allocation succeeded without public:hello-frontend"):
        apply(store, provider, remote, tmp_path, spec())
    assert store.read().record("lab/hello/allocation").status == "pending"
    provider.silent = False
    apply(store, provider, remote, tmp_path, spec())
    assert left(store, spec()) == []


def test_after_a_failed_boot_the_next_apply_updates_every_node(store, remote, tmp_path):
    refused = [COMPUTE]

    def refuse(verb, address):
        if verb == "boot" and address in refused:
            raise SiteError("no room")

    provider = CloudProvider(before=refuse)
    with pytest.raises(ApplyIncompleteError, match="no room"):
        apply(store, provider, remote, tmp_path, spec())
    assert remote.files == {}, "not all members are known"
    assert {node.peers for node in store.read().nodes()} == {""}
    refused.clear()
    apply(store, provider, remote, tmp_path, spec())
    assert left(store, spec()) == []
    assert len(remote.files) == 3


def test_a_node_that_does_not_become_ready_is_told_to_the_others(store, remote, tmp_path):
    remote.failed.add(COMPUTE)
    with pytest.raises(ApplyIncompleteError, match="the disk is full") as caught:
        apply(store, CloudProvider(), remote, tmp_path, spec())
    assert "update hello-compute-0" in str(caught.value)
    assert remote.files.keys() == {FRONTEND, "lab/hello/node/hello-compute-1"}
    assert all("10.20.0.100\t" in sent[-1]["etc/hosts"] for sent in remote.files.values())
    assert left(store, spec()) == [f"boot {COMPUTE}", f"update {COMPUTE}"]
    remote.failed.clear()
    apply(store, CloudProvider(), remote, tmp_path, spec())
    assert left(store, spec()) == []


def test_a_new_node_is_told_to_the_others_once(store, remote, tmp_path):
    provider = CloudProvider()
    apply(store, provider, remote, tmp_path, spec(1))
    apply(store, provider, remote, tmp_path, spec(2))
    assert {node: len(sent) for node, sent in remote.files.items()} == {
        FRONTEND: 2,
        COMPUTE: 2,
        "lab/hello/node/hello-compute-1": 1,
    }


def test_an_address_that_ssh_cannot_use_makes_the_node_degraded(store, remote, tmp_path):
    def learn(node):
        raise AccessError("The ssh files cannot be written", "no space")

    remote.learn = learn
    with pytest.raises(ApplyIncompleteError, match="no space"):
        apply(store, CloudProvider(), remote, tmp_path, spec(0))
    record = store.read().record(FRONTEND)
    assert (record.status, record.problem) == ("degraded", "no space")
    assert record.resource.nic("private").address == "10.20.0.1"
    del remote.learn
    apply(store, CloudProvider(), remote, tmp_path, spec(0))
    assert left(store, spec(0)) == []
