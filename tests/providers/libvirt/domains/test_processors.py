"""The processors that a host offers, and machines that have one of them."""

from xml.etree.ElementTree import Element, SubElement, fromstring

import libvirt
import pytest

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import Difference
from pragmaspec.providers.libvirt.domains import kvm_cache
from pragmaspec.providers.libvirt.domains.definition import differences
from pragmaspec.providers.libvirt.domains.offered_processors import OfferedProcessors, offered_processors
from pragmaspec.providers.libvirt.domains.processor import LEVELS, processor_element
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.site import LibvirtSite
from tests.providers.libvirt.domains.test_kvm_probe import SITE_ID
from tests.providers.libvirt.domains.test_redefine import observe_node

LEVEL_NAMES = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
SERVER = ("x86-64", "x86-64-v2", "x86-64-v3", "host", "EPYC", "Nehalem")
EMULATOR = ("x86-64", "x86-64-v2", "x86-64-v3", "host", "Nehalem")


class Answering(Host):
    """A host with these answers about its processors: by domain type, what can be given; none: an error."""

    def __init__(self, answers: dict[str, tuple[str, ...]], *, arch: str = "x86_64", virt_type=None) -> None:
        super().__init__(LibvirtSite(name="lab", virt_type=virt_type))
        self.asked: list[str] = []
        self._answers = answers
        self.__dict__["_guests"] = (arch, ("qemu", "kvm"))
        self.__dict__["_pool_facts"] = (SITE_ID, "/var/lib/libvirt/images")
        self.__dict__["capabilities"] = Element("capabilities")

    def handle(self):
        return self

    def getDomainCapabilities(self, _emulator, _arch, _board, virt_type, _flags) -> str:  # noqa: N802 - libvirt's name
        self.asked.append(virt_type)
        given = self._answers.get(virt_type)
        if given is None:
            raise error(libvirt.VIR_ERR_INVALID_ARG)
        mode = "maximum" if virt_type == "qemu" else "host-passthrough"
        models = "".join(f"<model usable='yes'>{name}</model>" for name in reversed(given) if name not in (*LEVEL_NAMES, "host"))
        return (
            f"<domainCapabilities><cpu><mode name='{mode}' supported='{'yes' if 'host' in given else 'no'}'/>"
            f"<mode name='custom' supported='yes'><model usable='no'>Haswell</model>{models}</mode></cpu></domainCapabilities>"
        )

    def compareHypervisorCPU(self, _emulator, _arch, _board, virt_type, xml, _flags) -> int:  # noqa: N802 - libvirt's name
        level = next(level for level in LEVELS if _same(fromstring(xml), processor_element(level.name, virt_type, "x86_64")))
        if "no comparison" in self._answers[virt_type]:
            raise error(libvirt.VIR_ERR_NO_SUPPORT)
        given = level.name in self._answers[virt_type]
        return libvirt.VIR_CPU_COMPARE_SUPERSET if given else libvirt.VIR_CPU_COMPARE_INCOMPATIBLE


def _same(one: Element, other: Element) -> bool:
    return [(each.tag, each.attrib, (each.text or "").strip()) for each in one] == [
        (each.tag, each.attrib, (each.text or "").strip()) for each in other
    ]


def error(code: int) -> libvirt.libvirtError:
    made = libvirt.libvirtError("refused")
    made.err = (code, 0, "refused", 2, None, None, None, -1, -1)
    return made


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("virt_type", "given", "default"),
    [
        ("kvm", SERVER, "x86-64-v3"),
        ("kvm", (*LEVEL_NAMES, "host"), "x86-64-v3"),
        ("kvm", ("x86-64", "x86-64-v2", "host"), "x86-64-v2"),
        ("kvm", ("x86-64", "host"), "x86-64"),
        ("qemu", EMULATOR, "x86-64-v2"),
        ("qemu", ("x86-64", "host"), "x86-64"),
    ],
)
def test_the_default_is_a_level(virt_type, given, default):
    host = Answering({virt_type: given}, virt_type=virt_type)
    assert offered_processors(host) == OfferedProcessors(given, default)
    assert offered_processors(host).names == given
    assert host.asked == [virt_type], "the answer is cached"


@pytest.mark.parametrize(
    ("kvm", "qemu", "names", "default"),
    [
        (SERVER, EMULATOR, ("x86-64", "x86-64-v2", "x86-64-v3", "host", "Nehalem"), "x86-64-v3"),
        (SERVER, ("x86-64", "x86-64-v2", "host"), ("x86-64", "x86-64-v2", "host"), "x86-64-v2"),
        (("host", "pentium"), EMULATOR, EMULATOR, "x86-64-v2"),
        ((), EMULATOR, None, ""),
    ],
    ids=["both give v3", "emulation is older", "KVM without levels does not work", "KVM gives nothing"],
)
def test_before_kvm_is_probed_only_what_both_give_is_offered(kvm, qemu, names, default):
    assert offered_processors(Answering({"kvm": kvm, "qemu": qemu})) == OfferedProcessors(names, default)
    kvm_cache.cache_result(SITE_ID, "qemu")
    assert offered_processors(Answering({"qemu": qemu})) == OfferedProcessors(qemu, "x86-64-v2")


