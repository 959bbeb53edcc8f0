"""What a cluster of a repository is in a spec: its images, and the cluster itself."""

import json
import re

from pragmaspec.errors import Problem, UsageError
from pragmaspec.images.pragma.vc_in import Appliance, Machine

_VIRTIO = {"", "virtio"}
_LEAST_MEMORY_MIB = 16
_GUEST = "guest: files  # it has no cloud-init"
"""Images of PRAGMA were told who they are by files that were written into their disks."""


def image_entries(appliance: Appliance, repository: str) -> dict[str, list[str]]:
    """The lines of ``images:`` for a cluster: one image when frontend and computes have the same disk, else one for each."""
    name = spec_name(appliance.name)
    told = {"repository": repository, "cluster": appliance.name}
    if not separate(appliance):
        return {name: [f"pragma: {_flow(told)}", _GUEST, *_notes(appliance.frontend)]}
    frontend = [f"pragma: {_flow({**told, 'role': 'frontend'})}", _GUEST, *_notes(appliance.frontend)]
    compute = [f"pragma: {_flow({**told, 'role': 'compute'})}", _GUEST, *_notes(appliance.compute)]
    return {f"{name}-frontend": frontend, f"{name}-compute": compute}


def cluster_entry(appliance: Appliance, site: str) -> dict[str, list[str]]:
    """The lines of ``clusters:`` for a cluster at ``site``, without computes until somebody says how many."""
    name = spec_name(appliance.name)
    images = (f"{name}-frontend", f"{name}-compute") if separate(appliance) else (name, name)
    compute = appliance.compute or appliance.frontend
    lines = [
        f"site: {_scalar(site)}",
        f"frontend: {{image: {images[0]}{_size(appliance.frontend)}}}",
        f"computes: {{count: 0, image: {images[1]}{_size(compute)}{', wait_for: frontend' if appliance.wait_s else ''}}}",
    ]
    return {name: lines}


def separate(appliance: Appliance) -> bool:
    """Whether the computes have a disk of their own."""
    return appliance.disk("compute") != appliance.disk("frontend")


def spec_name(name: str) -> str:
    """A name of a repository as a spec has it: lower-case letters, digits and ``-``. Raises UsageError when nothing is left."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32].strip("-")
    if not found or not found[0].isalpha():
        found = f"vc-{found}".strip("-")
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", found):
        raise UsageError(Problem(summary="No name for the image", detail=f"{name!r} cannot be made a name of a spec."))
    return found


def _size(machine: Machine) -> str:
    memory = f", memory: {machine.memory_mib} MiB" if machine.memory_mib >= _LEAST_MEMORY_MIB else ""
    return f", cpus: {machine.cpus}{memory}"


def _notes(machine: Machine | None) -> list[str]:
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
