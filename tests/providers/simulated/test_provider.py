"""The simulated site beyond the contract of every provider."""

import os
import pty
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError
from pragmaspec.planning.observed import ObservedNode, PublicPool
from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.site import Overcommit, PublicNetwork, SimulatedHost, SimulatedImage, SimulatedSite
from tests.providers.simulated.intruder import Intruder


@pytest.fixture
def intruder(stack) -> Intruder:
    return Intruder(stack.world)


# capacity


def test_a_full_site_reports_every_shortage(make_stack):
    stack = make_stack(host=SimulatedHost(cpus=2, memory_mib=2048, disk_bytes=2**40), overcommit=Overcommit(cpus=1.0)).prepare()
    stack.boot(stack.node(0, memory_mib=1000))
    with pytest.raises(SiteCapacityError) as full:
        stack.boot(stack.node(1, cpus=4, memory_mib=1500))
    assert "needs 4 CPUs at site lab; 1 of 2 are in use, so 3 are missing" in str(full.value)
    assert "needs 1500 MiB of memory at site lab; 1000 of 2048 are in use, so 452 are missing" in str(full.value)
    assert len(stack.observed().nodes) == 1


def test_a_larger_node_needs_only_the_difference(make_stack):
    stack = make_stack(host=SimulatedHost(cpus=2, memory_mib=2048, disk_bytes=2**40)).prepare()
    stack.boot(stack.node(0, memory_mib=1500))
    stack.boot(stack.node(0, memory_mib=2048))
    assert stack.observed().nodes[0].memory_mib == 2048


def test_a_node_that_is_off_uses_only_its_disk(make_stack):
    stack = make_stack(host=SimulatedHost(cpus=1, memory_mib=1024, disk_bytes=2**40)).prepare()
    stack.boot(stack.node(0))
    stack.provider.shutdown(stack.node(0), stack.mark(stack.node(0)), 0)
    (held,) = stack.provider.inventory().holdings
    assert (held.cpus, held.memory_mib, held.disk_bytes) == (0, 0, 2**31)
    stack.boot(stack.node(1))
    with pytest.raises(SiteCapacityError):
        stack.boot(stack.node(0))


def test_disk_overcommit_is_limited(make_stack):
    stack = make_stack(host=SimulatedHost(disk_bytes=2**31), overcommit=Overcommit(disk=2.0)).prepare()
    stack.boot(stack.node(0))
    stack.boot(stack.node(1))
    with pytest.raises(SiteCapacityError, match="bytes of disk"):
        stack.boot(stack.node(2))


def test_images_use_disk_space(stack):
    before = stack.provider.inventory().disk_free_bytes
    stack.stage()
    assert before - stack.provider.inventory().disk_free_bytes == stack.image.transfer_bytes


# disks


def test_a_disk_of_the_same_generation_never_shrinks(stack):
    stack.prepare().boot()
    stack.boot(stack.node(disk_bytes=2**20))
    assert stack.provider.inventory().holdings[0].disk_bytes == 2**31


def test_a_new_generation_has_a_new_disk(stack):
    stack.prepare().boot()
    stack.provider.clean(stack.node(), stack.mark(stack.node()))
    stack.boot(stack.node(disk_bytes=2**20), generation=1)
    (seen,) = stack.observed().nodes
    assert seen.generation == 1
    assert stack.provider.inventory().holdings[0].disk_bytes == 2**20


def test_a_node_can_be_created_off(stack):
    stack.prepare().boot(stack.node(running=False))
    assert [seen.status for seen in stack.observed().nodes] == ["off"]


def test_a_changed_definition_restarts_a_running_node(make_stack):
    stack = make_stack(latency_s=10.0).prepare()
    stack.boot()
    stack.clock.sleep(1000)
    stack.boot(stack.node(keys="0123456789abcdef"))
    assert stack.stage_of() == "cloud-init", "keys are changed while it runs"
    stack.boot(stack.node(cpus=2))
    assert stack.stage_of() == "running"


# changes by others


