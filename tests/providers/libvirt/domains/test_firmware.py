"""The choice of UEFI firmware, from libvirt's capabilities on several kinds of hosts."""

import pytest

from pragmaspec.providers.libvirt.domains.firmware import offered_firmware, uefi_loader
from tests.providers.libvirt.conftest import host_of

DEBIAN_12 = (
    "/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
    "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
)
ROCKY_9 = ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_CODE.cc.fd")
ARM = ("/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_CODE.fd")


def capabilities(*files: str, choosable: bool = True) -> str:
    firmware = "<enum name='firmware'><value>efi</value></enum>" if choosable else "<enum name='firmware'/>"
    listed = "".join(f"<value>{file}</value>" for file in files)
    return (
        f"<domainCapabilities><os supported='yes'>{firmware}<loader supported='yes'>{listed}"
        "<enum name='secure'><value>yes</value></enum></loader></os></domainCapabilities>"
    )


@pytest.mark.parametrize(
    ("shown", "version", "loader"),
    [
        (capabilities(*DEBIAN_12), 9_000_000, ""),
        (capabilities(*DEBIAN_12), 7_000_000, "/usr/share/OVMF/OVMF_CODE_4M.fd"),
        (capabilities(*DEBIAN_12, choosable=False), 4_005_000, "/usr/share/OVMF/OVMF_CODE_4M.fd"),
        (capabilities(*ROCKY_9, choosable=False), 9_000_000, "/usr/share/edk2/ovmf/OVMF_CODE.cc.fd"),
        (capabilities(*ARM, choosable=False), 9_000_000, "/usr/share/AAVMF/AAVMF_CODE.fd"),
        (capabilities(DEBIAN_12[1], choosable=False), 9_000_000, None),
        (capabilities(choosable=False), 9_000_000, None),
        ("<domainCapabilities/>", 9_000_000, None),
    ],
    ids=[
        "chosen by libvirt",
        "too old to choose",
        "older still",
        "Rocky",
        "ARM",
        "only secure boot",
        "none",
        "no firmware listed",
    ],
)
def test_uefi_loader_has_no_secure_boot(shown: str, version: int, loader: str | None) -> None:
    assert uefi_loader(shown, version) == loader


def test_the_test_driver_reports_no_firmware(fake_stack) -> None:
    assert offered_firmware(host_of(fake_stack)) == (None, "")
