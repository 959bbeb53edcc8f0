"""Quotas of AWS: neither moto nor the lab has them."""

from pragmaspec.planning.observed import QuotaUse
from pragmaspec.providers.ec2.machines import machine_of
from pragmaspec.providers.ec2.marks import Marked, tags_of
from pragmaspec.providers.ec2.quotas import site_quotas
from pragmaspec.providers.ec2.settings import InstanceType
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.providers.ec2.volumes import EbsVolume
from pragmaspec.resources import Mark
from tests.providers.ec2.doubles import refused, service_of

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"
LIMITS = {"L-1216C47A": 32.0, "L-0263D0A3": 5.0, "L-F678F1CE": 5.0}
T3 = InstanceType(name="t3.medium", cpus=2, memory_mib=4096)


def answers(limits=LIMITS):
    def limit(ServiceCode, QuotaCode):  # noqa: N803 - names of the API
        if QuotaCode not in limits:
            raise refused("AccessDeniedException", "GetServiceQuota")
        return {"Quota": {"Value": limits[QuotaCode]}}

    return {
        "get_service_quota": limit,
        "describe_addresses": {
            "Addresses": [{"AllocationId": "eipalloc-1"}, {"AllocationId": "eipalloc-2"}, {"PublicIp": "192.0.2.1"}]
        },
        "describe_vpcs": {"Vpcs": [{}]},
    }


def instance(number: int, state: str = "running", kind: str = "t3.medium", **more):
    tags = tags_of(Marked(Mark(lineage=LINEAGE, address=f"lab/hello/node/hello-compute-{number}")), f"hello-compute-{number}")
    described = {"InstanceId": f"i-{number}", "State": {"Name": state}, "InstanceType": kind, "Tags": tags}
    return machine_of({**described, **more})


def quotas(service, *machines, volumes=()):
    return {each.kind: each for each in site_quotas(service, Sizes(service), machines, volumes)}


def test_running_machines_use_vcpus() -> None:
    found = quotas(service_of(answers(), "quotas", sizes=(T3,)), instance(0), instance(1), instance(2, "stopped"))
    cores = found["cores"]
    assert (cores.limit, cores.used, cores.counts_stopped) == (32, 4, False)
    assert cores.users == (QuotaUse(owner="cluster hello of stack 3f9a1c2b", amount=4, lineage=LINEAGE),)


def test_addresses_and_vpcs_are_counted() -> None:
    found = quotas(service_of(answers(), "quotas", sizes=(T3,)))
    assert {kind: (each.limit, each.used) for kind, each in found.items()} == {
        "cores": (32, 0),
        "addresses": (5, 2),
        "networks": (5, 1),
    }
    assert found["networks"].rates == (("cluster", 1),)
    assert "networks" not in quotas(service_of(answers(), "quotas", sizes=(T3,), vpc="vpc-00000001"))


def test_spot_machines_have_a_quota_of_their_own() -> None:
    service = service_of(answers({"L-34B43A08": 8.0}), "quotas", sizes=(T3,), market="spot")
    found = quotas(service, instance(0), instance(1, SpotInstanceRequestId="sir-1"))
    assert {kind: (each.limit, each.used) for kind, each in found.items()} == {"cores": (8, 2)}


def test_families_with_quotas_of_their_own_are_not_counted_together() -> None:
    gpu = InstanceType(name="g5.xlarge", cpus=4, memory_mib=16384)
    assert "cores" not in quotas(service_of(answers(), "quotas", sizes=(T3, gpu)))


def test_storage_of_further_disks_is_counted_in_bytes() -> None:
    volume = EbsVolume(id="vol-1", size_bytes=2**20, gib=3, zone="z", state="available", mark=None, type="gp3")
    found = quotas(
        service_of(answers({"L-7A658B76": 50.0}), "quotas", sizes=(T3,)), volumes=(volume, volume._replace(type="gp2"))
    )
    storage = found["volume_storage"]
    assert (storage.limit, storage.used) == (50 * 2**40, 3 * 2**30)
    assert storage.rates == (("own_disk_byte", 1), ("volume_byte", 1))


def test_a_service_without_quotas_reports_none() -> None:
    assert quotas(service_of(answers(), sizes=(T3,)), instance(0)) == {}
