"""Advice about failures of the host: one table from messages of libvirt and QEMU to advice. Pure.

Most entries concern files and directories that libvirt or QEMU could not use. The messages contain those of the system
(``strerror``), in English unless the host's daemon runs in another language; an unknown message gets the advice of its kind.
"""

import re
from typing import NamedTuple

_PATH = re.compile(r"""['"`[\s](/[^'"`\]\s:]+)""")
_QEMU_USER = re.compile(r"\(as uid:(\d+), gid:\d+\)|Could not open '[^']*'")


class _Rule(NamedTuple):
    """``pattern`` matches the failure's message; ``advice`` may contain its ``{path}`` and the ``{directory}`` of that."""

    pattern: re.Pattern[str]
    advice: str


def _rule(pattern: str, advice: str) -> _Rule:
    return _Rule(re.compile(pattern), advice)


_RULES = (
    _rule(
        r"KVM kernel module|/dev/kvm",
        "QEMU's user cannot use /dev/kvm. On the host: `chgrp kvm /dev/kvm && chmod 660 /dev/kvm`, or load the module (kvm_intel "
        "or kvm_amd); to emulate, write `virt_type: qemu` under the site.",
    ),
    _rule(
        r"(?i)controller \w+ for group|cgroup.*(?:not mounted|not available)|cgroup controller",
        "Pinned CPUs and limits need the control groups cpu, cpuset and memory of the host, which systemd mounts: see "
        "`mount -t cgroup,cgroup2` there. Or remove `pin`.",
    ),
    _rule(r"dnsmasq", "The host needs dnsmasq for its networks (Debian: dnsmasq-base). Install it, then apply again."),
    _rule(
        r"(?i)firewall|iptables|nftables",
        "libvirt could not write the host's firewall rules. Install iptables there, restart its daemon, then apply again.",
    ),
    _rule(
        r"Network is already in use by interface",
        "The network's range is also that of another host interface: give the libvirt network another range (virsh net-edit).",
    ),
    _rule(r"storage pool '[^']*' is not active", "The pool was stopped meanwhile. Plan again, which starts it."),
    _rule(
        r"network '[^']*' is not active",
        "The network was stopped meanwhile. Plan again: apply starts it.",
    ),
    _rule(
        r"Read-only file system",
        "The file system that holds {path} is mounted read-only on the host, as Linux does after a disk error: `dmesg` shows "
        "why, and `findmnt -T {directory}` which file system it is. Mount it writable, then apply again.",
    ),
    _rule(
        r"No space left on device",
        "The file system that holds {path} is full: `df -h {directory}` on the host. Free space there, or use another pool for "
        "the site (`pool:`), then apply again.",
    ),
    _rule(
        r"Disk quota exceeded",
        "A quota on the host limits {path}: `repquota -a` as root. Raise it or free space, then apply again.",
    ),
    _rule(
        r"Input/output error",
        "The disk or network file system that holds {path} has failed: see `dmesg` on the host.",
    ),
    _rule(
        r"(?i)apparmor",
        "AppArmor on the host denies it: `dmesg | grep DENIED` names the rule. A pool outside /var/lib/libvirt/images needs its "
        "directory in /etc/apparmor.d/local/abstractions/libvirt-qemu; then apply again.",
    ),
    _rule(
        r"(?i)selinux|security context|security label",
        "The host's security module denies access to {path}. With SELinux: `ausearch -m avc -ts recent` shows why; "
        "`semanage fcontext -a -t virt_image_t '{directory}(/.*)?' && restorecon -R {directory}` labels a pool's directory. On "
        "NFS: `setsebool -P virt_use_nfs on`. Then apply again.",
    ),
    _rule(
        r"(?:Failed to get .* lock|Is another process using the image)",
        "Another QEMU has {path} open: a machine started without libvirt, or from another host on shared storage. "
        "`fuser -v {path}` on the host names it.",
    ),
    _rule(
        rf"(?:{_QEMU_USER.pattern}).*(?:Permission denied|Operation not permitted)",
        "QEMU's user cannot reach {path}. Every directory above it must be searchable for that user: `namei -l {path}` on the "
        "host shows which is not, and `chmod o+x` fixes it. Home directories usually are not: use a pool in "
        "/var/lib/libvirt/images. With SELinux or AppArmor, check `ausearch -m avc -ts recent` or `dmesg | grep DENIED`.",
    ),
    _rule(
        r"Permission denied|Operation not permitted",
        "The libvirt daemon has no access to {path}: `ls -ld {directory}` on the host shows owner and mode. A daemon that runs "
        "as root is denied by NFS with root_squash, by SELinux (`ausearch -m avc -ts recent`) or by AppArmor "
        "(`dmesg | grep DENIED`); a session daemon needs a directory of its own account.",
    ),
    _rule(r"Not a directory", "{directory} or {path} is not a directory on the host. Create it, or correct the pool's target."),
    _rule(
        r"No such file or directory",
        "{path}, or its directory, does not exist on the host. If its file system is not mounted, mount it; a removed pool "
        "directory is created again by `mkdir -p`.",
    ),
)


def host_advice(message: str) -> str:
    """Return advice about the failure in ``message``; empty when it is unknown, or names no path where one is needed."""
    rule = next((rule for rule in _RULES if rule.pattern.search(message)), None)
    if rule is None:
        return ""
    path = next(reversed(_PATH.findall(message)), "")
    if not path and "{" in rule.advice:
        return ""
    return rule.advice.format(path=path, directory=path.rpartition("/")[0] or "/")
