"""Advice for errors of libvirt and QEMU about a file, directory or device of the host."""

import errno

import libvirt
import pytest

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.providers.libvirt.errors import as_site_error
from pragmaspec.providers.libvirt.host_advice import host_advice
from tests.providers.libvirt.test_errors import failure

DISK = "/srv/vm/a-frontend.3f9a1c2b.qcow2"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (f"Cannot access storage file '{DISK}' (as uid:64055, gid:64055): Permission denied", f"namei -l {DISK}"),
        (f"internal error: qemu: Could not open '{DISK}': Permission denied", "QEMU's user cannot reach"),
        ("cannot open directory '/srv/vm': Permission denied", "`ls -ld /srv`"),
        (f"Failed to create file '{DISK}': Read-only file system", "findmnt -T /srv/vm"),
        (f"cannot extend file '{DISK}': No space left on device", "df -h /srv/vm"),
        (f"cannot write to '{DISK}': Disk quota exceeded", "repquota"),
        (f"cannot read '{DISK}': Input/output error", "dmesg"),
        (f"unable to set security context 'virt_t' on '{DISK}': Operation not permitted", "restorecon -R /srv/vm"),
        ("internal error: cannot load AppArmor profile 'libvirt-1'", "DENIED"),
        (f'internal error: Failed to get "write" lock Is another process using the image [{DISK}]?', f"fuser -v {DISK}"),
        ("cannot open directory '/srv/vm': No such file or directory", "mkdir -p"),
        ("cannot open directory '/srv/vm': Not a directory", "is not a directory"),
        ("Could not access KVM kernel module: Permission denied", "virt_type: qemu"),
        ("Failed to create v1 controller cpu for group: No such file or directory", "control groups cpu, cpuset and memory"),
        ("Cannot check dnsmasq binary /usr/sbin/dnsmasq: No such file or directory", "dnsmasq-base"),
        ("internal error: Failed to apply firewall rules /usr/sbin/iptables -w", "Install iptables"),
        ("internal error: Network is already in use by interface eth0", "net-edit"),
        ("Requested operation is not valid: storage pool 'default' is not active", "Plan again"),
        ("Requested operation is not valid: network 'default' is not active", "Plan again"),
    ],
)
def test_every_rule_has_its_advice(words, advice):
    assert advice in host_advice(words)
    for code in (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_OPERATION_INVALID):
        (problem,) = as_site_error(failure(code, message=words), "boot a-frontend").problems
        assert advice in problem.detail
        assert "journalctl" not in problem.detail
        assert "report a bug" not in problem.detail


@pytest.mark.parametrize("words", ["no good", "Permission denied", "operation failed: guest is broken"])
def test_an_unknown_message_has_no_host_advice(words):
    assert host_advice(words) == ""


def test_a_full_file_system_is_a_capacity_error():
    error = as_site_error(
        failure(libvirt.VIR_ERR_SYSTEM_ERROR, message=f"cannot fill file '{DISK}'", number=errno.ENOSPC), "boot it"
    )
    assert type(error) is SiteCapacityError
    full = as_site_error(failure(libvirt.VIR_ERR_SYSTEM_ERROR, message=f"'{DISK}': No space left on device"), "boot it")
    assert type(full) is SiteCapacityError
    assert "df -h /srv/vm" in full.problems[0].detail


def test_a_denied_socket_is_a_permission_problem():
    words = "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied"
    error = as_site_error(failure(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC, words, errno.EACCES), "connect to lab")
    assert type(error) is SiteError
    assert "member of the group libvirt" in error.problems[0].detail
