"""What kind of system stands on a disk, as far as it matters to who writes files into it: concluded from what is there.

Nothing of the image's own programs is run, so all there is to go by are names: which paths exist and what they are.
"""

from collections.abc import Mapping
from typing import Literal

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

FileKind = Literal["file", "directory", "link"]

PASSWD = "/etc/passwd"  # noqa: S105 - the path of a file
"""Every root file system of Linux has it, and no other file system does."""
_NETPLAN = "/etc/netplan"
_IFUPDOWN = "/etc/network/interfaces"
_NETWORKD = tuple(
    f"/etc/systemd/system/{name}"
    for name in ("multi-user.target.wants/systemd-networkd.service", "dbus-org.freedesktop.network1.service")
)
_SCRIPTS = "/etc/sysconfig/network-scripts"
_OLD_SCRIPTS = f"{_SCRIPTS}/ifup-eth"
_NETWORK_MANAGER = "/etc/NetworkManager"
_SYSTEMD = "/etc/systemd/system"
_MACHINE_ID = "/etc/machine-id"
RESOLV_CONF = "/etc/resolv.conf"
HOST_KEY_PATHS = tuple(f"/etc/ssh/ssh_host_{kind}_key{end}" for kind in ("dsa", "ecdsa", "rsa") for end in ("", ".pub"))

PROBED_PATHS = (
    PASSWD, _NETPLAN, _IFUPDOWN, *_NETWORKD, _SCRIPTS, _OLD_SCRIPTS, _NETWORK_MANAGER, _SYSTEMD, _MACHINE_ID, RESOLV_CONF,
    *HOST_KEY_PATHS,
)  # fmt: skip
"""The paths of an image that decide what is written into it."""

NetworkFamily = Literal["netplan", "networkd", "ifupdown", "ifcfg", "network-manager"]


class GuestSystem(Frozen, frozen=True):
    """The system on a disk. ``networks``: who may set up its interfaces, each is told; ``host_keys``: what it brings of them."""

    networks: tuple[NetworkFamily, ...]
    systemd: bool = False
    machine_id: bool = False
    resolv_link: bool = False
    """``/etc/resolv.conf`` belongs to a program that writes it."""
    host_keys: tuple[str, ...] = ()
    contexts: str = ""
    """SELinux's labels, see :mod:`pragmaspec.guest.offline.selinux`; empty without SELinux."""


def guest_system(found: Mapping[str, FileKind], contexts: str = "") -> GuestSystem:
    """The system with ``found`` at :data:`PROBED_PATHS`; absent paths are left out. ``contexts``: SELinux's labels.

    Raises ImageError when nothing there sets up a network in a known way.
    """
    networks = _networks(found)
    if not networks:
        raise ImageError(
            "image cannot be told its network",
            f"Its disk has none of {_NETPLAN}, systemd-networkd (enabled), {_IFUPDOWN}, {_SCRIPTS} and "
            f"{_NETWORK_MANAGER}, so it is not known how to set up its interfaces. Put one of them into the image.",
        )
    return GuestSystem(
        networks=networks,
        systemd=found.get(_SYSTEMD) == "directory",
        contexts=contexts,
        machine_id=_MACHINE_ID in found,
        resolv_link=found.get(RESOLV_CONF) == "link",
        host_keys=tuple(path for path in HOST_KEY_PATHS if path in found),
    )


def _networks(found: Mapping[str, FileKind]) -> tuple[NetworkFamily, ...]:
    """Where two of one family are installed, both are told the same: which of them runs is decided at the guest's start.

    Old scripts and NetworkManager read the same files, so one set is enough for both. netplan tells the others itself.
    """
    if found.get(_NETPLAN) == "directory":
        return ("netplan",)
    networks: list[NetworkFamily] = []
    if any(path in found for path in _NETWORKD):
        networks.append("networkd")
    if _IFUPDOWN in found:
        networks.append("ifupdown")
    if _OLD_SCRIPTS in found or (_SCRIPTS in found and _NETWORK_MANAGER not in found):
        networks.append("ifcfg")
    elif _NETWORK_MANAGER in found:
        networks.append("network-manager")
    return tuple(networks)
