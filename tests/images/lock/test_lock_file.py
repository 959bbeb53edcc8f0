import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.lock.lock_file import (
    LOCK_FILE,
    LockEntry,
    SitePin,
    lock_text,
    read_lock,
    read_processors,
    read_site_pins,
    remove_from_lock,
    write_lock,
    write_processors,
    write_site_pins,
)
from pragmaspec.images.lock.parse import read_document
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.resources import Blob

HERE = Path(__file__).parent


def blob(digit: str, size: int) -> Blob:
    return Blob(sha256=digit * 64, size_bytes=size)


BUILT = LockEntry(
    described="0123456789abcdef",
    digest="d" * 64,
    origin="built from Debian bookworm packages",
    format="qcow2",
    virtual_size_bytes=4294967296,
    disk=blob("a", 413007872),
    kernel=blob("b", 14186432),
    initrd=blob("c", 2495488),
    cmdline="root=/dev/vda rw console=ttyS0",
    packages="e" * 64,
    date="2026-11-22",
)
FETCHED = LockEntry(
    described="fedcba9876543210",
    digest="f" * 64,
    origin="https://images.example.org/rocky-9.qcow2",
    format="qcow2",
    virtual_size_bytes=10737418240,
    disk=blob("f", 600000000),
    url="https://images.example.org/9.8/rocky-9.8-20260525.qcow2",
    fetched=blob("1", 590000000),
    sha512="2" * 128,
    version="9.8-20260525",
    published="2026-05-25T10:00:00+00:00",
    signed_by="D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81",
    date="2026-11-22",
)


def test_the_lock_file_is_readable(golden: Callable[[Path, str], None]) -> None:
    golden(HERE / "golden" / LOCK_FILE, lock_text({"rocky 9 \u201cblue\u201d": FETCHED, "debian-12": BUILT}))


def test_written_entries_are_read_back(tmp_path: Path) -> None:
    assert read_lock(tmp_path) == {}
    write_lock(tmp_path, "debian-12", BUILT)
    write_lock(tmp_path, "rocky", FETCHED)
    assert read_lock(tmp_path) == {"debian-12": BUILT, "rocky": FETCHED}


def test_an_equal_entry_does_not_rewrite_the_file(tmp_path: Path) -> None:
    write_lock(tmp_path, "debian-12", BUILT)
    before = (tmp_path / LOCK_FILE).stat()
    write_lock(tmp_path, "debian-12", BUILT)
    after = (tmp_path / LOCK_FILE).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20),
        st.builds(
            LockEntry,
            described=st.just("0" * 16),
            digest=st.just("d" * 64),
            origin=st.text(st.characters(exclude_categories=("Cs",)), min_size=1),
            format=st.sampled_from(["qcow2", "raw"]),
            virtual_size_bytes=st.just(512),
            disk=st.just(blob("a", 512)),
            kernel=st.none() | st.just(blob("b", 2)),
            cmdline=st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        ),
        max_size=4,
    )
)
def test_any_entry_round_trips(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, LockEntry]) -> None:
    directory = tmp_path_factory.mktemp("lock")
    (directory / LOCK_FILE).write_text(lock_text(entries), encoding="utf-8")
    assert read_lock(directory) == entries


GOOD = lock_text({"a": FETCHED, "debian-12": BUILT})
DAMAGED = {
    "empty": b"",
    "of a later version": b"version = 2\n",
    "no TOML": b"version = 1\n[images.a]\ndigest =\n",
    "cut off": GOOD[:300].encode(),
    "no table of images": b"version = 1\nimages = 3\nplacement = 3\n",
    "no table of an image": b"version = 1\n[images]\na = 3\n",
    "almost nothing of an image": b"version = 1\n\n[images.a]\ndigest = 'x'\n",
    "many things": GOOD.replace("sha256:ffff", "sha256:")
    .replace("4294967296", "-5")
    .replace('date = "2026-11-22"', 'date = 2026-11-22\ncolour = "blue"')
    .encode(),
    "an unknown format": GOOD.replace('"qcow2"', '"vmdk"', 1).encode(),
    "raw with the size of another disk": GOOD.replace('"qcow2"', '"raw"', 1).encode(),
    "a merge conflict": GOOD.replace("origin", "<<<<<<< HEAD\norigin", 1).encode(),
    "no text": b"\xff\xfe\0",
}


