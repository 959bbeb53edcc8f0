"""``image inspect``."""

import pytest

from pragmaspec.images.firmware.detect import BootSupport
from pragmaspec.report.image_text import InspectedFile, inspected_json, inspected_text
from pragmaspec.report.style import Style

STYLE = Style()


@pytest.mark.parametrize(
    ("boots", "words", "form"),
    [
        (None, "yes, with the kernel of the spec", None),
        (BootSupport(bios=True), "yes, with BIOS", {"firmware": "bios", "bios": True, "uefi": [], "problem": None}),
        (
            BootSupport(bios=True, uefi=("x86_64",)),
            "yes, with BIOS; with UEFI (x86_64) if `firmware: uefi`",
            {"firmware": "bios", "bios": True, "uefi": ["x86_64"], "problem": None},
        ),
        (
            BootSupport(bios=False, uefi=("aarch64", "x86_64")),
            "yes, with UEFI (aarch64, x86_64)",
            {"firmware": "uefi", "bios": False, "uefi": ["aarch64", "x86_64"], "problem": None},
        ),
        (
            BootSupport(bios=False),
            "no: it has no boot code in its first sector and no EFI system partition",
            {
                "firmware": None,
                "bios": False,
                "uefi": [],
                "problem": "no boot code in its first sector and no EFI system partition",
            },
        ),
    ],
)
def test_boot_support_of_an_inspected_file(boots: BootSupport | None, words: str, form: object) -> None:
    seen = InspectedFile(
        file="d", layers=(), format="raw", virtual_size_bytes=1, becomes="raw", digest="0" * 64, size_bytes=1, boots=boots
    )
    assert inspected_text(seen, STYLE).splitlines()[-1] == f"boots      {words}"
    assert inspected_json(seen)["boots"] == form
