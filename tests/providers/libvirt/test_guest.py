"""Real guests at the real daemon: console, power button, and KVM probe."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import console, kvm_cache, kvm_probe
from pragmaspec.resources import Blob
from tests.guest_images.tiny import TinyImage, build_tiny
from tests.providers.libvirt.conftest import host_of
from tests.providers.libvirt.domains.test_kvm_probe import SITE_ID, OfferingKvm
from tests.serial_console import use_shell

pytestmark = [pytest.mark.hypervisor, pytest.mark.guest]

BOOT_LIMIT_S = 120
POLL_S = 0.2


@pytest.fixture(scope="session")
def tiny() -> TinyImage:
    return build_tiny(Path(__file__).parents[3] / ".cache" / "tiny")


@pytest.fixture
def staged(real_stack, tiny):
    """The lab with the tiny guest's image staged."""

    def blob(file: Path) -> Blob:
        return Blob(sha256="0" * 64, size_bytes=file.stat().st_size)

    real_stack.image = replace(
        real_stack.image,
        format="qcow2",
        disk=blob(tiny.disk),
        kernel=blob(tiny.vmlinuz),
        initrd=blob(tiny.initrd),
        cmdline=tiny.cmdline,
        virtual_size_bytes=2**26,
    )
    real_stack.files = ImageFiles(disk=tiny.disk, kernel=tiny.vmlinuz, initrd=tiny.initrd)
    real_stack.prepare()
    return real_stack


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = BOOT_LIMIT_S) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {limit_s:g} s"
        time.sleep(POLL_S)


def test_a_guest_boots_with_console_and_power_button(staged):
    node, mark = staged.node(memory_mib=192), staged.mark(staged.node())
    staged.boot(node)
    wait_for(lambda: b"activate this console" in staged.provider.console_log(node, mark), "the console's prompt")
    assert staged.provider.diagnostics(node, mark).domain == "running"
    assert any("activate this console" in line for line in staged.provider.diagnostics(node, mark).console)
    domain = host_of(staged).handle().lookupByName(names.domain_name(node.name, mark))
    use_shell(partial(console.attach, host_of(staged), domain))
    begun = time.monotonic()
    staged.provider.shutdown(node, mark, grace_s=60)
    assert time.monotonic() - begun < 60
    assert staged.provider.diagnostics(node, mark).domain == "off (the guest powered off)"


def assert_probe_is_cached(staged, kernel: str) -> None:
    """The result of the probe is correct for this machine, and is cached."""
    host = OfferingKvm(replace(staged.site, virt_type=None))
    found = kvm_probe.resolve_virt_type(host, kernel)
    assert found == ("kvm" if kvm_probe.guest_runs(host, "kvm", kernel) else "qemu")
    assert kvm_cache.cached_result(SITE_ID) == found
    host.connection.close()


def test_the_probe_distinguishes_working_guests(staged, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host = host_of(staged)
    kernel = host.path(names.image_volumes(staged.image)["kernel"])
    assert kvm_probe.guest_runs(host, "qemu", kernel, limit_s=60)
    volumes.write_private(host, f"not-a-kernel.{staged.lineage[:8]}", b"\xf4" * 65536)
    assert not kvm_probe.guest_runs(host, "qemu", host.path(f"not-a-kernel.{staged.lineage[:8]}"), limit_s=3)
    assert not kvm_probe.guest_runs(host, "kvm", "/nonexistent", limit_s=3)
    volumes.remove(host, f"not-a-kernel.{staged.lineage[:8]}")
    assert_probe_is_cached(staged, kernel)
    assert not [domain.name() for domain in host.handle().listAllDomains() if domain.name().startswith("pragmaspec-probe-")]
