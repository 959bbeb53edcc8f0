"""Writes the files of ``pragmaspec init``, suited to this machine."""

import os
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import PragmaspecError
from pragmaspec.paths import home
from pragmaspec.spec.fields.default_keys import agent_socket, default_agent_keys, default_key_files
from pragmaspec.spec.files import TrackedReader

_LIBVIRT_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/var/run/libvirt/libvirt-sock")
SCHEMA_FILE = ".pragmaspec.schema.json"
"""A copy beside the spec, so that editors validate it offline and against this version."""
BLANK_FILE = "blank.raw"
"""An empty disk, enough to boot a simulated machine."""
_BLANK_BYTES = 2**20
"""The minimum size of a raw disk."""


class MachineFacts(NamedTuple):
    """The abilities of this machine, and the user's keys."""

    libvirt: bool
    kvm: bool
    ssh_keys: tuple[str, ...]


class ScaffoldFile(NamedTuple):
    """A file of the scaffold. ``new`` is False if it existed before, and was kept."""

    path: Path
    new: bool


def inspect_machine() -> MachineFacts:
    """Look for a libvirt daemon, KVM and the user's ssh keys."""
    return MachineFacts(
        libvirt=any(Path(socket).exists() for socket in _LIBVIRT_SOCKETS),
        kvm=os.access("/dev/kvm", os.R_OK | os.W_OK),
        ssh_keys=tuple(str(file.path) for file in default_key_files(home(), TrackedReader()) if file.data.strip())
        or default_agent_keys(home(), agent_socket()),
    )


def write_scaffold(directory: Path, found: MachineFacts, *, simulated: bool) -> tuple[ScaffoldFile, ...]:
    """Write the missing files. Raises PragmaspecError if that fails."""
    from pragmaspec.spec.json_schema import schema_text

    files = {
        "cluster.yaml": spec_text(found, simulated=simulated).encode(),
        SCHEMA_FILE: schema_text().encode(),
        ".gitignore": GITIGNORE.encode(),
    }
    if simulated:
        files[BLANK_FILE] = bytes(_BLANK_BYTES)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return tuple(_write(directory / name, data) for name, data in files.items())
    except OSError as error:
        raise PragmaspecError("The files cannot be written", f"{error.filename}: {error.strerror}.") from error


def spec_text(found: MachineFacts, *, simulated: bool) -> str:
    """Return a complete spec, with likely changes as comments."""
    head = f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n"
    if simulated:
        return head + _SIMULATED + _CLUSTER.format(image="blank")
    kvm = "" if found.kvm else "   # emulated: /dev/kvm is not usable here"
    return head + _LIBVIRT.format(kvm=kvm) + _CLUSTER.format(image="debian-12")


def _write(path: Path, data: bytes) -> ScaffoldFile:
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        return ScaffoldFile(path, new=False)
    return ScaffoldFile(path, new=True)


GITIGNORE = """\
# What only this machine needs. state.json itself belongs in git: others continue from it.
state/*/journal.*
state/*/spill.*
state/*/backups/
state/*/.lock
state/*/*.tmp
state/*/.*.tmp
*.plan
plan.json
# The simulated site of `init --simulated`, which belongs to this machine like a hypervisor.
simulated-site.jsonl
"""

_CLUSTER = """\
clusters:
  hello:
    site: lab
    image: {image}
    frontend: {{cpus: 1, memory: 1 GiB}}
    computes: {{count: 2, cpus: 1, memory: 1 GiB}}
"""

_LIBVIRT = """\
images:
  debian-12:
    build: {{debian: bookworm}}        # or  source: ./disk.qcow2,  or  source: https://… with sha256: …
sites:
  lab:
    provider: libvirt{kvm}
    # uri: qemu+ssh://root@host/system  # default: qemu:///system
    # public: {{network: default}}        # where frontends get their public address
"""

_SIMULATED = f"""\
images:
  blank:                              # an empty disk, enough for simulated machines; real ones boot, for example,
    source: ./{BLANK_FILE}               # build: {{debian: bookworm}}
    format: raw
    kernel: ./{BLANK_FILE}
sites:
  lab:
    provider: simulated
    file: ./simulated-site.jsonl
    public: {{addresses: [198.51.100.10-198.51.100.99], prefix: 24, gateway: 198.51.100.1}}
"""