def test_foreign_objects_are_in_the_inventory(stack, intruder):
    intruder.run_machine("the chemists' database", cpus=8, memory_mib=4096, disk_bytes=100)
    intruder.take_vlan(21, owner="the chemists")
    intruder.take_address("192.0.2.11", owner="the router")
    inventory = stack.provider.inventory()
    (held,) = inventory.holdings
    assert (held.owner, held.cpus, held.memory_mib, held.disk_bytes, held.lineage) == (
        "the chemists' database",
        8,
        4096,
        100,
        None,
    )
    assert [(taken.value, taken.owner, taken.lineage) for taken in inventory.vlans] == [("21", "the chemists", None)]
    assert [(taken.value, taken.owner) for taken in inventory.addresses] == [("192.0.2.11", "the router")]
    assert [taken.value for taken in inventory.cidrs] == ["10.21.0.0/24"]


def test_a_conflict_names_every_holder(stack, intruder):
    intruder.take_vlan(20, owner="the chemists")
    intruder.take_address("192.0.2.10", owner="the router")
    with pytest.raises(SiteConflictError) as conflict:
        stack.allocate()
    assert [problem.summary for problem in conflict.value.problems] == ["VLAN in use", "Public address in use"]
    assert "the chemists holds" in str(conflict.value)
    assert "the router holds" in str(conflict.value)
    intruder.leave("the chemists")
    intruder.leave("the router")
    stack.allocate()


def test_foreign_changes_are_observed(stack, intruder):
    stack.prepare()
    for index in range(4):
        stack.boot(stack.node(index))
    address = [stack.node(index).address for index in range(4)]
    intruder.power_off(stack.lineage, address[0])
    intruder.undefine(stack.lineage, address[1])
    intruder.delete_disk(stack.lineage, address[2])
    intruder.remove(stack.lineage, address[3])
    intruder.power_off(stack.lineage, "lab/hello/node/never-was")
    intruder.set_autostart(stack.lineage, address[0], enabled=True)
    assert [node.address for node in stack.observed().nodes if node.autostart] == [address[0]]
    assert tuple(replace(node, id="", made=0, autostart=None, volumes=None) for node in stack.observed().nodes) == (
        ObservedNode(address=address[0], generation=0, status="off", cpus=1, memory_mib=1024),
        ObservedNode(address=address[1], generation=0, status="undefined", cpus=1, memory_mib=1024),
        ObservedNode(address=address[2], generation=0, status="off", cpus=1, memory_mib=1024, disk=False),
    )
    for index in range(4):
        stack.boot(stack.node(index))
    assert {(seen.status, seen.disk) for seen in stack.observed().nodes} == {("running", True)}


def test_a_stopped_network_is_missing_until_it_is_allocated_again(stack, intruder):
    stack.prepare()
    intruder.stop_network(stack.lineage, stack.allocation.address, "private")
    intruder.stop_network(stack.lineage, "lab/never-was/allocation", "private")
    assert stack.observed().allocations[0].networks == ()
    with pytest.raises(SiteError, match="needs private of lab/hello/allocation"):
        stack.boot()
    stack.allocate()
    stack.boot()


# identity


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        (None, PublicPool(network="public", cidr="192.0.2.0/24", gateway="192.0.2.1", dns=("192.0.2.1",))),
        (
            PublicNetwork(network="campus"),
            PublicPool(network="campus", cidr="192.0.2.0/24", gateway="192.0.2.1", dns=("192.0.2.1",)),
        ),
        (
            PublicNetwork(bridge="br0", gateway="198.18.0.1", prefix=15, dns=("198.18.0.2",)),
            PublicPool(bridge="br0", cidr="198.18.0.0/15", gateway="198.18.0.1", dns=("198.18.0.2",)),
        ),
    ],
)
def test_the_public_network_defaults_to_documentation_addresses(make_stack, public, expected):
    assert make_stack(public=public).provider.inventory().public == expected


@pytest.mark.parametrize(
    ("file", "title"),
    [(None, "simulated"), (":memory:", "simulated, in memory"), ("./lab.jsonl", "simulated, ./lab.jsonl")],
)
def test_the_title_contains_the_file(make_stack, file, title):
    identity = make_stack(file=file).provider.identity()
    assert (identity.title, identity.virt_type) == (title, "simulated")


def test_sites_with_different_names_have_different_ids(make_stack):
    first = make_stack()
    second = first.again(replace(first.site, name="other"))
    assert first.provider.identity().id != second.provider.identity().id


