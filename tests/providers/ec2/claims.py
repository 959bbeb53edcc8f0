"""Promises of a service that the provider relies on: it gives an address to one interface, a volume to one machine, and creates
one machine and one volume per token.

The fixture ``service_itself`` is a connection that bypasses the provider.
"""

from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteInUseError
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.machines import find_machine
from pragmaspec.providers.ec2.provider import Ec2Provider
from pragmaspec.resources import Disk
from pragmaspec.testing.subject import Subject


def test_an_address_has_one_machine(subject: Subject) -> None:
    subject.prepare()
    node = subject.node()
    subject.boot(node)
    other = subject.node("hello-compute-0")
    with pytest.raises(SiteConflictError, match="hello-frontend"):
        subject.boot(replace(other, nics=(replace(other.nics[0], address=node.nics[0].address),)))
    assert len(subject.observed().nodes) == 1


def test_a_used_network_is_not_removed(subject: Subject) -> None:
    subject.prepare()
    subject.boot(subject.node())
    with pytest.raises(SiteInUseError, match="hello-frontend"):
        subject.provider.clean(subject.allocation(), subject.mark(subject.allocation()))
    assert [each.networks for each in subject.observed().allocations] == [("private",)]


def test_a_service_creates_one_machine_per_token(subject: Subject, service_itself: Ec2Client) -> None:
    subject.prepare()
    machine_id = dict(subject.boot(subject.node()))["id"]
    assert isinstance(subject.provider, Ec2Provider)
    machine = find_machine(subject.provider.service, machine_id)
    assert machine is not None
    attached = [{"DeviceIndex": 0, "NetworkInterfaceId": machine.interfaces[0].id}]
    answer = service_itself.call(
        "run_instances",
        ImageId=machine.image,
        InstanceType=machine.type,
        MinCount=1,
        MaxCount=1,
        ClientToken=machine.token,
        NetworkInterfaces=attached,
    )
    (found,) = answer["Instances"]
    try:
        assert found["InstanceId"] == machine_id
    finally:
        if found["InstanceId"] != machine_id:
            service_itself.call("terminate_instances", InstanceIds=[found["InstanceId"]])


def test_a_service_attaches_a_volume_to_one_machine(subject: Subject, service_itself: Ec2Client) -> None:
    assert isinstance(subject.provider, Ec2Provider)
    subject.prepare()
    volume = subject.volume()
    subject.provider.allocate_volume(volume, subject.mark(volume))
    first = dict(subject.boot(replace(subject.node(), disks=(Disk(name="home", size_bytes=2**21, volume="home"),))))["id"]
    second = dict(subject.boot(subject.node("hello-compute-0")))["id"]
    (found,) = subject.observed().volumes
    attached = service_itself.call("describe_volumes", VolumeIds=[found.id])["Volumes"][0]["Attachments"][0]
    try:
        with pytest.raises(ClientError, match="VolumeInUse"):
            service_itself.call("attach_volume", VolumeId=found.id, InstanceId=second, Device="/dev/sdp")
    except pytest.fail.Exception:
        service_itself.call("detach_volume", VolumeId=found.id, InstanceId=second)
        service_itself.call("attach_volume", VolumeId=found.id, InstanceId=first, Device=attached["Device"])
        raise


def test_a_service_creates_one_volume_per_token(subject: Subject, service_itself: Ec2Client) -> None:
    assert isinstance(subject.provider, Ec2Provider)
    zone, token = subject.provider.service.new_zone(), uuid4().hex
    request = {"Size": 1, "AvailabilityZone": zone, "ClientToken": token}
    ids = {service_itself.call("create_volume", **request)["VolumeId"] for _ in range(2)}
    for each in ids:
        service_itself.call("delete_volume", VolumeId=each)
    assert len(ids) == 1


def test_a_creation_is_found_by_its_interface_before_it_is_tagged(subject: Subject, service_itself: Ec2Client) -> None:
    """A run that died between the creation of a machine and its tags, where these are two calls."""
    subject.prepare()
    node = subject.node()
    machine_id = dict(subject.boot(node))["id"]
    tags = [{"Key": f"pragmaspec-{key}"} for key in ("lineage", "address", "generation", "op")]
    service_itself.call("delete_tags", Resources=[machine_id], Tags=tags)
    (seen,) = subject.observed().nodes
    assert (seen.id, seen.address, seen.op) == (machine_id, node.address, subject.boot_request(node).mark.op)
    subject.ids.clear()
    assert dict(subject.boot(node))["id"] == machine_id
