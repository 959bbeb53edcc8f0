"""What is written into the disk of a node whose image has no cloud-init, before its first boot: all that the seed would give."""

from pragmaspec.frozen import Frozen
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.files import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.nat import NAT_SCRIPT, NAT_SYSCTL, NAT_UNIT, SYSCTL_TEXT, UNIT_TEXT, nat_script
from pragmaspec.guest.offline.detect import GuestSystem
from pragmaspec.guest.offline.network import offline_network_files
from pragmaspec.resources import Node

_NAT_WANTED = "/etc/systemd/system/multi-user.target.wants/pragmaspec-nat.service"
_OLD_HOOK = "/sbin/ifup-local"
"""What Red Hat's scripts run after each interface is up, where there is no systemd."""
PRIVATE_FOLDERS = ("/root", "/root/.ssh", "/etc/NetworkManager/system-connections")
"""Folders that only root may enter, when they have to be made."""


class OfflineFiles(Frozen, frozen=True):
    """What becomes of a disk: ``files`` replace what is there, ``links`` (path, target) are made, ``removed`` goes.

    Everything belongs to root. Folders that are missing are made, for everybody to read except :data:`PRIVATE_FOLDERS`.
    Where ``contexts`` is not empty, each gets its label of SELinux (:func:`pragmaspec.guest.offline.selinux.selinux_label`).
    """

    files: tuple[GuestFile, ...]
    links: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()
    contexts: str = ""


def offline_files(node: Node, cluster: GuestCluster, stack_key: StackKey, system: GuestSystem) -> OfflineFiles:
    """Everything that ``node`` finds on its disk at its first boot. Holds private keys. Equal input gives equal files.

    Raises SpecError when a value cannot be written.
    """
    files = [
        *seed_files(node, cluster, stack_key),
        *offline_network_files(node, cluster.domain, system),
    ]
    if system.machine_id:
        # Two nodes must not both have the image's. Like the host key, it stays the node's own through every rebuild.
        identity = cluster.mark(node.address).uuid.replace("-", "")
        files.append(GuestFile(path="/etc/machine-id", mode=0o444, content=f"{identity}\n"))
    links: list[tuple[str, str]] = []
    if nat_script(node, cluster):
        files.append(GuestFile(path=NAT_SYSCTL, mode=0o644, content=SYSCTL_TEXT))
        if system.systemd:
            files.append(GuestFile(path=NAT_UNIT, mode=0o644, content=UNIT_TEXT))
            links.append((_NAT_WANTED, "../pragmaspec-nat.service"))
        elif "ifcfg" in system.networks:
            files.append(GuestFile(path=_OLD_HOOK, mode=0o755, content=f"#!/bin/sh\nexec {NAT_SCRIPT}\n"))
    return OfflineFiles(files=tuple(files), links=tuple(links), removed=system.host_keys, contexts=system.contexts)
