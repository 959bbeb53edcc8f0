"""A second hypervisor host on this machine: its own network, its own libvirt, its own sshd, in namespaces of the kernel."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import libvirt

NAME = "ps-far"
HERE, THERE = "10.77.0.1", "10.77.0.2"
PUBLIC = "192.168.77"
SSH_PORT = 2222
LIMIT_S = 60

_LIBVIRTD_CONF = 'listen_tls = 0\nunix_sock_auth = "none"\n'
_SSHD_CONF = """\
Port {port}
ListenAddress {there}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
PermitRootLogin prohibit-password
"""
# The daemons see their own /run, /etc/libvirt and /var/lib/libvirt; QEMU's user has to reach the disks.
_INSIDE = """\
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/libvirt /run/lock /run/sshd
mount --bind {directory}/etc /etc/libvirt
mount --bind {directory}/lib /var/lib/libvirt
mount --bind {directory}/cache /var/cache/libvirt
virtlogd &
/usr/sbin/sshd -D -e -f {directory}/sshd_config &
exec libvirtd
"""
_NETWORK = f"""\
<network><name>campus</name><forward mode='open'/><bridge name='br-campus'/><ip address='{PUBLIC}.1' prefix='24'>
<dhcp><range start='{PUBLIC}.100' end='{PUBLIC}.200'/></dhcp></ip></network>
"""


@dataclass(frozen=True)
class SecondHost:
    """Where it answers, and its public network."""

    uri: str
    network: str = "campus"
    first_address: str = f"{PUBLIC}.20"


@contextmanager
def second_host(directory: Path) -> Iterator[SecondHost]:
    """A host that is there for the time of the ``with`` block. Needs root."""
    for name in ("etc", "lib", "cache"):
        (directory / name).mkdir(mode=0o711, parents=True)
    (directory / "lib" / "images").mkdir(mode=0o711)
    for folder in (directory, *directory.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    (directory / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    shutil.copy("/etc/libvirt/qemu.conf", directory / "etc" / "qemu.conf")
    (directory / "sshd_config").write_text(_SSHD_CONF.format(port=SSH_PORT, there=THERE, directory=directory))
    for key in ("host_key", "user_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key))
    (directory / "inside").write_text(_INSIDE.format(directory=directory))
    _connect_networks()
    try:
        with (directory / "log").open("wb") as log:
            # Under a subreaper, as on the first host: libvirt waits for helper processes that nobody else would reap.
            command = [
                "ip",
                "netns",
                "exec",
                NAME,
                "unshare",
                "--mount",
                "tini",
                "-s",
                "-g",
                "--",
                "sh",
                str(directory / "inside"),
            ]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            uri = f"qemu+ssh://root@{THERE}:{SSH_PORT}/system?keyfile={directory}/user_key&no_verify=1"
            _furnish(_answering(uri, process, directory / "log"))
            yield SecondHost(uri=uri)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(LIMIT_S)
    finally:
        _disconnect_networks()


def _connect_networks() -> None:
    _disconnect_networks()
    _run("ip", "netns", "add", NAME)
    _run("ip", "link", "add", "ps-far0", "type", "veth", "peer", "name", "ps-far1", "netns", NAME)
    _run("ip", "address", "add", f"{HERE}/24", "dev", "ps-far0")
    _run("ip", "link", "set", "ps-far0", "up")
    _run("ip", "-n", NAME, "address", "add", f"{THERE}/24", "dev", "ps-far1")
    _run("ip", "-n", NAME, "link", "set", "ps-far1", "up")
    _run("ip", "-n", NAME, "link", "set", "lo", "up")
    _run("ip", "netns", "exec", NAME, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    _run("ip", "route", "add", f"{PUBLIC}.0/24", "via", THERE)


def _disconnect_networks() -> None:
    for command in (["ip", "link", "delete", "ps-far0"], ["ip", "netns", "delete", NAME]):
        subprocess.run(command, check=False, capture_output=True)  # absent: nothing to do


def _answering(uri: str, process: subprocess.Popen[bytes], log: Path) -> libvirt.virConnect:
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            return libvirt.open(f"{uri}&no_tty=1")
        except libvirt.libvirtError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(log.read_text(errors="replace")) from None
        time.sleep(0.2)


def _furnish(connection: libvirt.virConnect) -> None:
    connection.networkDefineXML(_NETWORK).create()
    pool = connection.storagePoolDefineXML(
        "<pool type='dir'><name>default</name><target><path>/var/lib/libvirt/images</path></target></pool>"
    )
    pool.create()
    connection.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
