import pytest

from pragmaspec.guest.offline.selinux import contexts_path, selinux_label

CONTEXTS = r"""
# comment
/.*	system_u:object_r:default_t:s0
/etc/.*		system_u:object_r:etc_t:s0
/etc/hosts[^/]*	--	system_u:object_r:net_conf_t:s0
/etc/ssh/ssh_host.*_key	--	system_u:object_r:sshd_key_t:s0
/etc/sysconfig/network-scripts/.*ifcfg-.*	--	system_u:object_r:net_conf_t:s0
/root(/.*)?	system_u:object_r:admin_home_t:s0
/root/\.ssh(/.*)?	system_u:object_r:ssh_home_t:s0
/etc/systemd/system(/.*)?	system_u:object_r:systemd_unit_file_t:s0
/etc/resolv\.conf.*	-l	system_u:object_r:link_t:s0
/proc(/.*)?	<<none>>
/broken[(	system_u:object_r:broken_t:s0
/etc/(passwd|group)?	system_u:object_r:passwd_file_t:s0
"""


@pytest.mark.parametrize(
    ("path", "kind", "label"),
    [
        ("/etc/hosts", "file", "net_conf_t"),
        ("/etc/hosts", "directory", "etc_t"),
        ("/etc/ssh/ssh_host_ed25519_key", "file", "sshd_key_t"),
        ("/etc/ssh/ssh_host_ed25519_key.pub", "file", "etc_t"),
        ("/etc/sysconfig/network-scripts/ifcfg-eth0", "file", "net_conf_t"),
        ("/root", "directory", "admin_home_t"),
        ("/root/.ssh", "directory", "ssh_home_t"),
        ("/root/.ssh/authorized_keys", "file", "ssh_home_t"),
        ("/root/vc-out.xml", "file", "admin_home_t"),
        ("/etc/systemd/system/multi-user.target.wants/pragmaspec-nat.service", "link", "systemd_unit_file_t"),
        ("/etc/resolv.conf", "file", "etc_t"),
        ("/etc/resolv.conf", "link", "link_t"),
        ("/etc/passwd", "file", "passwd_file_t"),
        ("/usr/local/sbin/pragmaspec-nat", "file", "default_t"),
        ("/broken/by/its/own/line", "file", "default_t"),
    ],
)
def test_labels_follow_the_policy_of_the_image(path: str, kind: str, label: str) -> None:
    assert selinux_label(path, CONTEXTS, kind) == f"system_u:object_r:{label}:s0"


def test_paths_that_match_no_rule_have_no_label() -> None:
    assert selinux_label("/proc/cmdline", CONTEXTS) == ""
    assert selinux_label("/etc/hosts", "") == ""


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", "/etc/selinux/targeted/contexts/files/file_contexts"),
        ("# SELINUX=disabled\nSELINUX=permissive\nSELINUXTYPE= mls # or not\n", "/etc/selinux/mls/contexts/files/file_contexts"),
        ("SELINUX=disabled\nSELINUXTYPE=targeted\n", ""),
        ("SELINUXTYPE=../../x\n", ""),
        ("", ""),
    ],
)
def test_path_of_the_policy(config: str, path: str) -> None:
    assert contexts_path(config) == path
