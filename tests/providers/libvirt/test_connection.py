"""Missing and unresponsive daemons are errors within the limit; broken connections are reopened."""

import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.libvirt import connection
from pragmaspec.providers.libvirt.connection import Connection
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.site import LibvirtSite

IDENTITY_LIMIT_S = 10.0


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
        "qemu+tcp://127.0.0.1:1/system",
        "qemu+ssh://nobody@127.0.0.1:1/system?no_verify=1",
        "nonsense:///x",
        "qemu:///nonsense",
        "test:///nosuch",
    ],
)
def test_a_missing_daemon_is_unreachable(uri, capfd):
    provider = LibvirtProvider(LibvirtSite(name="lab", uri=uri))
    with pytest.raises(SiteError) as caught:
        provider.identity()
    assert type(caught.value) is SiteUnreachableError
    assert f"onnect to site lab ({uri})" in str(caught.value)
    assert "Plan again" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "libvirt's own error printing is silenced"
    provider.close()


def test_an_unresponsive_daemon_times_out(tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "sock"))
        silent.listen()
        provider = LibvirtProvider(LibvirtSite(name="lab", uri=f"qemu+unix:///system?socket={tmp_path}/sock"))
        begun = time.monotonic()
        with pytest.raises(SiteUnreachableError) as caught:
            provider.identity()
        assert time.monotonic() - begun < IDENTITY_LIMIT_S
        assert "accepted no connection within" in str(caught.value)
        provider.close()


def test_a_connection_is_shared_and_reopened():
    link = Connection("test:///default")
    first = link.handle()
    assert link.handle() is first
    first.close()
    second = link.handle()
    assert second is not first
    assert second.isAlive()
    link.close()
    link.close()


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://host/system", "qemu+ssh://host/system?no_tty=1"),
        ("qemu+ssh://host/system?keyfile=/k", "qemu+ssh://host/system?keyfile=/k&no_tty=1"),
        ("qemu+ssh://host/system?no_tty=0", "qemu+ssh://host/system?no_tty=0"),
        ("qemu+libssh2://host/system", "qemu+libssh2://host/system?no_tty=1"),
    ],
)
def test_ssh_never_prompts(uri, opened):
    assert connection._without_prompts(uri) == opened


def test_a_missing_pool_is_named_with_the_existing_ones():
    provider = LibvirtProvider(LibvirtSite(name="lab", uri="test:///default", pool="fast"))
    with pytest.raises(SiteError) as caught:
        provider.inventory()
    assert caught.value.problems[0].detail == (
        "Site lab (test:///default) has no storage pool fast; it has: default-pool. Write one of them as `pool:` under "
        "the site, or create fast: virsh -c test:///default pool-define-as fast dir --target /var/lib/libvirt/fast && "
        "virsh -c test:///default pool-build fast && virsh -c test:///default pool-start fast && "
        "virsh -c test:///default pool-autostart fast"
    )
    provider.close()


@pytest.mark.hypervisor
def test_keepalive_monitors_the_real_daemon(hypervisor):
    link = Connection("qemu:///system")
    assert link.handle().isAlive()
    assert connection.event_loop().is_alive()
    link.close()


def test_a_limited_number_of_threads_shares_a_connection():
    link = Connection("test:///default")
    meeting = threading.Barrier(2 * connection.CALLS_AT_ONCE)

    def work(_number):
        meeting.wait(10)
        handle = link.handle()
        meeting.wait(10)
        return handle, link.handle()

    with ThreadPoolExecutor(meeting.parties) as threads:
        handles = list(threads.map(work, range(meeting.parties)))
    assert all(first is again for first, again in handles), "a thread keeps its connection"
    assert sorted(Counter(map(id, (first for first, _ in handles))).values()) == [connection.CALLS_AT_ONCE] * 2
    with ThreadPoolExecutor(1) as late:
        assert late.submit(link.handle).result() in {first for first, _ in handles}, "a thread that has ended makes room"
    link.close()