def test_a_damaged_lock_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[Path, str], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    messages = []
    for what, content in DAMAGED.items():
        Path(LOCK_FILE).write_bytes(content)
        with pytest.raises(ImageError) as refused:
            read_lock(Path())
        messages.append(
            f"# {what}\n" + "".join(f"{one.where}: {one.detail}\n    {one.quote}\n" for one in refused.value.problems)
        )
    golden(HERE / "golden" / "lock-refusals.txt", "\n".join(messages))


def test_a_folder_in_place_of_the_lock_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(ImageError, match="it is a directory"):
        read_lock(tmp_path)


def test_a_pipe_in_place_of_the_lock_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK_FILE)
    with pytest.raises(ImageError, match="it is a pipe"):
        read_lock(tmp_path)


def test_the_transferred_file_of_an_entry_is_restored() -> None:
    assert BUILT.transfer is None
    assert FETCHED.transfer == Fetched(
        blob=blob("1", 590000000),
        url="https://images.example.org/9.8/rocky-9.8-20260525.qcow2",
        sha512="2" * 128,
        published="2026-05-25T10:00:00+00:00",
        version="9.8-20260525",
        signed_by="D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81",
    )


def test_entries_are_removed(tmp_path: Path) -> None:
    remove_from_lock(tmp_path, ["absent"])
    assert not (tmp_path / LOCK_FILE).exists()
    write_lock(tmp_path, "debian-12", BUILT)
    write_lock(tmp_path, "rocky", FETCHED)
    remove_from_lock(tmp_path, ["rocky", "absent"])
    assert read_lock(tmp_path) == {"debian-12": BUILT}


TABLES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), TABLES, max_size=4))
def test_foreign_tables_are_preserved(tmp_path_factory: pytest.TempPathFactory, table: dict[str, object]) -> None:
    """Reserved for other parts of an environment, whatever writes them."""
    directory = tmp_path_factory.mktemp("lock")
    tables = {"placement": table, "versions": {"pragmaspec": "0.1.0", "qemu": {"minimum": "7.2", "seen": ["7.2.9", "9.1"]}}}
    (directory / LOCK_FILE).write_text(lock_text({}, tables), encoding="utf-8")
    write_lock(directory, "debian-12", BUILT)
    remove_from_lock(directory, ["absent"])
    found = dict(read_document(directory / LOCK_FILE).tables)
    assert {name: found[name] for name in tables} == tables
    assert read_lock(directory) == {"debian-12": BUILT}


def test_an_unwritable_lock_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / f".{LOCK_FILE}.{os.getpid()}.part").mkdir()  # stops root too
    with pytest.raises(ImageError, match=r"pragmaspec\.lock cannot be written: Is a directory\. It belongs beside the spec"):
        write_lock(tmp_path, "debian-12", BUILT)
    assert read_lock(tmp_path) == {}


PIN = SitePin(
    described="Featured-Ubuntu24",
    site_id="1f0c",
    id="ami-0abc",
    name="Featured-Ubuntu24",
    created="2026-10-01",
    format="raw",
    virtual_size_bytes=8 * 2**30,
    firmware="uefi",
    date="2026-11-22",
)
ONLY_AT = """version = 1

[images.u24.at.lab]
described = "u24"
site_id = "1f0c"
id = "ami-0abc"
name = "u24"
format = "raw"
virtual_size_bytes = 4096
"""


def test_pins_of_sites_are_kept_beside_the_entry_of_the_source(tmp_path: Path) -> None:
    write_lock(tmp_path, "u24", BUILT)
    write_site_pins(tmp_path, {("u24", "jetstream"): PIN, ("other", "lab"): PIN})
    write_lock(tmp_path, "u24", FETCHED)
    assert read_lock(tmp_path) == {"u24": FETCHED}
    assert read_site_pins(tmp_path) == {("u24", "jetstream"): PIN, ("other", "lab"): PIN}
    remove_from_lock(tmp_path, ["u24"])
    write_site_pins(tmp_path, {}, [("other", "lab")])
    assert (read_lock(tmp_path), read_site_pins(tmp_path)) == ({}, {("u24", "jetstream"): PIN})
    assert "[images.u24.at.jetstream]" in (tmp_path / LOCK_FILE).read_text()


