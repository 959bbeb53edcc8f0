"""The files written to a node's disk before its first boot, for images without cloud-init."""

from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.network import offline_network_files
from pragmaspec.guest.setup.node_setups import node_setups
from pragmaspec.guest.setup.scripts import unit_file
from pragmaspec.resources import Node

_OLD_HOOK = "/sbin/ifup-local"
"""Run by Red Hat's network scripts after each interface is up, on systems without systemd."""
PRIVATE_FOLDERS = ("/root", "/root/.ssh", "/etc/NetworkManager/system-connections")
"""Directories that are accessible to root only if they have to be created."""


class OfflineFiles(Frozen, frozen=True):
    """The changes to a disk: ``files`` to create or replace, ``links`` (path, target) to create, paths to be ``removed``.

    Everything is owned by root. Missing directories are created, world-readable except :data:`PRIVATE_FOLDERS`. If ``contexts``
    is not empty, everything gets its SELinux label (:func:`pragmaspec.guest.offline.selinux.selinux_label`).
    """

    files: tuple[GuestFile, ...]
    links: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    contexts: str = ""


def offline_files(node: Node, cluster: GuestCluster, stack_key: StackKey, system: GuestSystem) -> OfflineFiles:
    """Return the changes to the disk of ``node`` before its first boot. Contain private keys. Reproducible.

    Raises SpecError if a value cannot be represented in ``vc-out.xml``.
    """
    files = [
        *seed_files(node, cluster, stack_key),
        *offline_network_files(node, cluster.domain, system),
    ]
    if system.machine_id:
        # Nodes must not share the image's machine ID. Like the host key, a node's own survives every rebuild.
        identity = cluster.mark(node.address).uuid.replace("-", "")
        files.append(GuestFile(path="/etc/machine-id", mode=0o444, content=f"{identity}\n"))
    setups = node_setups(node, cluster)
    for setup in setups:
        files += setup.settings
        unit = unit_file(setup.script)
        if system.systemd and unit not in setup.files:
            files.append(unit)
    links = tuple(setup.script.link for setup in setups if system.systemd)
    hooks = [setup.script.path for setup in setups]
    if hooks and not system.systemd and "ifcfg" in system.networks:
        files.append(GuestFile(path=_OLD_HOOK, mode=0o755, content=f"#!/bin/sh\n{_in_turn(hooks)}"))
    return OfflineFiles(files=tuple(files), links=links, removed=system.host_keys, contexts=system.contexts)


def _in_turn(commands: list[str]) -> str:
    """Return lines of a shell script that run ``commands``, the last one in place of the shell."""
    *others, last = commands
    return "".join((*(f"{each}\n" for each in others), f"exec {last}\n"))
