"""Our readers of tar and zip archives against libarchive: the content of what both accept is the same."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import libarchive
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.layers import unwrap
from pragmaspec.images.formats.random_access import open_regular
from tests.images.bad_disks import bootable

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
DISK = bootable(2**20)[: 64 * 1024]
# Content that is itself compressed, or metadata of a Vagrant box, would not be taken for a disk as it is.
CONTENTS = st.binary(max_size=2000).map(lambda content: b"disk" + content)
NAMES = st.text(
    st.characters(codec="ascii", exclude_categories=("Cc",), exclude_characters="/\\:"), min_size=1, max_size=120
).filter(lambda name: name != "metadata.json" and not name.lower().endswith((".ovf", ".mf")))
Files = Mapping[str, bytes]


def tar(form: int) -> Callable[[Files], bytes]:
    def pack(files: Files) -> bytes:
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w", format=form) as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return target.getvalue()

    return pack


def zipped(method: int) -> Callable[[Files], bytes]:
    def pack(files: Files) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, method)
        return target.getvalue()

    return pack


PACKS: dict[str, Callable[[Files], bytes]] = {
    "pax": tar(tarfile.PAX_FORMAT),
    "gnu": tar(tarfile.GNU_FORMAT),
    "stored": zipped(zipfile.ZIP_STORED),
    "deflated": zipped(zipfile.ZIP_DEFLATED),
}
every_pack = pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)


def read(archive: Path, member: str = "") -> bytes:
    with open_regular(archive) as file:
        stream, _ = unwrap(file, member=member)
        return b"".join(stream.rest())


def read_by_libarchive(archive: Path) -> dict[str, bytes]:
    with libarchive.file_reader(str(archive)) as members:
        return {member.pathname: b"".join(member.get_blocks()) for member in members}


@every_pack
def test_archives_have_the_same_content(tmp_path: Path, pack: Callable[[Files], bytes]) -> None:
    archive = tmp_path / "archive"

    @FUZZ
    @given(st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=4), st.data())
    def compare(files: dict[str, bytes], data: st.DataObject) -> None:
        archive.write_bytes(pack(files))
        name = data.draw(st.sampled_from(sorted(files)))
        assert read(archive, name) == files[name] == read_by_libarchive(archive)[name]

    compare()


@every_pack
def test_a_mutated_archive_that_is_accepted_has_the_same_content(tmp_path: Path, pack: Callable[[Files], bytes]) -> None:
    """Members are compared by content, because a damaged name may be decoded differently.

    The local header of a zip member is left alone: our reader goes by the directory, libarchive compares both.
    """
    archive, good = tmp_path / "archive", pack({"disk.raw": DISK, "README": b"A disk.\n"})
    first, last = 38 if good.startswith(b"PK") else 0, len(good) - 1
    ranges = [(first, 600), (max(first, last - 3000), last), (first, last)]
    accepted = 0

    @FUZZ
    @given(
        st.lists(st.tuples(st.one_of(*(st.integers(*each) for each in ranges)), st.binary(min_size=1, max_size=4)), max_size=3)
    )
    def compare(changes: list[tuple[int, bytes]]) -> None:
        nonlocal accepted
        content = bytearray(good)
        for offset, value in changes:
            content[offset : offset + len(value)] = value
        archive.write_bytes(content)
        try:
            found, members = read(archive), read_by_libarchive(archive)
        except (ImageError, libarchive.exception.ArchiveError):
            return
        accepted += 1
        assert found == bytes(content) or found in members.values()

    compare()
    assert accepted
