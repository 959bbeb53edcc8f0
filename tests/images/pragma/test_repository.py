import json
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.pragma.repository import PragmaRepository, repository_folder


def test_the_clusters_of_an_index(repository: Path) -> None:
    shelf = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    assert list(shelf.paths()) == ["plain", "packed", "split", "both"]
    assert [one.appliance is not None for one in shelf.listed()] == [True] * 4
    with pytest.raises(ImageError, match="no cluster other; it has plain, packed"):
        shelf.appliance("other")


def test_one_that_is_broken_does_not_hide_the_others(repository: Path) -> None:
    (repository / "packed" / "packed.xml").write_text("<vc")
    (repository / "split" / "split.xml").unlink()
    shelf = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    troubles = {one.name: one.trouble for one in shelf.listed()}
    assert "cannot be read" in troubles["packed"]
    assert "it is not there" in troubles["split"]
    assert troubles["plain"] == troubles["both"] == ""


def test_a_bad_line_is_left_out_and_says_where_it_stands(repository: Path) -> None:
    with (repository / "vcdb.txt").open("a") as index:
        index.write("what is this\nout,../../out.xml\nplain,plain/plain.xml\nsplit,other.xml\n")
    shelf = PragmaRepository("here", lambda path: (repository / path).read_bytes() if (repository / path).exists() else None)
    assert {one.name: one.trouble for one in shelf.listed()} == {
        "plain": "",
        "packed": "",
        "both": "",
        "vcdb.txt:7": "vcdb.txt:7: 'what is this' is not a name and a relative path.",
        "out": "vcdb.txt:8: 'out,../../out.xml' leads out of the repository.",
        "split": "vcdb.txt:5 and vcdb.txt:10 name split with two paths, so nobody knows which is meant.",
    }
    with pytest.raises(ImageError, match=r"vcdb\.txt:8: .* leads out"):
        shelf.appliance("out")


def test_a_cluster_without_a_disk_is_listed_with_its_trouble() -> None:
    files = {"vcdb.txt": b"bare,bare.xml", "bare.xml": b"<vc><frontend/></vc>"}
    (only,) = PragmaRepository("here", files.get).listed()
    assert (only.appliance, only.trouble) == (None, "It has no disk for its frontend.")


def test_an_index_in_json() -> None:
    files = {"vcdb.json": json.dumps({"a": "a/a.xml"}).encode()}
    assert PragmaRepository("here", files.get).paths() == {"a": "a/a.xml"}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"neither vcdb\.txt nor vcdb\.json"),
        ({"vcdb.txt": b"a,../../etc/passwd"}, r"vcdb\.txt:1: .* leads out of the repository"),
        ({"vcdb.txt": b"# names\n\na,/etc/passwd"}, r"vcdb\.txt:3: .* leads out of the repository"),
        ({"vcdb.txt": b"a"}, "not a name and a relative path"),
        ({"vcdb.txt": b"<html>"}, "not a name and a relative path"),
        ({"vcdb.txt": b"a,a.xml\na,b.xml"}, r"vcdb\.txt:1 and vcdb\.txt:2 name a with two paths"),
        ({"vcdb.json": b"{"}, "cannot be read"),
        ({"vcdb.json": b"[]"}, "has to be an object"),
        ({"vcdb.json": b'{"a": ["b"]}'}, "not a name and a relative path"),
    ],
)
def test_what_is_no_index_is_refused(files: dict[str, bytes], words: str) -> None:
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
def test_a_repository_is_named_by_its_folder_or_its_index(address: str, folder: str) -> None:
    assert repository_folder(address) == folder
