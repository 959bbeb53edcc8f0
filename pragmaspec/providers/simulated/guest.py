"""The pretended guest of a machine: how far it has booted, and what its serial console has printed. Pure functions of time."""

from random import Random
from typing import Literal

from pragmaspec.providers.simulated.objects import SimulatedMachine
from pragmaspec.resources import Node

GuestStage = Literal["off", "running", "address", "ssh", "cloud-init"]
"""The furthest a guest has come: off or absent; its domain runs; its address answers; ssh answers; cloud-init finished."""

_REACHED: tuple[tuple[GuestStage, float], ...] = (("address", 1.0), ("ssh", 2.0), ("cloud-init", 4.0))
"""Stage, and after how many latencies of the site it is reached."""


def guest_stage(machine: SimulatedMachine | None, now: float, latency_s: float, seed: int) -> GuestStage:
    """How far the guest has come at ``now``. One that is ``unready`` stays at "running" for ever."""
    if machine is None or machine.status != "running":
        return "off"
    stage: GuestStage = "running"
    if machine.unready:
        return stage
    uptime_s = now - machine.booted_at
    pace_s = latency_s * _pace(machine, seed)
    for later, latencies in _REACHED:
        if uptime_s >= latencies * pace_s:
            stage = later
    return stage


def console_text(node: Node, machine: SimulatedMachine | None, stage: GuestStage) -> str:
    """What the serial console has printed since the machine was booted."""
    if machine is None or stage == "off":
        return ""
    lines = [
        "[    0.000000] Linux version 6.1.0-simulated (nobody@nowhere)",
        f"[    0.000000] Command line: root=LABEL=root console=ttyS0 pragmaspec.image={machine.image[:16]}",
        f"[    0.021000] smp: Brought up 1 node, {machine.cpus} CPUs",
        f"[    0.034000] Memory: {machine.memory_mib * 1024}K available",
    ]
    if machine.unready:
        lines.append("[    1.250000] VFS: Cannot open root device, and never will: this guest was told not to become ready")
    if stage in ("address", "ssh", "cloud-init"):
        lines += [f"[    1.900000] {nic.network}: {nic.mac} is up, {nic.address}/{nic.prefix}" for nic in node.nics]
    if stage in ("ssh", "cloud-init"):
        lines.append("[    3.100000] sshd: listening on port 22")
    if stage == "cloud-init":
        lines += ["[    6.400000] cloud-init: finished", "", f"{node.name} login: "]
    return "\n".join(lines)


def _pace(machine: SimulatedMachine, seed: int) -> float:
    """Between 0.75 and 1.25: guests do not all boot at one speed, but each at the same in every run with this seed."""
    return Random(f"{seed} {machine.address}").uniform(0.75, 1.25)  # noqa: S311 - a dice for demos, not a secret
