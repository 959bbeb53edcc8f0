"""Advice about failures of the host: one table from messages of libvirt and QEMU to advice. Pure.

Most entries concern files and folders that libvirt or QEMU could not use. Errors contain the system's own messages
(``strerror``), in English unless the host's daemon runs in another language; an unknown message gets the advice of its kind.
"""

import re
from typing import NamedTuple

_PATH = re.compile(r"""['"`[\s](/[^'"`\]\s:]+)""")
_QEMU_USER = re.compile(r"\(as uid:(\d+), gid:\d+\)|Could not open '[^']*'")


class _Sign(NamedTuple):
    """``words``: a pattern of the failure's text; ``advice`` may name the path (``{path}``) and its folder (``{folder}``)."""

    words: re.Pattern[str]
    advice: str


def _sign(words: str, advice: str) -> _Sign:
    return _Sign(re.compile(words), advice)


_SIGNS = (
    _sign(
        r"KVM kernel module|/dev/kvm",
        "QEMU's user cannot use /dev/kvm. On the host: `chgrp kvm /dev/kvm && chmod 660 /dev/kvm`, or load the module (kvm_intel "
        "or kvm_amd); to emulate, write `virt_type: qemu` under the site.",
    ),
    _sign(r"dnsmasq", "The host needs dnsmasq for its networks (Debian: dnsmasq-base). Install it, then apply again."),
    _sign(
        r"(?i)firewall|iptables|nftables",
        "libvirt could not write the host's firewall rules. Install iptables there, restart its daemon, then apply again.",
    ),
    _sign(
        r"Network is already in use by interface",
        "The network's range is that of another interface of the host: give the libvirt network another range (virsh net-edit).",
    ),
    _sign(r"storage pool '[^']*' is not active", "The pool was stopped meanwhile. Plan again, and it is started."),
    _sign(
        r"network '[^']*' is not active",
        "The network was stopped meanwhile. Plan again: apply starts it.",
    ),
    _sign(
        r"Read-only file system",
        "The file system that holds {path} is mounted read-only on the host, as Linux does after a disk error: `dmesg` says why, "
        "and `findmnt -T {folder}` which one it is. Mount it writable, then apply again.",
    ),
    _sign(
        r"No space left on device",
        "The file system that holds {path} is full: `df -h {folder}` on the host. Free room there, or give the site another pool "
        "(`pool:`), then apply again.",
    ),
    _sign(
        r"Disk quota exceeded",
        "A quota on the host keeps {path} from growing: `repquota -a` as root. Raise it or free room, then apply again.",
    ),
    _sign(
        r"Input/output error",
        "The disk or network file system that holds {path} fails: `dmesg` on the host says more.",
    ),
    _sign(
        r"(?i)apparmor",
        "AppArmor on the host forbids it: `dmesg | grep DENIED` names the rule. A pool outside /var/lib/libvirt/images needs its "
        "folder in /etc/apparmor.d/local/abstractions/libvirt-qemu; then apply again.",
    ),
    _sign(
        r"(?i)selinux|security context|security label",
        "The host's security module forbids it for {path}. With SELinux: `ausearch -m avc -ts recent` says why; "
        "`semanage fcontext -a -t virt_image_t '{folder}(/.*)?' && restorecon -R {folder}` labels a pool's folder. On NFS: "
        "`setsebool -P virt_use_nfs on`. Then apply again.",
    ),
    _sign(
        r"(?:Failed to get .* lock|Is another process using the image)",
        "Another QEMU has {path} open: a machine that was started beside libvirt, or from another host on shared storage. "
        "`fuser -v {path}` on the host names it.",
    ),
    _sign(
        rf"(?:{_QEMU_USER.pattern}).*(?:Permission denied|Operation not permitted)",
        "QEMU's own user cannot reach {path}. Every folder above it must let that user pass: `namei -l {path}` on the host shows "
        "which does not, and `chmod o+x` mends it. Home directories are closed as a rule: use a pool in /var/lib/libvirt/images. "
        "Where SELinux or AppArmor runs, `ausearch -m avc -ts recent` or `dmesg | grep DENIED` tells whether it is that.",
    ),
    _sign(
        r"Permission denied|Operation not permitted",
        "The libvirt daemon may not use {path}: `ls -ld {folder}` on the host shows owner and mode. A daemon that runs as root "
        "is kept out by NFS with root_squash, by SELinux (`ausearch -m avc -ts recent`) or by AppArmor (`dmesg | grep DENIED`); "
        "one of a session needs a folder of its own account.",
    ),
    _sign(r"Not a directory", "{folder} or {path} is no folder on the host. Put a folder there, or correct the pool's target."),
    _sign(
        r"No such file or directory",
        "{path}, or its folder, is not there on the host. If its file system is not mounted, mount it; a pool's folder that was "
        "removed is made again by `mkdir -p`.",
    ),
)


def host_advice(words: str) -> str:
    """Advice about the trouble in ``words``; empty when they are not known, or name no path where one is needed."""
    sign = next((sign for sign in _SIGNS if sign.words.search(words)), None)
    if sign is None:
        return ""
    path = next(reversed(_PATH.findall(words)), "")
    if not path and "{" in sign.advice:
        return ""
    return sign.advice.format(path=path, folder=path.rpartition("/")[0] or "/")
