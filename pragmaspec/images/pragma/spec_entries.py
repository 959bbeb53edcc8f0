"""The entries of a spec for a cluster of a repository: its images, and the cluster itself."""

import json
import re

from pragmaspec.images.importer import spec_name
from pragmaspec.images.pragma.vc_in import Appliance, ApplianceMachine

_VIRTIO = {"", "virtio"}
_MIN_MEMORY_MIB = 16
_GUEST = "guest: files  # it has no cloud-init"
"""Images of PRAGMA were configured by files that were written into their disks."""


def image_entries(appliance: Appliance, repository: str, called: str = "") -> dict[str, list[str]]:
    """Return the entries of ``images:``: one if frontend and computes have the same disk, else two.

    ``called`` is the cluster's name in the spec; empty: derived from its name in the repository.
    """
    name = called or spec_name(appliance.name)
    source = {"repository": repository, "cluster": appliance.name}
    if not has_own_compute_disk(appliance):
        return {name: [f"pragma: {_flow(source)}", _GUEST, *_bus_comment(appliance.frontend)]}
    frontend = [f"pragma: {_flow({**source, 'role': 'frontend'})}", _GUEST, *_bus_comment(appliance.frontend)]
    compute = [f"pragma: {_flow({**source, 'role': 'compute'})}", _GUEST, *_bus_comment(appliance.compute)]
    return {f"{name}-frontend": frontend, f"{name}-compute": compute}


def cluster_entry(appliance: Appliance, site: str, called: str = "") -> dict[str, list[str]]:
    """Return the entry of ``clusters:`` for a cluster at ``site``, without computes. ``called``: see :func:`image_entries`."""
    name = called or spec_name(appliance.name)
    images = (f"{name}-frontend", f"{name}-compute") if has_own_compute_disk(appliance) else (name, name)
    compute = appliance.compute or appliance.frontend
    lines = [
        f"site: {_scalar(site)}",
        f"frontend: {{image: {images[0]}{_size(appliance.frontend)}}}",
        f"computes: {{count: 0, image: {images[1]}{_size(compute)}{', wait_for: frontend' if appliance.wait_s else ''}}}",
    ]
    return {name: lines}


def has_own_compute_disk(appliance: Appliance) -> bool:
    """True if the computes have a disk of their own."""
    return appliance.disk("compute") != appliance.disk("frontend")


def _size(machine: ApplianceMachine) -> str:
    memory = f", memory: {machine.memory_mib} MiB" if machine.memory_mib >= _MIN_MEMORY_MIB else ""
    return f", cpus: {machine.cpus}{memory}"


def _bus_comment(machine: ApplianceMachine | None) -> list[str]:
    bus = machine.disk.bus if machine and machine.disk else ""
    comment = f"# Its disk was on the bus {bus}; here it is on virtio, so the image needs a virtio driver."
    return [] if bus in _VIRTIO else [comment]


def _flow(values: dict[str, str]) -> str:
    """Format a mapping on one line; JSON strings are valid double-quoted YAML strings."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items()) + "}"


def _scalar(value: str) -> str:
    return value if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", value) and value.lower() not in _WORDS else json.dumps(value)


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
