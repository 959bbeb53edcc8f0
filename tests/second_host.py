"""A second hypervisor host on this machine: its own network, libvirt and sshd, in kernel namespaces."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

HERE, THERE = "10.77.0.1", "10.77.0.2"
SSH_PORT = 2222
SWITCH, _ALL = "ps-switch", "10.77.0.0/16"
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
_NETWORK = """\
<network><name>campus</name><forward mode='open'/><bridge name='br-campus'/><ip address='{public}.1' prefix='24'>
<dhcp><range start='{public}.100' end='{public}.200'/></dhcp></ip></network>
"""


@dataclass(frozen=True)
class SecondHost:
    """Its URI and public network. ``here`` is this machine's address on the link to it, ``device`` this machine's end.

    ``images`` is the directory of its pool on this machine.
    """

    uri: str
    number: int = 0
    images: Path = Path()
    network: str = "campus"
    first_address: str = "192.168.77.20"
    here: str = HERE
    device: str = "ps-far0"


@dataclass(frozen=True)
class _Link:
    """Names and addresses of one host, by its number."""

    number: int

    @property
    def namespace(self) -> str:
        return f"ps-far{self.number or ''}"

    @property
    def devices(self) -> tuple[str, str]:
        return f"ps-far{2 * self.number}", f"ps-far{2 * self.number + 1}"

    @property
    def addresses(self) -> tuple[str, str]:
        return f"10.77.{self.number}.1", f"10.77.{self.number}.2"

    @property
    def public(self) -> str:
        return f"192.168.{77 + self.number}"


@contextmanager
def second_host(directory: Path, number: int = 0) -> Iterator[SecondHost]:
    """A host for the duration of the ``with`` block; several at once have different numbers. Requires root."""
    link = _Link(number)
    here, there = link.addresses
    for name in ("etc", "lib", "cache"):
        (directory / name).mkdir(mode=0o711, parents=True)
    (directory / "lib" / "images").mkdir(mode=0o711)
    for folder in (directory, *directory.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o011)
    (directory / "etc" / "libvirtd.conf").write_text(_LIBVIRTD_CONF)
    shutil.copy("/etc/libvirt/qemu.conf", directory / "etc" / "qemu.conf")
    (directory / "sshd_config").write_text(_SSHD_CONF.format(port=SSH_PORT, there=there, directory=directory))
    for key in ("host_key", "user_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key))
    (directory / "inside").write_text(_INSIDE.format(directory=directory))
    _connect_networks(link)
    try:
        with (directory / "log").open("wb") as log:
            # Under a subreaper, as on the first host: libvirt waits for helper processes that would not be reaped otherwise.
            command = [
                "ip",
                "netns",
                "exec",
                link.namespace,
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
            uri = f"qemu+ssh://root@{there}:{SSH_PORT}/system?keyfile={directory}/user_key&no_verify=1"
            _create_network_and_pool(_connected(uri, process, directory / "log"), link.public)
            yield SecondHost(
                uri=uri,
                number=number,
                images=directory / "lib" / "images",
                first_address=f"{link.public}.20",
                here=here,
                device=link.devices[0],
            )
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(LIMIT_S)
    finally:
        _disconnect_networks(link)


@contextmanager
def one_network(hosts: Sequence[SecondHost]) -> Iterator[str]:
    """Connect the links of ``hosts`` by a switch, so that they reach each other without this machine.

    Yields this machine's device at the switch, which carries only this machine's traffic.
    """
    _run("ip", "link", "add", SWITCH, "type", "bridge")
    try:
        _run("ip", "link", "set", SWITCH, "up")
        for host in hosts:
            link = _Link(host.number)
            (near, far), (here, there) = link.devices, link.addresses
            _run("ip", "address", "delete", f"{here}/24", "dev", near)
            _run("ip", "link", "set", near, "master", SWITCH)
            _run("ip", "address", "add", f"{here}/24", "dev", SWITCH)
            _run("ip", "route", "replace", f"{link.public}.0/24", "via", there)
            _run("ip", "-n", link.namespace, "route", "add", _ALL, "dev", far)
        yield SWITCH
    finally:
        _run("ip", "link", "delete", SWITCH)


def remove_hosts() -> None:
    """Remove the networks of hosts whose process was killed."""
    devices = Path("/sys/class/net")
    links, namespaces = [*devices.glob(SWITCH), *devices.glob("ps-far*")], Path("/run/netns").glob("ps-far*")
    for kind, found in (("link", links), ("netns", namespaces)):
        for each in found:
            # It may have been removed with its other end.
            subprocess.run(["ip", kind, "delete", each.name], check=False, capture_output=True)


def inside(host: SecondHost, *command: str) -> str:
    """The output of ``command``, run in the network of ``host``."""
    done = subprocess.run(
        ["ip", "netns", "exec", _Link(host.number).namespace, *command], check=True, capture_output=True, text=True
    )
    return done.stdout


def _connect_networks(link: _Link) -> None:
    _disconnect_networks(link)
    name, (near, far), (here, there) = link.namespace, link.devices, link.addresses
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
    _run("ip", "address", "add", f"{here}/24", "dev", near)
    _run("ip", "link", "set", near, "up")
    _run("ip", "-n", name, "address", "add", f"{there}/24", "dev", far)
    _run("ip", "-n", name, "link", "set", far, "up")
    _run("ip", "-n", name, "link", "set", "lo", "up")
    _run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    _run("ip", "route", "add", f"{link.public}.0/24", "via", there)


def _disconnect_networks(link: _Link) -> None:
    pids = subprocess.run(["ip", "netns", "pids", link.namespace], check=False, capture_output=True, text=True).stdout.split()
    for pid in pids:  # dnsmasq outlives its daemon.
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    for command in (["ip", "link", "delete", link.devices[0]], ["ip", "netns", "delete", link.namespace]):
        subprocess.run(command, check=False, capture_output=True)  # may be absent


def _connected(uri: str, process: subprocess.Popen[bytes], log: Path) -> libvirt.virConnect:
    until = time.monotonic() + LIMIT_S
    while True:
        try:
            return libvirt.open(f"{uri}&no_tty=1")
        except libvirt.libvirtError:
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError(log.read_text(errors="replace")) from None
        time.sleep(0.2)


def _create_network_and_pool(connection: libvirt.virConnect, public: str) -> None:
    connection.networkDefineXML(_NETWORK.format(public=public)).create()
    pool = connection.storagePoolDefineXML(
        "<pool type='dir'><name>default</name><target><path>/var/lib/libvirt/images</path></target></pool>"
    )
    pool.create()
    connection.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
