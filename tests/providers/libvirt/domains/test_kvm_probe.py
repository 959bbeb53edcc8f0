"""The domain type of guests: the site's option, libvirt's offer, and the cached result of the probe."""

import subprocess

import libvirt
import pytest

from pragmaspec.providers.libvirt.domains import kvm_cache, kvm_probe
from pragmaspec.providers.libvirt.domains.xml import GuestPlatform
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.site import LibvirtSite

SITE_ID = "ccd4f694-4083-4a37-ab1a-bc9e10206761"


class OfferingKvm(Host):
    """A host whose libvirt offers KVM; only that answer is fake."""

    def __init__(self, site: LibvirtSite) -> None:
        super().__init__(site)
        self.__dict__["_guests"] = ("x86_64", ("qemu", "kvm"))
        self.__dict__["_pool_facts"] = (SITE_ID, "/var/lib/libvirt/images")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_result_is_cached(tmp_path):
    assert kvm_cache.cached_result(SITE_ID) is None
    kvm_cache.cache_result(SITE_ID, "qemu")
    assert kvm_cache.cached_result(SITE_ID) == "qemu"
    kvm_cache.cache_result(SITE_ID, "kvm")
    assert kvm_cache.cached_result(SITE_ID) == "kvm"
    assert [file.name for file in (tmp_path / "pragmaspec").iterdir()] == [f"virt-type-{SITE_ID}.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"virt_type": "xen"}', "\xff"])
def test_a_damaged_cache_is_ignored(content):
    kvm_cache.cache_result(SITE_ID, "kvm")
    kvm_cache.cache_file(SITE_ID).write_text(content, encoding="latin-1")
    assert kvm_cache.cached_result(SITE_ID) is None


def test_an_unwritable_cache_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    kvm_cache.cache_result(SITE_ID, "kvm")
    assert kvm_cache.cached_result(SITE_ID) is None


def test_the_cache_defaults_to_the_users_home(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kvm_cache.cache_file(SITE_ID) == tmp_path / ".cache" / "pragmaspec" / f"virt-type-{SITE_ID}.json"


def test_libvirt_is_trusted_until_a_probe_fails():
    host = OfferingKvm(LibvirtSite(name="lab"))
    assert host.virt_type == "kvm"
    kvm_cache.cache_result(SITE_ID, "qemu")
    assert host.virt_type == "qemu"


def test_the_sites_option_overrides_the_probe():
    kvm_cache.cache_result(SITE_ID, "qemu")
    assert OfferingKvm(LibvirtSite(name="lab", virt_type="kvm")).virt_type == "kvm"
    assert kvm_probe.resolve_virt_type(OfferingKvm(LibvirtSite(name="lab", virt_type="qemu")), None) == "qemu"


class Started:
    """A machine that has just been started, with the given states in turn; the last one is repeated."""

    def __init__(self, *states: int) -> None:
        self._states = list(states)

    def state(self) -> list[int]:
        return [self._states.pop(0) if len(self._states) > 1 else self._states[0], 0]


def test_a_machine_stopped_by_kvm_makes_the_site_emulated():
    host = OfferingKvm(LibvirtSite(name="lab", uri="test:///default"))
    assert kvm_probe.kvm_stopped(host, Started(libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED))
    assert host.kvm_stops
    assert kvm_cache.cached_result(SITE_ID) == "qemu"
    assert kvm_probe.kvm_stopped(host, Started(libvirt.VIR_DOMAIN_RUNNING)), "it was started before the result"


def test_only_the_first_machine_is_watched():
    host = OfferingKvm(LibvirtSite(name="lab", uri="test:///default"))
    assert not kvm_probe.kvm_stopped(host, Started(libvirt.VIR_DOMAIN_RUNNING), limit_s=0.2)
    assert not kvm_probe.kvm_stopped(host, Started(libvirt.VIR_DOMAIN_PAUSED))
    assert kvm_cache.cached_result(SITE_ID) == "watched"
    later = OfferingKvm(LibvirtSite(name="lab", uri="test:///default"))
    assert not kvm_probe.kvm_stopped(later, Started(libvirt.VIR_DOMAIN_PAUSED))
    named = OfferingKvm(LibvirtSite(name="lab", uri="test:///default", virt_type="kvm"))
    assert not kvm_probe.kvm_stopped(named, Started(libvirt.VIR_DOMAIN_PAUSED))


def test_the_test_driver_is_never_probed():
    host = Host(LibvirtSite(name="lab", uri="test:///default"))
    assert kvm_probe.resolve_virt_type(host, "/some/kernel") == "test"
    host.connection.close()


def test_probe_xml_is_valid(tmp_path):
    for kind, kernel in (("kvm", "/k"), ("qemu", "/k"), ("kvm", None)):
        file = tmp_path / "probe.xml"
        file.write_text(kvm_probe.probe_xml(GuestPlatform(virt_type=kind), kernel, "0"), encoding="utf-8")
        done = subprocess.run(["virt-xml-validate", file, "domain"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.hypervisor
def test_an_inconclusive_probe_is_not_cached(hypervisor):
    host = OfferingKvm(LibvirtSite(name="lab"))
    assert kvm_probe.resolve_virt_type(host, "/nonexistent/kernel") == "kvm"
    assert kvm_cache.cached_result(SITE_ID) is None
    host.connection.close()


@pytest.mark.hypervisor
def test_without_a_kernel_the_probe_runs_the_firmware(real_stack):
    host = OfferingKvm(real_stack.site.__class__(name="lab", pool=real_stack.site.pool))
    assert kvm_probe.guest_runs(host, "qemu", None), "the firmware ends by itself"
    runs = kvm_probe.guest_runs(host, "kvm", None)
    for _ in range(2):
        assert kvm_probe.resolve_virt_type(host, None) == ("kvm" if runs else "qemu")
        assert host.firmware_runs is runs
        assert kvm_cache.cached_result(SITE_ID) == (None if runs else "qemu"), "a kernel may still hang where firmware runs"
    host.connection.close()
