"""What a cluster of a repository is in a spec: its images, and the cluster itself."""

import json
import re

from pragmaspec.images.importer import spec_name
from pragmaspec.images.pragma.vc_in import Appliance, ApplianceMachine

_VIRTIO = {"", "virtio"}
_LEAST_MEMORY_MIB = 16
_GUEST = "guest: files  # it has no cloud-init"
"""Images of PRAGMA were told who they are by files that were written into their disks."""


def image_entries(appliance: Appliance, repository: str, called: str = "") -> dict[str, list[str]]:
    """The lines of ``images:`` for a cluster: one image when frontend and computes have the same disk, else one for each.

    ``called``: its name in the spec, made of the repository's when it is empty.
    """
    name = called or spec_name(appliance.name)
    told = {"repository": repository, "cluster": appliance.name}
    if not has_own_compute_disk(appliance):
        return {name: [f"pragma: {_flow(told)}", _GUEST, *_notes(appliance.frontend)]}
    frontend = [f"pragma: {_flow({**told, 'role': 'frontend'})}", _GUEST, *_notes(appliance.frontend)]
    compute = [f"pragma: {_flow({**told, 'role': 'compute'})}", _GUEST, *_notes(appliance.compute)]
    return {f"{name}-frontend": frontend, f"{name}-compute": compute}


def cluster_entry(appliance: Appliance, site: str, called: str = "") -> dict[str, list[str]]:
    """The lines of ``clusters:`` for a cluster at ``site``, no computes until somebody says how many. ``called``: as there."""
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
    """Whether the computes have a disk of their own."""
    return appliance.disk("compute") != appliance.disk("frontend")


def _size(machine: ApplianceMachine) -> str:
    memory = f", memory: {machine.memory_mib} MiB" if machine.memory_mib >= _LEAST_MEMORY_MIB else ""
    return f", cpus: {machine.cpus}{memory}"


def _notes(machine: ApplianceMachine | None) -> list[str]:
    bus = machine.disk.bus if machine and machine.disk else ""
    return (
        [] if bus in _VIRTIO else [f"# Its disk was on the bus {bus}; here it is on virtio, for which the image needs a driver."]
    )


def _flow(values: dict[str, str]) -> str:
    """A mapping on one line; JSON's strings are YAML's double-quoted ones."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in values.items()) + "}"


def _scalar(value: str) -> str:
    return value if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", value) and value.lower() not in _WORDS else json.dumps(value)


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
