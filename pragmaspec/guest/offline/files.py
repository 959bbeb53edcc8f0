"""The files written to a node's disk before its first boot, for images without cloud-init."""

from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.files import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.nat import NAT_SCRIPT, NAT_SYSCTL, NAT_UNIT, SYSCTL_TEXT, UNIT_TEXT, nat_script
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.network import offline_network_files
from pragmaspec.guest.setup.disks import DISKS_SCRIPT, DISKS_WANTED
from pragmaspec.guest.setup.users import USERS_SCRIPT, USERS_WANTED
from pragmaspec.resources import Node

_NAT_WANTED = "/etc/systemd/system/multi-user.target.wants/pragmaspec-nat.service"
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
    links: list[tuple[str, str]] = []
    if node.disks and system.systemd:
        links.append((DISKS_WANTED, "../pragmaspec-disks.service"))
    if cluster.users and system.systemd:
        links.append((USERS_WANTED, "../pragmaspec-users.service"))
    hooks = [*([DISKS_SCRIPT] if node.disks else ()), *([USERS_SCRIPT] if cluster.users else ())]
    if nat_script(node, cluster):
        files.append(GuestFile(path=NAT_SYSCTL, mode=0o644, content=SYSCTL_TEXT))
        if system.systemd:
            files.append(GuestFile(path=NAT_UNIT, mode=0o644, content=UNIT_TEXT))
            links.append((_NAT_WANTED, "../pragmaspec-nat.service"))
        else:
            hooks.append(NAT_SCRIPT)
    if hooks and not system.systemd and "ifcfg" in system.networks:
        files.append(GuestFile(path=_OLD_HOOK, mode=0o755, content=f"#!/bin/sh\n{_in_turn(hooks)}"))
    return OfflineFiles(files=tuple(files), links=tuple(links), removed=system.host_keys, contexts=system.contexts)


def _in_turn(commands: list[str]) -> str:
    """Return lines of a shell script that run ``commands``, the last one in place of the shell."""
    *others, last = commands
    return "".join((*(f"{each}\n" for each in others), f"exec {last}\n"))
