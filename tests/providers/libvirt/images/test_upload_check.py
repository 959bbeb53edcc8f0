"""Verification of uploads where no command can be run on the host."""

from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.images.upload_check import SAMPLE_BYTES, SAMPLES, samples, verify_upload
from pragmaspec.providers.libvirt.volumes import SHARED, raw_xml
from pragmaspec.resources import Blob
from tests.providers.conftest import Subject
from tests.providers.libvirt.conftest import host_of


@given(st.integers(0, 2**40))
def test_samples_contain_the_first_and_last_bytes(size: int) -> None:
    found = list(samples(size))
    assert found[0][0] == 0
    assert sum(found[-1]) == size
    assert all(at + count <= after for (at, count), (after, _) in pairwise(found))
    assert sum(count for _, count in found) == min(size, SAMPLES * SAMPLE_BYTES)


@pytest.mark.hypervisor
def test_a_truncated_or_damaged_copy_is_an_error(real_stack: Subject, tmp_path: Path) -> None:
    real_stack.stage()
    host, name = host_of(real_stack), names.image_volumes(real_stack.image)["disk"]
    verify_upload(host, name, real_stack.files.disk, real_stack.image.disk)
    content = real_stack.files.disk.read_bytes()
    for wrong in (content[:-1] + b"?", b"?" + content[1:], content + b"more", b""):
        other = tmp_path / "other"
        other.write_bytes(wrong)
        with pytest.raises(SiteError, match="was damaged in transit"):
            verify_upload(host, name, other, Blob(sha256=sha256(wrong).hexdigest(), size_bytes=len(wrong)))


@pytest.mark.hypervisor
def test_an_upload_through_the_storage_api_has_the_same_bytes(real_stack: Subject, tmp_path: Path) -> None:
    """As for a remote daemon; for a local one files are copied."""
    file = tmp_path / "holes.raw"
    with file.open("wb") as writing:
        writing.write(b"boot" * 500_000)
        writing.seek(2**24)
        writing.write(b"tail" * 500_000)
        writing.truncate(2**25)
    host = host_of(real_stack)
    name = "contract-sent.raw"
    volume = volumes.create(host, raw_xml(name, 2**25, SHARED))
    counts: list[int] = []
    volumes.upload(host, volume, file, counts.append)
    try:
        assert volumes.read_tail(host, name, 2**25) == file.read_bytes()
        assert volumes.allocated_bytes(host, name) < 2**23
        assert sum(counts) == 2**25
    finally:
        volumes.remove(host, name)
