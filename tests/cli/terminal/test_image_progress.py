"""Progress of images that an apply downloads or builds again."""

import http.server
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine


@pytest.fixture
def served(cli: CommandLine) -> Iterator[str]:
    """URL of the disk on a local server."""
    folder = str(cli.directory)

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, directory=folder, **options)

        def log_message(self, *_arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/disk.raw"
    server.shutdown()
    thread.join()
    server.server_close()


def test_missing_images_are_downloaded_again_with_progress(cli: CommandLine, served: str) -> None:
    spec = cli.spec()
    digest = sha256((cli.directory / "disk.raw").read_bytes()).hexdigest()
    source = f"images: {{tiny: {{source: '{served}', sha256: {digest}, format: raw}}}}"
    spec.write_text("\n".join(source if line.startswith("images:") else line for line in spec.read_text().splitlines()) + "\n")
    assert "image tiny: downloading" in cli("plan").err
    store = cli.directory.parent / "home" / "cache" / "pragmaspec" / "images"
    blobs = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size == 2**20]
    assert blobs
    for path in blobs:
        path.unlink()
    result = cli("apply", "-y")
    assert "stage tiny: downloading" in result.err
    assert Path(cli.directory / "site.json").exists()
