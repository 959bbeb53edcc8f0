"""Our inspectors against OpenStack's (oslo.utils): of accepted images, both see the same format, size and safety."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_utils.imageutils import format_inspector as oslo

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.inspect import inspect_any
from pragmaspec.images.formats.random_access import open_regular
from tests.images.bad_disks import bootable, converted, created, good_disks

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FORMATS = {"qcow2": "", "vmdk": "", "vdi": "", "vpc": "force_size=on", "vhdx": "log_size=1M,block_size=1M"}


def inspected_by_oslo(file: Path) -> oslo.FileInspector:
    found = oslo.detect_file_format(str(file))
    assert found is not None
    return found


def test_good_images_have_the_same_format_and_size(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    for format_, content in good_disks(tmp_path):
        file.write_bytes(content)
        with open_regular(file) as disk:
            ours = inspect_any(disk, format_)
        theirs = inspected_by_oslo(file)
        theirs.safety_check()
        if str(theirs) == "gpt":  # its name for a raw disk with a partition table, and so for a fixed VHD
            assert content[:512] == bootable()[:512]
            continue
        assert (ours.format, ours.virtual_size_bytes) == (str(theirs), theirs.virtual_size)


@pytest.mark.parametrize("case", ["backing file", "external data", "flat vmdk", "qcow2 as raw"])
def test_unsafe_images_are_refused_by_both(tmp_path: Path, case: str) -> None:
    (tmp_path / "base").write_bytes(bootable())
    content = {
        "backing file": lambda: created(tmp_path, "qcow2", more=("-b", str(tmp_path / "base"), "-F", "raw")),
        "external data": lambda: created(tmp_path, "qcow2", f"data_file={tmp_path / 'data'},data_file_raw=on"),
        "flat vmdk": lambda: created(tmp_path, "vmdk", "subformat=monolithicFlat"),
        "qcow2 as raw": lambda: created(tmp_path, "qcow2"),
    }[case]()
    file = tmp_path / "disk"
    file.write_bytes(content)
    with open_regular(file) as disk, pytest.raises(ImageError):
        inspect_any(disk, "raw" if case == "qcow2 as raw" else None)
    if case == "qcow2 as raw":
        assert str(inspected_by_oslo(file)) != "raw"
        return
    with pytest.raises((oslo.SafetyCheckFailed, oslo.ImageFormatError)):
        inspected_by_oslo(file).safety_check()


@pytest.mark.parametrize("kind", FORMATS)
def test_mutated_images_that_are_accepted_are_safe_for_both(tmp_path: Path, kind: str) -> None:
    good, file = converted(tmp_path, kind, FORMATS[kind]), tmp_path / "disk"
    # Without the first region table of a VHDX: oslo.utils ignores the second one, which replaces a damaged one.
    places = {"vhdx": (0x10000, 0x200000), "vpc": (0, 512, len(good) - 512)}.get(kind, (0, 512))

    @FUZZ
    @given(
        st.lists(
            st.tuples(st.sampled_from(places), st.integers(0, 300), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4
        )
    )
    def compare(changes: list[tuple[int, int, bytes]]) -> None:
        content = bytearray(good)
        for place, offset, value in changes:
            content[place + offset : place + offset + len(value)] = value
        file.write_bytes(content[: len(good)])
        try:
            with open_regular(file) as disk:
                ours = inspect_any(disk, None)
        except ImageError:
            return
        if ours.format == "raw":
            return
        theirs = inspected_by_oslo(file)
        theirs.safety_check()
        assert (ours.format, ours.virtual_size_bytes) == (str(theirs), theirs.virtual_size)

    compare()
