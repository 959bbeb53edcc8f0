from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.settings import Settings
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.folders import Folder, parse_listing
from pragmaspec.images.transfer.locations import open_folder
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images.file_server import FileServer, Reply
from tests.images.protocols import Publisher

CONTENT = {"vcdb.txt": b"one,one/one.xml\n", "with blank & more": b"two"}


@pytest.fixture
def context(tmp_path: Path) -> ImageContext:
    policy = TransferPolicy(first_pause_s=0.001, tries=2)
    return ImageContext(BlobStore(tmp_path / "store"), "debian", ImageReporter(), policy=policy, settings=Settings())


@pytest.fixture(params=["local", "web"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, server: FileServer, context: ImageContext) -> Folder:
    """The same folder, here and on a server."""
    if request.param == "web":
        small = {f"/a%20b/{name}".replace(" ", "%20").replace("&", "%26"): content for name, content in CONTENT.items()}
        server.gate = Publisher({"/a%20b/": [*CONTENT, "below/", "../../up", "/root", "?sorted"]}, small, set())
        return open_folder(server.url("a%20b"), context)
    place = tmp_path / "a b"
    (place / "below").mkdir(parents=True)
    for name, content in CONTENT.items():
        (place / name).write_bytes(content)
    return open_folder(str(place), context)


def test_files_are_listed_read_and_fetched(folder: Folder, tmp_path: Path) -> None:
    assert folder.names() == ("below/", "vcdb.txt", "with blank & more")
    assert folder.read_small("with blank & more") == b"two"
    assert folder.read_small("absent") is None
    came = folder.fetch("vcdb.txt", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT["vcdb.txt"]
    assert came.sha256 == sha256(CONTENT["vcdb.txt"]).hexdigest()
    with pytest.raises(ImageError):
        folder.fetch("absent", tmp_path / "part")
    assert "a" in folder.origin()


@pytest.mark.parametrize("name", ["", ".", "..", "../etc/passwd", "/etc/passwd", "a/b", "a\\b", "a\nb", "a\0b"])
def test_only_plain_names_are_accepted(folder: Folder, tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match="plain file name"):
        folder.read_small(name)
    with pytest.raises(ImageError, match="plain file name"):
        folder.fetch(name, tmp_path / "part")


@pytest.mark.parametrize(
    ("href", "names"),
    [
        ("disk.qcow2", ("disk.qcow2",)),
        ("./disk.qcow2", ("disk.qcow2",)),
        ("/images/disk.qcow2", ("disk.qcow2",)),
        ("https://images.example.org/images/a%20b", ("a b",)),
        ("https://other.example.org/images/disk.qcow2", ()),
        ("../other/", ()),
        ("/", ()),
        ("?C=N;O=D", ()),
        ("below/disk.qcow2", ()),
        ("a%2F..%2Fb", ()),
        ("javascript:alert(1)", ()),
    ],
)
def test_only_links_one_level_down_are_listed(href: str, names: tuple[str, ...]) -> None:
    assert parse_listing(f'<a href="{href}">x</a>', "https://images.example.org/images/") == names


def test_a_missing_folder_is_an_error(server: FileServer, context: ImageContext, tmp_path: Path) -> None:
    server.gate = lambda _: Reply(404)
    with pytest.raises(ImageError, match="does not exist"):
        open_folder(server.url("absent"), context).names()
    with pytest.raises(ImageError, match="No such file"):
        open_folder(str(tmp_path / "absent"), context).names()


def test_a_file_that_is_too_large_is_rejected(server: FileServer, context: ImageContext, tmp_path: Path) -> None:
    server.content = bytes(9 * 2**20)
    with pytest.raises(ImageError, match="more than 8 MiB"):
        open_folder(server.url(""), context).read_small("vcdb.txt")
    (tmp_path / "vcdb.txt").write_bytes(server.content)
    with pytest.raises(ImageError, match="more than 8 MiB"):
        open_folder(str(tmp_path), context).read_small("vcdb.txt")
