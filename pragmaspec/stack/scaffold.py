"""What ``init`` writes, and what it finds out about this machine first."""

import os
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import PragmaspecError, Problem

_LIBVIRT_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/var/run/libvirt/libvirt-sock")
_OWN_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
SCHEMA_FILE = ".pragmaspec.schema.json"
"""Beside the spec, so that an editor checks it offline, against this version."""


class Findings(NamedTuple):
    """What this machine has."""

    libvirt: bool
    kvm: bool
    ssh_keys: tuple[str, ...]


class Written(NamedTuple):
    """A file of the scaffold; ``new`` is False when it was there before, and then it was left alone."""

    path: Path
    new: bool


def findings() -> Findings:
    """Looks for a libvirt daemon, KVM and the user's ssh keys."""
    home = Path(os.path.expanduser("~")) / ".ssh"  # noqa: PTH111 - Path.home() raises where there is none
    return Findings(
        libvirt=any(Path(socket).exists() for socket in _LIBVIRT_SOCKETS),
        kvm=os.access("/dev/kvm", os.R_OK | os.W_OK),
        ssh_keys=tuple(name for name in _OWN_KEYS if (home / name).is_file()),
    )


def write_scaffold(directory: Path, found: Findings, *, simulated: bool) -> tuple[Written, ...]:
    """Write what is not there yet. Raises PragmaspecError when that is not possible."""
    from pragmaspec.spec.json_schema import schema_text

    files = {"cluster.yaml": spec_text(found, simulated=simulated), SCHEMA_FILE: schema_text(), ".gitignore": GITIGNORE}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return tuple(_write(directory / name, text) for name, text in files.items())
    except OSError as error:
        problem = Problem(summary="The files cannot be written", detail=f"{error.filename}: {error.strerror}.")
        raise PragmaspecError(problem) from error


def spec_text(found: Findings, *, simulated: bool) -> str:
    """A complete spec, with the next things to change as comments."""
    site = _SIMULATED if simulated else _LIBVIRT.format(kvm="" if found.kvm else "   # emulated: /dev/kvm is not usable here")
    return _SPEC.format(schema=f"./{SCHEMA_FILE}", site=site)


def _write(path: Path, text: str) -> Written:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return Written(path, new=False)
    return Written(path, new=True)


GITIGNORE = """\
# What only this machine needs. state.json itself belongs into git: others go on from it.
state/*/journal.*
state/*/spill.*
state/*/backups/
state/*/.lock
state/*/*.tmp
state/*/.*.tmp
*.plan
"""

_SPEC = """\
# yaml-language-server: $schema={schema}
images:
  debian-12:
    build: {{debian: bookworm}}        # or  source: ./disk.qcow2,  or  source: https://… with sha256: …
sites:
{site}clusters:
  hello:
    site: lab
    image: debian-12
    frontend: {{cpus: 1, memory: 1 GiB}}
    computes: {{count: 2, cpus: 1, memory: 1 GiB}}
"""

_LIBVIRT = """\
  lab:
    provider: libvirt{kvm}
    # uri: qemu+ssh://root@host/system  # default: qemu:///system
    # public: {{network: default}}        # where frontends get their public address
"""

_SIMULATED = """\
  lab:
    provider: simulated
    file: ./simulated-site.json
    public: {addresses: [198.51.100.10-198.51.100.99], prefix: 24, gateway: 198.51.100.1}
"""
