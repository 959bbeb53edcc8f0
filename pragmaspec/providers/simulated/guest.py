"""The simulated guest of a machine: the stage of its boot, and the output of its serial console. Pure functions of time."""

from random import Random
from typing import Literal

from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.resources import Node

GuestStage = Literal["off", "running", "address", "ssh", "cloud-init"]
"""The stages of a boot: off or absent; the domain runs; the address answers; ssh answers; cloud-init has finished."""

_STAGE_LATENCIES: tuple[tuple[GuestStage, float], ...] = (("address", 1.0), ("ssh", 2.0), ("cloud-init", 4.0))
"""Each stage, and the number of site latencies after which it is reached."""


def guest_stage(machine: SimulatedMachine | None, now: float, latency_s: float, seed: int) -> GuestStage:
    """The stage of the guest at ``now``. An ``unready`` one never gets past "running"."""
    if machine is None or machine.status != "running":
        return "off"
    stage: GuestStage = "running"
    if machine.unready:
        return stage
    uptime_s = now - machine.booted_at
    pace_s = latency_s * _pace(machine, seed)
    for later, latencies in _STAGE_LATENCIES:
        if uptime_s >= latencies * pace_s:
            stage = later
    return stage


def console_text(node: Node, machine: SimulatedMachine | None, stage: GuestStage) -> str:
    """The output of the serial console since the machine was booted."""
    if machine is None or stage == "off":
        return ""
    lines = [
        "[    0.000000] Linux version 6.1.0-simulated (nobody@nowhere)",
        f"[    0.000000] Command line: root=LABEL=root console=ttyS0 pragmaspec.image={machine.image[:16]}",
        f"[    0.021000] smp: Brought up 1 node, {machine.cpus} CPUs",
        f"[    0.034000] Memory: {machine.memory_mib * 1024}K available",
    ]
    if machine.unready:
        lines.append("[    1.250000] VFS: Cannot open root device, and never will: this guest is configured not to become ready")
    if stage in ("address", "ssh", "cloud-init"):
        lines += [f"[    1.900000] {nic.network}: {nic.mac} is up, {nic.address}/{nic.prefix}" for nic in node.interfaces]
    if stage in ("ssh", "cloud-init"):
        lines.append("[    3.100000] sshd: listening on port 22")
    if stage == "cloud-init":
        lines += ["[    6.400000] cloud-init: finished", "", f"{node.name} login: "]
    return "\n".join(lines)


def _pace(machine: SimulatedMachine, seed: int) -> float:
    """The relative speed of a guest, between 0.75 and 1.25, the same in every run with this seed."""
    return Random(f"{seed} {machine.address}").uniform(0.75, 1.25)  # noqa: S311 - for demos, not for secrets