def test_diagnostics_never_fail(tmp_path):
    (tmp_path / "lab.jsonl").write_text("nonsense\n")
    site = SimulatedSite(name="lab", file=str(tmp_path / "lab.jsonl"))
    provider = SimulatedProvider(site)
    from_nowhere = SimulatedProvider(SimulatedSite(name="nowhere", file=":memory:"))
    stack_node = _node()
    assert provider.diagnostics(*stack_node) == Diagnostics()
    assert from_nowhere.diagnostics(*stack_node) == Diagnostics(domain="absent")
    provider.close()


def _node():
    from pragmaspec.resources import Mark, Node

    node = Node(
        site="lab", cluster="c", name="c-0", role="compute", index=0, cpus=1, memory_mib=1, disk_bytes=1, image="", nics=()
    )
    return node, Mark(lineage="3f9a1c2b-0000-4000-8000-000000000001", address=node.address)


def test_latency_passes_on_the_given_clock(make_stack):
    stack = make_stack(latency_s=2.5)
    before = stack.clock.now()
    stack.provider.inventory()
    assert stack.clock.now() - before == 2.5


def test_latency_passes_on_the_system_clock(make_stack):
    provider = SimulatedProvider(make_stack(latency_s=0.02).site, world=make_stack().world)
    start = time.monotonic()
    provider.inventory()
    assert time.monotonic() - start >= 0.02


CONSOLE = """
from pragmaspec.providers.simulated.console import attach_terminal
attach_terminal(b"line one\\nlogin: ")
"""


def test_the_console_at_a_terminal_ends_with_ctrl_bracket():
    terminal, child_end = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", CONSOLE], stdin=child_end, stdout=child_end, stderr=child_end)
    output = b""
    while b"login: " not in output:
        output += os.read(terminal, 100)
    os.write(terminal, b"x\r\x1d")
    assert child.wait(timeout=30) == 0
    os.close(child_end)
    os.close(terminal)
    assert b"line one\r\nlogin: " in output


# scale


def test_ten_thousand_nodes(make_stack):
    stack = make_stack(host=SimulatedHost(cpus=20_000, memory_mib=20_000_000, disk_bytes=2**50)).prepare()
    requests = [stack.boot_request(stack.node(index)) for index in range(10_000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stack.provider.boot, requests))
    assert len(stack.observed().nodes) == 10_000


# firmware and images of the site


def test_a_machine_has_the_firmware_of_its_node(make_stack):
    stack = make_stack().prepare()
    assert stack.provider.inventory().firmware == ("bios", "uefi")
    stack.boot(stack.node(0, firmware="uefi"))
    with stack.world.reading() as world:
        assert [machine.firmware for machine in world.machines.values()] == ["uefi"]


def test_a_host_without_uefi_refuses_a_node_that_needs_it(make_stack):
    stack = make_stack(host=SimulatedHost(uefi=False)).prepare()
    assert stack.provider.inventory().firmware == ("bios",)
    stack.boot(stack.node(0))
    with pytest.raises(SiteError, match="boots with UEFI, which the site does not have"):
        stack.boot(stack.node(1, firmware="uefi"))


def test_an_image_of_the_site_is_used_in_place(make_stack):
    there = SimulatedImage(name="ubuntu", id="img-1", checksum="md5:1")
    stack = make_stack(images=(there,))
    stack.image = replace(
        stack.image, disk=replace(stack.image.disk, size_bytes=0), site_image="img-1", site_name="ubuntu", checksum="md5:1"
    )
    free = stack.provider.inventory().disk_free_bytes
    stack.prepare().boot()
    assert (stack.provider.inventory().disk_free_bytes, stack.observed().images, stack.provider.stored()) == (free, (), ())
    stack.provider.clean(stack.image, stack.mark(stack.image))
    later = stack.again(SimulatedSite(name="lab", images=(replace(there, checksum="md5:2"),)))
    later.image = stack.image
    later.boot()  # its disk exists
    with pytest.raises(SiteError, match="has another image img-1"):
        later.boot(later.node(1))
    with pytest.raises(SiteError, match="has another image img-1"):
        later.stage()
    gone = stack.again(SimulatedSite(name="lab"))
    gone.image = stack.image
    with pytest.raises(SiteError, match="has no image img-1"):
        gone.stage()
