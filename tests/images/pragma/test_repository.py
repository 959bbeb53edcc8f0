import json
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.pragma.repository import PragmaRepository, repository_folder


def test_all_clusters_of_the_index_are_listed(repository: Path) -> None:
    pragma = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    assert list(pragma.paths()) == ["plain", "packed", "split", "both"]
    assert [one.appliance is not None for one in pragma.listed()] == [True] * 4
    with pytest.raises(ImageError, match="no cluster other; its clusters: plain, packed"):
        pragma.appliance("other")


def test_a_broken_cluster_does_not_hide_the_others(repository: Path) -> None:
    (repository / "packed" / "packed.xml").write_text("<vc")
    (repository / "split" / "split.xml").unlink()
    pragma = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    troubles = {one.name: one.trouble for one in pragma.listed()}
    assert "cannot be read" in troubles["packed"]
    assert "which does not exist" in troubles["split"]
    assert troubles["plain"] == troubles["both"] == ""


def test_an_invalid_line_is_skipped_and_reported_with_its_number(repository: Path) -> None:
    with (repository / "vcdb.txt").open("a") as index:
        index.write("what is this\nout,../../out.xml\nplain,plain/plain.xml\nsplit,other.xml\n")
    pragma = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    assert {one.name: one.trouble for one in pragma.listed()} == {
        "plain": "",
        "packed": "",
        "both": "",
        "vcdb.txt:7": "vcdb.txt:7: 'what is this' is not a name and a relative path.",
        "out": "vcdb.txt:8: 'out,../../out.xml' is outside of the repository.",
        "split": "vcdb.txt:5 and vcdb.txt:10 have different paths for split.",
    }
    with pytest.raises(ImageError, match=r"vcdb\.txt:8: .* is outside"):
        pragma.appliance("out")


def test_a_cluster_without_a_disk_is_listed_with_its_trouble() -> None:
    files = {"vcdb.txt": b"bare,bare.xml", "bare.xml": b"<vc><frontend/></vc>"}
    (only,) = PragmaRepository("here", files.get).listed()
    assert (only.appliance, only.trouble) == (None, "It has no disk for its frontend.")


def test_an_index_may_be_json() -> None:
    files = {"vcdb.json": json.dumps({"a": "a/a.xml"}).encode()}
    assert PragmaRepository("here", files.get).paths() == {"a": "a/a.xml"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"neither vcdb\.txt nor vcdb\.json"),
        ({"vcdb.txt": b"a,../../etc/passwd"}, r"vcdb\.txt:1: .* is outside of the repository"),
        ({"vcdb.txt": b"# names\n\na,/etc/passwd"}, r"vcdb\.txt:3: .* is outside of the repository"),
        ({"vcdb.txt": b"a"}, "not a name and a relative path"),
        ({"vcdb.txt": b"<html>"}, "not a name and a relative path"),
        ({"vcdb.txt": b"a,a.xml\na,b.xml"}, r"vcdb\.txt:1 and vcdb\.txt:2 have different paths for a"),
        ({"vcdb.json": b"{"}, "cannot be read"),
        ({"vcdb.json": b"[]"}, "must be an object"),
        ({"vcdb.json": b'{"a": ["b"]}'}, "not a name and a relative path"),
    ],
)
def test_an_invalid_index_is_rejected(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        PragmaRepository("here", files.get).listed()


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("https://host/vms/vcdb.txt", "https://host/vms/"),
        ("https://host/vms/vcdb.json?key=1", "https://host/vms/?key=1"),
        ("https://host/vms", "https://host/vms"),
        ("./vms/vcdb.txt", "./vms/"),
        ("vcdb.txt", "."),
    ],
)
def test_a_repository_is_addressed_by_its_folder_or_its_index(address: str, folder: str) -> None:
    assert repository_folder(address) == folder