def test_unchanged_pins_do_not_touch_the_file(tmp_path: Path) -> None:
    write_site_pins(tmp_path, {("u24", "lab"): PIN})
    (tmp_path / LOCK_FILE).write_text(text := f"# edited\n{(tmp_path / LOCK_FILE).read_text()}")
    write_site_pins(tmp_path, {("u24", "lab"): PIN}, [("absent", "lab")])
    assert (tmp_path / LOCK_FILE).read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('id = "ami-0abc"\n', "", 3, "u24 at lab: it has no id"),
        ("4096", "0", 9, "u24 at lab: virtual_size_bytes is 0, which is not the size of a disk"),
        ("4096", "4096\ncopy_bytes = -1", 10, "u24 at lab: copy_bytes is -1, which is not an amount"),
        ('"raw"', '"vmdk"', 8, "u24 at lab: format is 'vmdk'; it must be qcow2 or raw"),
        ("4096", '4096\nnews = "x"', 10, "u24 at lab: news is unknown to this pragmaspec"),
        ('name = "u24"', "name = 7", 7, "u24 at lab: name is 7, which is not a string"),
        (ONLY_AT, "version = 1\n[images.u24]\nat = {lab = 7}\n", 1, "u24 at lab: it is not a table"),
    ],
)
def test_an_invalid_pin_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    (tmp_path / LOCK_FILE).write_text(ONLY_AT.replace(old, new))
    with pytest.raises(ImageError) as caught:
        read_site_pins(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.where.line if problem.where else 0, message in problem.detail) == (line, True), problem


def test_an_image_block_whose_sites_are_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("version = 1\n[images.u24]\nat = 7\n")
    with pytest.raises(ImageError) as caught:
        read_lock(tmp_path)
    assert "u24: at is not a table" in caught.value.problems[0].detail
    assert read_site_pins(tmp_path) == {}


# processors of sites


def test_processors_of_sites_are_kept_beside_images_and_other_values(tmp_path: Path) -> None:
    file = tmp_path / LOCK_FILE
    file.write_text('version = 1\n\n[sites.hall]\nnews = 7\n\n[versions]\nqemu = "7.2"\n')
    assert read_processors(tmp_path) == {}, "a file of an earlier version is valid"
    write_lock(tmp_path, "debian-12", BUILT)
    write_processors(tmp_path, {"lab": "x86-64-v2", "hall": "x86-64-v3"})
    write_site_pins(tmp_path, {("u24", "lab"): PIN})
    assert file.read_text().endswith(
        '[sites.hall]\nnews = 7\nprocessor = "x86-64-v3"\n\n[sites.lab]\nprocessor = "x86-64-v2"\n\n[versions]\nqemu = "7.2"\n'
    )
    assert (read_lock(tmp_path), read_site_pins(tmp_path)) == ({"debian-12": BUILT}, {("u24", "lab"): PIN})
    write_processors(tmp_path, {"lab": "host"}, ["hall", "absent"])
    assert read_processors(tmp_path) == {"lab": "host"}
    assert "[sites.hall]\nnews = 7\n" in file.read_text()


def test_the_last_pinned_processor_is_removed_with_its_table(tmp_path: Path) -> None:
    write_processors(tmp_path, {"lab": "x86-64-v2"})
    file = tmp_path / LOCK_FILE
    file.write_text(text := f"# edited\n{file.read_text()}")
    write_processors(tmp_path, {"lab": "x86-64-v2"}, ["absent"])
    assert file.read_text() == text, "a file that does not change is not touched"
    write_processors(tmp_path, {}, ["lab"])
    assert "sites" not in read_document(file).tables


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[sites.lab]\n\nprocessor = "no such thing"\n', 4, "site lab: processor is 'no such thing', which is not the name of a"),
        ("[sites.lab]\nprocessor = 2\n", 3, "site lab: processor is 2, which is not the name of a processor"),
        ("[sites]\nlab = 7\n", 1, "site lab: it is not a table"),
    ],
)
def test_an_invalid_processor_is_refused_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    (tmp_path / LOCK_FILE).write_text(f"version = 1\n{text}")
    with pytest.raises(ImageError) as caught:
        read_processors(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.where.line if problem.where else 0, message in problem.detail) == (line, True), problem
    assert "delete the site's block and plan again" in problem.detail
