"""Stops and removes machines."""

from pragmaspec.providers.ec2.addresses import return_addresses
from pragmaspec.providers.ec2.errors import IN_USE, MISSING, ignoring
from pragmaspec.providers.ec2.interfaces import interfaces_of
from pragmaspec.providers.ec2.machines import Machine, described_machine, is_of, machines_of, wait_for
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.volumes import volumes_of
from pragmaspec.resources import Mark

_STOP_S = 600.0
"""AWS forces a machine off after some minutes itself."""
_GONE_S = 600.0
_PAUSE_S = 1.0
_OFF = ("stopped", "terminated", "shutting-down")


def stop_machine(service: Service, machine: Machine, grace_s: float) -> None:
    """Ask the guest to power off, and force it off after ``grace_s``. Off or absent: no error."""
    if machine.state in _OFF:
        return
    with ignoring(MISSING):
        service.connection.call("stop_instances", repeatable=True, InstanceIds=[machine.id], Force=grace_s <= 0)
    if grace_s > 0 and not _stopped_within(service, machine.id, grace_s):
        with ignoring(MISSING):
            service.connection.call("stop_instances", repeatable=True, InstanceIds=[machine.id], Force=True)
    wait_for(service, machine.id, _is_off, _STOP_S)


def remove_machines(service: Service, machines: list[Machine], mark: Mark) -> None:
    """Remove machines with their interfaces and disks, and the interfaces that creations for ``mark`` have left."""
    left = [each for each in interfaces_of(service, mark) if not each.get("Attachment", {}).get("InstanceId")]
    subnets = {each.id: each.subnet for machine in machines for each in machine.interfaces}
    subnets |= {each["NetworkInterfaceId"]: each["SubnetId"] for each in left}
    return_addresses(service, subnets)
    for machine in machines:
        if machine.spot_request:  # otherwise it would be started again
            with ignoring(MISSING):
                service.connection.call(
                    "cancel_spot_instance_requests", repeatable=True, SpotInstanceRequestIds=[machine.spot_request]
                )
        with ignoring(MISSING):
            service.connection.call("terminate_instances", repeatable=True, InstanceIds=[machine.id])
    for machine in machines:
        wait_for(service, machine.id, lambda each: each is None or each.state == "terminated", _GONE_S)
    _remove_disks(service, {each.id for each in machines}, mark)
    for interface in subnets:
        with ignoring(IN_USE):
            service.remove("delete_network_interface", NetworkInterfaceId=interface)


def _remove_disks(service: Service, machines: set[str], mark: Mark) -> None:
    """Remove the further disks of nodes that no other machine has."""
    for each in volumes_of(service, mark.lineage, mark.address) if service.has_disks else ():
        if each.disk and each.mark and is_of(each.mark, mark) and each.machine in ("", *machines):
            service.remove("delete_volume", VolumeId=each.id)


def own_machines(service: Service, mark: Mark) -> list[Machine]:
    """Return the machines that a shutdown or a removal for ``mark`` affects."""
    found = machines_of(service, mark.lineage, mark.address)
    return [each for each in found if each.mark and is_of(each.mark, mark)]


def _stopped_within(service: Service, machine_id: str, limit_s: float) -> bool:
    clock = service.connection.clock
    until = clock.monotonic() + limit_s
    while clock.monotonic() < until:
        if _is_off(described_machine(service, machine_id)):
            return True
        clock.sleep(_PAUSE_S)
    return False


def _is_off(machine: Machine | None) -> bool:
    return machine is None or machine.state in _OFF
