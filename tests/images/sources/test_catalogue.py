"""Images by short names. Publishers are local servers with test keys; their form is that of the real ones."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256, sha512
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.lock.lock_file import LOCK_FILE, read_lock
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.settings import Settings
from pragmaspec.images.sources.publication import Publication
from pragmaspec.images.sources.releases import built_in_publications, find_publication, find_release
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.fetched import version_key
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.spec.models.image import ImageModel
from tests.images import protocols
from tests.images.file_server import FileServer
from tests.images.openpgp import Key, keys, make_key
from tests.images.sources.kinds import Tools, publish


@pytest.fixture(scope="module")
def publisher() -> Iterator[Key]:
    with keys() as home:
        yield make_key(home, "publisher")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publisher: Key) -> Iterator[Tools]:
    with ExitStack() as stack:
        yield Tools(tmp_path, monkeypatch, stack, publisher)


@pytest.fixture
def context(tmp_path: Path) -> ImageContext:
    policy = TransferPolicy(first_pause_s=0.001, tries=2)
    return ImageContext(BlobStore(tmp_path / "store"), "debian", ImageReporter(), policy=policy, settings=Settings())


MODEL = ImageModel(catalogue="our-debian")


def test_a_name_is_resolved_once_and_then_locked(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    publish(tools, server, qcow2)
    image = library.resolve(MODEL, "debian", spec_directory)
    locked = read_lock(spec_directory)["debian"]
    assert (locked.version, locked.signed_by) == ("20261101-1", tools.publisher.fingerprint)
    assert locked.url == server.url("cloud/20261101-1/debian-20261101-1.qcow2")
    assert locked.fetched == image.disk

    newer = qcow2 + bytes(65536)
    publish(tools, server, newer, "20261115-1")
    asked = len(server.asked)
    assert ImageLibrary(tmp_path / "colleague").resolve(MODEL, "debian", spec_directory) == image
    assert len(server.asked) == asked, "what is locked is not asked for again"


def test_the_locked_release_is_used_while_it_is_published(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    publish(tools, server, qcow2)
    image = library.resolve(MODEL, "debian", spec_directory)
    colleague = ImageLibrary(tmp_path / "colleague", policy=TransferPolicy(first_pause_s=0.001, tries=1))
    colleague.resolve(MODEL, "debian", spec_directory)
    gate = server.gate
    server.gate = protocols.Publisher({}, {}, set())
    with pytest.raises(ImageError, match="404"):
        colleague.files(image)
    server.gate, server.content = gate, qcow2 + bytes(512)
    with pytest.raises(ImageError, match="now serves an other file"):
        colleague.files(image)
    server.content = qcow2
    assert colleague.files(image).disk.read_bytes() == qcow2


def test_only_an_upgrade_selects_a_new_release(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes
) -> None:
    server.content = qcow2
    publish(tools, server, qcow2)
    assert library.lock(MODEL, "debian", spec_directory).change == "new"
    newer = qcow2 + bytes(65536)
    server.content, server.etag = newer, '"two"'
    publish(tools, server, newer, "20261115-1")
    assert library.lock(MODEL, "debian", spec_directory).change == "same"
    moved = library.lock(MODEL, "debian", spec_directory, upgrade=True)
    assert moved.change == "moved"
    assert moved.before is not None
    assert (moved.before.version, moved.entry.version) == ("20261101-1", "20261115-1")
    assert moved.entry.digest == sha256(newer).hexdigest()


def test_an_older_release_is_rejected(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes
) -> None:
    server.content = qcow2
    publish(tools, server, qcow2, "20261115-1")
    library.lock(MODEL, "debian", spec_directory)
    before = (spec_directory / LOCK_FILE).read_text()
    older = qcow2 + bytes(65536)
    server.content, server.etag = older, '"two"'
    publish(tools, server, older, "20261101-1")
    with pytest.raises(ImageError, match="now serves 20261101-1, but the newer 20261115-1 is locked"):
        library.lock(MODEL, "debian", spec_directory, upgrade=True)
    assert (spec_directory / LOCK_FILE).read_text() == before
    moved = library.lock(MODEL, "debian", spec_directory, upgrade=True, accept_older=True)
    assert moved.entry.version == "20261101-1"


def test_a_forged_release_is_rejected(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes
) -> None:
    """Whoever owns the server, but not the key, can change image and sums."""
    server.content = qcow2
    publish(tools, server, qcow2)
    gate = server.gate
    assert isinstance(gate, protocols.Publisher)
    forged = qcow2 + bytes(65536)
    server.content = forged
    sums = "/cloud/20261101-1/CHECKSUM"
    gate.small[sums] = gate.small[sums].replace(sha256(qcow2).hexdigest().encode(), sha256(forged).hexdigest().encode())
    with pytest.raises(ImageError, match=r"Signature rejected .image debian.*does not match"):
        library.resolve(MODEL, "debian", spec_directory)
    stranger = make_key(tools.publisher.home, "stranger")
    gate.small[f"{sums}.asc"], gate.small["/key.asc"] = stranger.detached(gate.small[sums]), stranger.public()
    with pytest.raises(ImageError, match=f"pinned key is {tools.publisher.fingerprint}"):
        library.resolve(MODEL, "debian", spec_directory)
    del gate.small[f"{sums}.asc"]
    with pytest.raises(ImageError, match=r"CHECKSUM\.asc does not exist"):
        library.resolve(MODEL, "debian", spec_directory)
    assert not (spec_directory / LOCK_FILE).exists()


def test_the_local_keyring_is_used_first(context: ImageContext, server: FileServer, publisher: Key, tmp_path: Path) -> None:
    ring = tmp_path / "ring.gpg"
    ring.write_bytes(publisher.public(armor=False))
    text = f"{'a' * 64} *disk-1.qcow2\n".encode()
    server.gate = protocols.Publisher({"/": ["disk-1.qcow2", "SUMS"]}, {"/SUMS": publisher.around(text)}, set())
    found = Publication(
        folder=server.url(""),
        file=r"disk-\d+\.qcow2",
        sums="SUMS",
        signature="inline",
        key=publisher.fingerprint,
        keyring=str(ring),
        key_url=server.url("absent"),
    )
    release = find_release(found, context)
    assert (release.url, release.expected.sha256) == (server.url("disk-1.qcow2"), "a" * 64)
    assert release.expected.signed_by == publisher.fingerprint


def test_the_newest_complete_release_is_selected(context: ImageContext, server: FileServer) -> None:
    """Numbers are compared as numbers; a folder that is still being filled is passed over."""
    digests = {name: sha512(name.encode()).hexdigest() for name in ("d-9.9.q", "d-9.10.q")}
    sums = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    server.gate = protocols.Publisher(
        {"/": ["9-2/", "10-1/", "11-1/", "notes/"], "/11-1/": ["d-9.10.q"], "/10-1/": ["d-9.9.q", "d-9.10.q", "SHA512SUMS"]},
        {"/10-1/SHA512SUMS": sums},
        set(),
    )
    found = Publication(folder=server.url(""), dated=r"\d+-\d+", file=r"d-(?P<version>[\d.]+)\.q", sums="SHA512SUMS")
    release = find_release(found, context)
    assert release.url == server.url("10-1/d-9.10.q")
    assert (release.expected.sha512, release.expected.version) == (digests["d-9.10.q"], "10-1")


def test_a_changed_layout_is_reported(context: ImageContext, server: FileServer) -> None:
    server.gate = protocols.Publisher({"/": ["README"]}, {}, set())
    with pytest.raises(ImageError, match="No release found"):
        find_release(Publication(folder=server.url(""), file=r"x\.qcow2", sums="SUMS"), context)


def test_a_sha512_is_sufficient(
    tools: Tools, server: FileServer, library: ImageLibrary, spec_directory: Path, qcow2: bytes
) -> None:
    server.content = qcow2
    server.gate = protocols.Publisher({}, {"/SUMS": f"{sha512(qcow2).hexdigest()}  disk.qcow2\n".encode()}, {"/disk.qcow2"})
    model = ImageModel(source=server.url(), sums={"url": server.url("SUMS")})
    library.resolve(model, "web", spec_directory)
    locked = read_lock(spec_directory)["web"]
    assert (locked.sha512, locked.digest) == (sha512(qcow2).hexdigest(), sha256(qcow2).hexdigest())
    server.content, server.etag = qcow2 + bytes(512), '"two"'
    with pytest.raises(ImageError, match="differs from its publisher's checksum"):
        ImageLibrary(spec_directory / "other").lock(model, "web", spec_directory, upgrade=True)


def test_an_unknown_name_is_rejected_with_suggestions() -> None:
    with pytest.raises(ImageError, match="Did you mean debian-12"):
        find_publication("debian12", Settings())
    with pytest.raises(ImageError, match=r"The catalogue has almalinux-10, .*ubuntu-24.04"):
        find_publication("haiku", Settings())


REAL_NAMES = {
    "debian-12": ("20241110-1927", "debian-12-genericcloud-amd64-20241110-1927.qcow2", "SHA512SUMS"),
    "debian-13": ("20260901-2300", "debian-13-genericcloud-amd64-20260901-2300.qcow2", "SHA512SUMS"),
    "ubuntu-22.04": ("release-20260801", "ubuntu-22.04-server-cloudimg-amd64.img", "SHA256SUMS"),
    "ubuntu-24.04": ("release-20260814", "ubuntu-24.04-server-cloudimg-amd64.img", "SHA256SUMS"),
    "ubuntu-26.04": ("release-20260731", "ubuntu-26.04-server-cloudimg-amd64.img", "SHA256SUMS"),
    "rocky-8": ("", "Rocky-8-GenericCloud-Base-8.9-20231119.0.x86_64.qcow2", "CHECKSUM"),
    "rocky-9": ("", "Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2", "CHECKSUM"),
    "rocky-10": ("", "Rocky-10-GenericCloud-Base-10.2-20260525.0.x86_64.qcow2", "CHECKSUM"),
    "almalinux-9": ("", "AlmaLinux-9-GenericCloud-9.4-20240507.x86_64.qcow2", "CHECKSUM"),
    "almalinux-10": ("", "AlmaLinux-10-GenericCloud-10.2-20260817.0.x86_64.qcow2", "CHECKSUM"),
    "fedora-44": ("", "Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2", "Fedora-Cloud-44-1.7-x86_64-CHECKSUM"),
    "centos-stream-9": (
        "",
        "CentOS-Stream-GenericCloud-9-20260826.0.x86_64.qcow2",
        "CentOS-Stream-GenericCloud-9-20260826.0.x86_64.qcow2.SHA256SUM",
    ),
    "centos-stream-10": (
        "",
        "CentOS-Stream-GenericCloud-10-20260930.0.x86_64.qcow2",
        "CentOS-Stream-GenericCloud-10-20260930.0.x86_64.qcow2.SHA256SUM",
    ),
}


@pytest.mark.parametrize("name", sorted(built_in_publications()))
def test_built_in_patterns_match_the_publishers_file_names(name: str) -> None:
    publication = built_in_publications()[name]
    dated, file, sums = REAL_NAMES[name]
    assert bool(publication.dated) == bool(dated)
    assert re.fullmatch(publication.dated, dated)
    assert re.fullmatch(publication.file, file)
    assert re.fullmatch(publication.sums.replace("{file}", re.escape(file)), sums)
    assert publication.folder.startswith("https://")
    assert bool(publication.signature) == bool(publication.key)
    assert not publication.signature or (re.fullmatch("[0-9A-F]{40}", publication.key) and publication.key_url)


def test_versions_are_compared_numerically() -> None:
    ordered = ["", "9.9", "9.9.1", "9.10", "10"]
    assert sorted(set(ordered), key=version_key) == ordered
    assert version_key("release-9") < version_key("release-20260814") < version_key("release-20260814.1")
