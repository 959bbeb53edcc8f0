"""The lock file through the command line."""

from collections.abc import Iterator

import pytest

from tests.cli.harness import CommandLine
from tests.images.file_server import FileServer

SPEC = """\
images:
  web: {{source: "{url}"}}
  mine: {{source: ./disk.raw, format: raw}}
clusters: {{}}
"""


@pytest.fixture
def server(cli: CommandLine) -> Iterator[FileServer]:
    with FileServer(content=(cli.directory / "disk.raw").read_bytes()) as running:
        (cli.directory / "cluster.yaml").write_text(SPEC.format(url=running.url("disk.raw")))
        yield running


def test_lock(cli: CommandLine, server: FileServer) -> None:
    result = cli("lock")
    rows = [line.split()[:2] for line in result.out.splitlines()]
    assert rows[:3] == [["IMAGE", "LOCK"], ["mine", "new"], ["web", "new"]]
    assert "pragmaspec.lock has 2 images." in result.out
    assert "image web: downloading" in result.err
    assert "unchanged" in cli("lock").out
    assert len(server.asked) == 1


def test_only_an_upgrade_moves_an_image(cli: CommandLine, server: FileServer) -> None:
    cli("lock")
    server.content, server.etag = server.content + bytes(512), '"two"'
    assert "unchanged" in cli("lock").out
    result = cli("lock", "--upgrade", "web", "--json")
    changes = {change["name"]: change for change in result.json["images"]}
    assert (result.json["kind"], result.json["format"]) == ("pinned", 1)
    assert {name: change["change"] for name, change in changes.items()} == {"mine": "same", "web": "moved"}
    assert changes["web"]["before"]["digest"] != changes["web"]["after"]["digest"]
    assert changes["web"]["after"]["url"] == server.url("disk.raw")
    (cli.directory / "cluster.yaml").write_text("images:\n  mine: {source: ./disk.raw, format: raw}\nclusters: {}\n")
    assert ["web", "removed"] in [line.split()[:2] for line in cli("lock").out.splitlines()]


def test_a_new_description_of_the_same_image_is_not_a_move(cli: CommandLine, server: FileServer) -> None:
    cli("lock")
    (cli.directory / "cluster.yaml").write_text(SPEC.format(url=server.url("disk.raw?again")))
    result = cli("lock")
    assert ["web", "described"] in [line.split()[:2] for line in result.out.splitlines()]
    assert "rebuilt" not in result.err
    assert "unchanged" in cli("lock").out


def test_an_error_in_the_lock_file_quotes_the_lock_file(cli: CommandLine) -> None:
    cli.spec()
    cli("lock")
    lock = cli.directory / "pragmaspec.lock"
    lock.write_text(lock.read_text().replace('format = "raw"', 'format = "row"'))
    for command in (("lock",), ("plan", "--locked")):
        result = cli(*command, status=1).err
        assert "pragmaspec.lock:10:1" in result
        assert result.count("format is 'row'") == 1
        assert "cluster.yaml:" not in result


def test_errors_of_lock(cli: CommandLine, server: FileServer) -> None:
    assert "Did you mean web?" in cli("lock", "--upgrade", "wep", status=64).err
    server.status = [404]
    result = cli("lock", status=1)
    assert "cluster.yaml:2" in result.err
    assert "404" in result.err
    assert "[images.mine]" in (cli.directory / "pragmaspec.lock").read_text(), "what could be locked is"
