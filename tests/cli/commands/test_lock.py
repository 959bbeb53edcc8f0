"""The lock file through the command line."""

from collections.abc import Iterator

import pytest

from tests.cli.workshop import Workshop
from tests.images.file_server import FileServer

SPEC = """\
images:
  web: {{source: "{url}"}}
  mine: {{source: ./disk.raw, format: raw}}
clusters: {{}}
"""


@pytest.fixture
def server(shop: Workshop) -> Iterator[FileServer]:
    with FileServer(content=(shop.directory / "disk.raw").read_bytes()) as running:
        (shop.directory / "cluster.yaml").write_text(SPEC.format(url=running.url("disk.raw")))
        yield running


def test_lock(shop: Workshop, server: FileServer) -> None:
    said = shop("lock")
    rows = [line.split()[:2] for line in said.out.splitlines()]
    assert rows[:3] == [["IMAGE", "LOCK"], ["mine", "new"], ["web", "new"]]
    assert "pragmaspec.lock has 2 images." in said.out
    assert "image web: downloading" in said.err
    assert "nothing has changed" in shop("lock").out
    assert len(server.asked) == 1


def test_only_an_upgrade_moves_an_image(shop: Workshop, server: FileServer) -> None:
    shop("lock")
    server.content, server.etag = server.content + bytes(512), '"two"'
    assert "nothing has changed" in shop("lock").out
    said = shop("lock", "--upgrade", "web", "--json")
    changes = {change["name"]: change for change in said.json["images"]}
    assert (said.json["kind"], said.json["format"]) == ("pinned", 1)
    assert {name: change["change"] for name, change in changes.items()} == {"mine": "same", "web": "moved"}
    assert changes["web"]["before"]["digest"] != changes["web"]["after"]["digest"]
    assert changes["web"]["after"]["url"] == server.url("disk.raw")
    (shop.directory / "cluster.yaml").write_text("images:\n  mine: {source: ./disk.raw, format: raw}\nclusters: {}\n")
    assert ["web", "removed"] in [line.split()[:2] for line in shop("lock").out.splitlines()]


def test_a_new_description_of_the_same_image_is_not_a_move(shop: Workshop, server: FileServer) -> None:
    shop("lock")
    (shop.directory / "cluster.yaml").write_text(SPEC.format(url=server.url("disk.raw?again")))
    said = shop("lock")
    assert ["web", "described"] in [line.split()[:2] for line in said.out.splitlines()]
    assert "rebuilt" not in said.err
    assert "nothing has changed" in shop("lock").out


def test_an_error_in_the_lock_file_quotes_the_lock_file(shop: Workshop) -> None:
    shop.spec()
    shop("lock")
    lock = shop.directory / "pragmaspec.lock"
    lock.write_text(lock.read_text().replace('format = "raw"', 'format = "row"'))
    for command in (("lock",), ("plan", "--locked")):
        said = shop(*command, status=1).err
        assert "pragmaspec.lock:10:1" in said
        assert said.count("format is 'row'") == 1
        assert "cluster.yaml:" not in said


def test_errors_of_lock(shop: Workshop, server: FileServer) -> None:
    assert "Did you mean web?" in shop("lock", "--upgrade", "wep", status=64).err
    server.status = [404]
    said = shop("lock", status=1)
    assert "cluster.yaml:2" in said.err
    assert "404" in said.err
    assert "[images.mine]" in (shop.directory / "pragmaspec.lock").read_text(), "what could be locked is"
