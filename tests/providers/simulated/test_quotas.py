"""Flavors and quotas of a simulated site."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.planning.observed import QuotaUse
from pragmaspec.resources import Disk, Network, Volume
from pragmaspec.site import Flavor, SimulatedHost
from tests.providers.simulated.intruder import Intruder

SMALL = Flavor(name="m1.small", cpus=1, memory_mib=1024, disk_bytes=2**31)
ANY_DISK = Flavor(name="v1.small", cpus=1, memory_mib=1024)


def used(stack):
    return {quota.kind: quota.used for quota in stack.provider.inventory().quotas}


def refused(stack, node, error=SiteError, generation=0):
    with pytest.raises(error) as caught:
        stack.boot(node, generation)
    return str(caught.value)


# flavors


def test_a_site_without_options_offers_any_size_without_quotas(stack):
    inventory = stack.provider.inventory()
    assert (inventory.flavors, inventory.quotas, inventory.reports_capacity) == (None, (), True)


def test_a_machine_has_the_flavor_of_its_node(make_stack):
    stack = make_stack(flavors=(SMALL, ANY_DISK)).prepare()
    stack.boot(stack.node(0, flavor="m1.small"))
    stack.boot(stack.node(1, flavor="v1.small", disk_bytes=2**33))
    assert [node.flavor for node in stack.observed().nodes] == ["m1.small", "v1.small"]
    assert stack.provider.inventory().flavors == (SMALL, ANY_DISK)


def test_an_unknown_flavor_is_refused_without_a_trace(make_stack):
    stack = make_stack(flavors=(SMALL,)).prepare()
    assert "names the flavor m1.large, which is not offered" in refused(stack, stack.node(flavor="m1.large"))
    assert "names no flavor" in refused(stack, stack.node())
    assert "is not of the size of its flavor m1.small" in refused(stack, stack.node(flavor="m1.small", cpus=2))
    assert stack.observed().nodes == ()


def test_a_flavor_at_a_site_of_free_sizes_is_refused(stack):
    assert "offers any size instead" in refused(stack.prepare(), stack.node(flavor="m1.small"))


def test_a_machine_keeps_a_flavor_that_is_no_longer_offered(make_stack):
    stack = make_stack(flavors=(SMALL,)).prepare()
    node = stack.node(flavor="m1.small")
    stack.boot(node)
    later = make_stack(flavors=(ANY_DISK,))
    later.provider._world = stack.provider._world
    later.lineage = stack.lineage
    later.provider.shutdown(node, later.mark(node), 0)
    later.provider.check_boot(later.boot_request(node))
    later.boot(node)
    assert later.observed().nodes[0].status == "running"
    with pytest.raises(SiteError):
        later.provider.check_boot(later.boot_request(node, generation=1))
    assert len(later.observed().nodes) == 1


# quotas


def test_the_use_of_quotas_is_counted(make_stack):
    kinds = ("instances", "cores", "memory", "disk", "addresses", "networks", "ports", "security_groups", "keys")
    stack = make_stack(quotas=tuple((kind, 2**40) for kind in kinds)).prepare()
    assert used(stack) == dict(zip(kinds, (0, 0, 0, 0, 1, 1, 0, 1, 1), strict=True))
    stack.boot(stack.node(0, cpus=2))
    stack.boot(stack.node(1))
    full = dict(zip(kinds, (2, 3, 2048, 2**32, 1, 1, 2, 1, 1), strict=True))
    assert used(stack) == full
    stack.provider.shutdown(stack.node(0), stack.mark(stack.node(0)), 0)
    assert used(stack) == full, "stopped machines count"
    for index in (0, 1):
        stack.provider.clean(stack.node(index), stack.mark(stack.node(index)))
    stack.provider.clean(stack.allocation, stack.mark(stack.allocation))
    assert set(used(stack).values()) == {0}


def test_the_users_of_a_quota_are_reported_by_cluster(make_stack):
    stack = make_stack(quotas=(("instances", 9), ("addresses", 9))).prepare()
    stack.boot(stack.node(0))
    stack.boot(stack.node(1))
    Intruder(stack.world).run_machine("gateway", cpus=1, memory_mib=1)
    instances, addresses = stack.provider.inventory().quotas
    own = f"cluster hello of stack {stack.lineage[:8]}"
    assert instances.users == (QuotaUse(owner="gateway", amount=1), QuotaUse(owner=own, amount=2, lineage=stack.lineage))
    assert addresses.users == (QuotaUse(owner=own, amount=1, lineage=stack.lineage),)


def test_a_boot_over_quota_is_refused_without_a_trace(make_stack):
    stack = make_stack(quotas=(("instances", 1), ("cores", 3), ("memory", 10240))).prepare()
    stack.boot(stack.node(0))
    message = refused(stack, stack.node(1, cpus=4), SiteCapacityError)
    assert "needs 1 of the quota of instances at site lab, of which 1 of 1 are in use" in message
    assert "needs 4 of the quota of cores at site lab, of which 1 of 3 are in use" in message
    assert len(stack.observed().nodes) == 1
    stack.boot(stack.node(0, cpus=3))
    refused(stack, stack.node(0, cpus=4), SiteCapacityError)
    assert stack.observed().nodes[0].cpus == 3


def test_a_rebuilt_node_needs_its_quota_once(make_stack):
    stack = make_stack(quotas=(("instances", 1), ("disk", 2**31))).prepare()
    stack.boot(stack.node())
    stack.provider.clean(stack.node(), stack.mark(stack.node()))
    stack.boot(stack.node(), generation=1)
    assert used(stack) == {"instances": 1, "disk": 2**31}


def test_an_allocation_over_quota_is_refused(make_stack):
    stack = make_stack(quotas=(("networks", 1), ("addresses", 1)))
    stack.allocate()
    larger = replace(
        stack.allocation, networks=(*stack.allocation.networks, Network(name="storage", cidr="10.30.0.0/16", vlan=30))
    )
    with pytest.raises(SiteCapacityError) as caught:
        stack.allocate(larger)
    assert "needs 2 of the quota of networks" in str(caught.value)
    assert stack.observed().allocations[0].networks == ("private",)
    bridged = replace(
        stack.allocation, networks=(*stack.allocation.networks, Network(name="lan", cidr="10.30.0.0/16", bridge="br0"))
    )
    stack.allocate(bridged)


def test_a_disk_without_a_machine_is_not_an_instance(make_stack):
    stack = make_stack(quotas=(("instances", 9), ("disk", 2**40))).prepare()
    stack.boot(stack.node())
    Intruder(stack.world).undefine(stack.lineage, stack.node().address)
    assert used(stack) == {"instances": 0, "disk": 2**31}


def test_a_hidden_host_still_limits_the_site(make_stack):
    stack = make_stack(host=SimulatedHost(cpus=1, visible=False)).prepare()
    inventory = stack.provider.inventory()
    assert (inventory.reports_capacity, inventory.cpus, inventory.memory_mib, inventory.disk_free_bytes) == (False, 0, 0, 0)
    refused(stack, stack.node(cpus=5), SiteCapacityError)


# disks and volumes


def test_further_disks_and_volumes_have_their_own_quotas(make_stack):
    kinds = ("disk", "volumes", "volume_storage")
    stack = make_stack(quotas=tuple((kind, 2**33) for kind in kinds)).prepare()
    volume = Volume(site="lab", name="home", size_bytes=2**32)
    stack.provider.allocate_volume(volume, stack.mark(volume))
    node = stack.node(disks=(Disk(name="scratch", size_bytes=2**30), Disk(name="home", size_bytes=2**32, volume="home")))
    request = replace(stack.boot_request(node), volumes=(("home", stack.mark(volume)),))
    stack.provider.boot(request)
    assert used(stack) == {"disk": 2**31 + 2**30, "volumes": 1, "volume_storage": 2**32}
    volumes = stack.provider.inventory().quotas[1]
    assert volumes.users == (QuotaUse(owner=f"volumes of stack {stack.lineage[:8]}", amount=1, lineage=stack.lineage),)
    larger = replace(node, disks=(replace(node.disks[0], size_bytes=2**33), node.disks[1]))
    with pytest.raises(SiteCapacityError):
        stack.provider.grow_disks(larger, stack.mark(node))
    with pytest.raises(SiteCapacityError):
        stack.provider.allocate_volume(replace(volume, size_bytes=2**34), stack.mark(volume))
    stack.provider.clean(node, stack.mark(node))
    stack.provider.clean(volume, stack.mark(volume))
    assert set(used(stack).values()) == {0}


def test_a_volume_over_quota_is_refused_without_a_trace(make_stack):
    stack = make_stack(quotas=(("volumes", 0),))
    volume = Volume(site="lab", name="home", size_bytes=2**30)
    with pytest.raises(SiteCapacityError):
        stack.provider.allocate_volume(volume, stack.mark(volume))
    assert stack.observed().volumes == ()
