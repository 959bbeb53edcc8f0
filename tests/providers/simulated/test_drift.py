"""Machines whose devices or host CPUs were edited in the file of the site."""

from msgspec.structs import replace

from pragmaspec.planning.observed import Difference
from pragmaspec.providers.simulated.drift import part_differences, recorded_parts
from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.resources import NodeDevice
from pragmaspec.site import SimulatedHost, SimulatedSite
from tests.planning.builders import applied_state, cluster, nodes

SITE = SimulatedSite(name="lab", host=SimulatedHost(cpus=8, threads=1), devices=(("gpu", 2),))
STATE = applied_state(cluster(computes=nodes(1)))
(ADDRESS,) = [each.address for each in STATE.records if each.address.endswith("compute-0")]


def differences(machine, site=SITE, **recorded):
    record = STATE.record(ADDRESS)
    state = STATE.with_records([replace(record, resource=replace(record.resource, **recorded))])
    parts = recorded_parts(site, state)
    return None if parts is None else part_differences(machine, parts)


def test_devices_and_host_cpus_are_compared_with_the_record():
    gpu = (NodeDevice(alias="gpu", address="gpu-0"),)
    machine = SimulatedMachine(address=ADDRESS, devices=("gpu-1",), pinned=(2, 3))
    assert differences(machine, devices=gpu, pinned=(0, 1)) == (
        Difference(detail="has gpu-1, recorded gpu-0", repair="restart"),
        Difference(detail="is pinned to 2-3, recorded 0-1", repair="restart"),
    )
    assert differences(replace(machine, devices=(), pinned=()), devices=gpu, pinned=(0,)) == (
        Difference(detail="has no devices, recorded gpu-0", repair="restart"),
        Difference(detail="is not pinned, recorded 0", repair="restart"),
    )
    assert [each.detail for each in differences(machine)] == [
        "has gpu-1, recorded none",
        "is pinned to 2-3, recorded as not pinned",
    ]
    assert differences(replace(machine, devices=("gpu-0",), pinned=()), devices=gpu) == ()
    (swapped,) = differences(replace(machine, devices=(), pinned=(1, 0)), pinned=(0, 1))
    assert swapped.detail == "is pinned to 1,0, recorded 0,1"


def test_machines_without_a_record_or_a_definition_have_no_differences():
    machine = SimulatedMachine(address=ADDRESS, devices=("gpu-1",))
    assert differences(replace(machine, address="lab/other")) == ()
    assert differences(replace(machine, status="undefined")) == ()
    assert differences(machine, SimulatedSite(name="lab")) is None
    assert recorded_parts(SITE, None) is None
