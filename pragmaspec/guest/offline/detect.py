"""Detects the operating system on a disk, as far as it determines the files to write, from the paths that exist on it.

No program of the image is run.
"""

from collections.abc import Mapping
from typing import Literal

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

FileKind = Literal["file", "directory", "link"]

PASSWD = "/etc/passwd"  # noqa: S105 - the path of a file
"""Present on every Linux root file system, and on no other file system."""
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
"""The paths of an image that determine the files written to it."""

NetworkFamily = Literal["netplan", "networkd", "ifupdown", "ifcfg", "network-manager"]


class GuestSystem(Frozen, frozen=True):
    """The operating system on a disk.

    ``networks`` are the network services that may configure its interfaces, all of which get a configuration; ``host_keys`` are
    the paths of ssh host keys in the image.
    """

    networks: tuple[NetworkFamily, ...]
    systemd: bool = False
    machine_id: bool = False
    resolv_link: bool = False
    """True if ``/etc/resolv.conf`` is a link, and so managed by another program."""
    host_keys: tuple[str, ...] = ()
    contexts: str = ""
    """The SELinux file contexts (see :mod:`pragmaspec.guest.offline.selinux`); empty without SELinux."""


def guest_system(found: Mapping[str, FileKind], contexts: str = "") -> GuestSystem:
    """Return the system whose disk has ``found`` among the :data:`PROBED_PATHS`, and the SELinux file contexts ``contexts``.

    Raises ImageError if there is no supported network service.
    """
    networks = _networks(found)
    if not networks:
        raise ImageError(
            "No supported network service in the image",
            f"Its disk has none of {_NETPLAN}, systemd-networkd (enabled), {_IFUPDOWN}, {_SCRIPTS} and "
            f"{_NETWORK_MANAGER}, so its interfaces cannot be configured. Add one of them to the image.",
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
    """Return the services to configure: all that are installed, because the guest decides at boot which of them run.

    Red Hat's scripts and NetworkManager read the same files, so one set suffices for both. netplan configures the others itself.
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