def test_other_architectures_have_no_levels_and_no_default():
    host = Answering({"kvm": ("host", "cortex-a57")}, arch="aarch64", virt_type="kvm")
    assert offered_processors(host) == OfferedProcessors(("host", "cortex-a57"), "")
    unprobed = Answering({"kvm": ("host",), "qemu": ("host", "cortex-a57")}, arch="aarch64")
    assert offered_processors(unprobed) == OfferedProcessors(("host",), "")


def test_a_libvirt_that_does_not_tell_reports_nothing():
    assert offered_processors(Answering({}, virt_type="qemu")) == OfferedProcessors(None, "")
    without = Answering({"qemu": ("no comparison", "host", "Nehalem")}, virt_type="qemu")
    assert offered_processors(without).names == ("host", "Nehalem", "no comparison")


def test_the_test_driver_has_every_level(fake_stack):
    inventory = fake_stack.provider.inventory()
    assert inventory.processors == (*LEVEL_NAMES, "host")
    assert inventory.default_processor == "x86-64-v2"


def test_each_level_requires_the_features_of_those_below():
    required = [{each.get("name") for each in processor_element(name, "qemu", "x86_64").iterfind("feature[@policy='require']")}
                for name in LEVEL_NAMES]  # fmt: skip
    assert [len(each) for each in required] == [0, 7, 16, 21]
    assert required[0] < required[1] < required[2] < required[3]


# comparison of a definition and of a running machine


def machine(cpu: Element) -> Element:
    domain = Element("domain", {"type": "qemu"})
    domain.append(cpu)
    return domain


def as_running(*more: tuple[str, str]) -> Element:
    """A running machine of v3: libvirt resolves optional features, and adds those that QEMU adds."""
    cpu = processor_element("x86-64-v3", "qemu", "x86_64")
    changed = {**dict.fromkeys(("pcid", "invpcid", "x2apic"), "disable"), "erms": "require", **dict(more)}
    for feature in cpu.findall("feature"):
        feature.set("policy", changed.pop(feature.get("name", ""), feature.get("policy", "")))
    for name, policy in changed.items():
        SubElement(cpu, "feature", {"policy": policy, "name": name})
    return machine(cpu)


def test_features_that_the_hypervisor_adds_or_resolves_are_no_difference():
    wanted = machine(processor_element("x86-64-v3", "qemu", "x86_64"))
    assert [*differences(wanted, wanted, as_running(("hypervisor", "require"), ("arat", "require")))] == []


def test_a_required_feature_that_is_off_is_a_difference():
    wanted = machine(processor_element("x86-64-v3", "qemu", "x86_64"))
    assert [*differences(wanted, wanted, as_running(("avx2", "disable")))] == [
        Difference("cpu feature avx2 is disable while it runs, recorded require", "restart", defined=False)
    ]
    assert [*differences(wanted, as_running(("avx2", "disable"), ("erms", "optional"), ("pcid", "optional"),
                                            ("invpcid", "optional"), ("x2apic", "optional")), None)] == [
        Difference("cpu feature avx2 is disable in its definition, recorded require")
    ]  # fmt: skip


def test_features_of_another_model_are_not_compared():
    wanted = machine(processor_element("x86-64-v3", "qemu", "x86_64"))
    other = machine(processor_element("host", "kvm", "x86_64"))
    assert [*differences(wanted, other, None)] == [
        Difference("cpu model is host-passthrough in its definition, recorded Haswell-noTSX")
    ]


# at the real daemon


@pytest.mark.hypervisor
def test_the_emulator_gives_levels_up_to_v3(real_stack):
    inventory = real_stack.provider.inventory()
    assert inventory.processors is not None
    assert inventory.processors[:4] == ("x86-64", "x86-64-v2", "x86-64-v3", "host")
    assert "Nehalem" in inventory.processors
    assert inventory.default_processor == "x86-64-v2"


@pytest.mark.hypervisor
def test_libvirt_refuses_a_level_that_the_hypervisor_lacks(real_stack):
    real_stack.prepare()
    with pytest.raises(SiteError, match="has the processor x86-64-v4, which the hypervisor of site lab") as caught:
        real_stack.boot(real_stack.node(cpu="x86-64-v4"))
    assert "avx512" in str(caught.value.problems)


@pytest.mark.hypervisor
@pytest.mark.parametrize("cpu", ["x86-64", "x86-64-v3", "host", "Westmere"])
def test_a_machine_of_the_real_daemon_does_not_differ(real_stack, cpu):
    real_stack.prepare()
    real_stack.boot(real_stack.node(cpu=cpu))
    assert observe_node(real_stack, cpu=cpu).differences == ()
