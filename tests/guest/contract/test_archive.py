import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from pragmaspec.guest.contract.archive import INSTALL_SCRIPT, guest_tar, live_tar
from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.files import live_files
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey


def install(data: bytes, root: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["sh", "-c", INSTALL_SCRIPT, "install", root], input=data, capture_output=True, check=False)


def content_of(root: Path) -> dict[str, tuple[int, str]]:
    return {
        f"/{file.relative_to(root)}": (file.stat().st_mode & 0o7777, file.read_text())
        for file in root.rglob("*")
        if file.is_file()
    }


def test_archive_entries_have_owner_mode_and_relative_name(cluster: GuestCluster, stack_key: StackKey) -> None:
    files = live_files(cluster.frontend, cluster, stack_key)
    with tarfile.open(fileobj=BytesIO(guest_tar(files))) as archive:
        entries = {entry.name: entry for entry in archive}
    assert {name for name, entry in entries.items() if entry.isfile()} == {file.path[1:] for file in files}
    assert {(entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries.values()} == {(0, 0, "root", "root")}
    assert entries["root/.ssh"].mode == 0o700
    assert entries["root/.ssh/authorized_keys"].mode == 0o600


def test_only_needed_directories_are_in_the_archive() -> None:
    with tarfile.open(fileobj=BytesIO(guest_tar([GuestFile(path="/etc/hosts", mode=0o644, content="é")]))) as archive:
        assert archive.getnames() == ["etc/hosts"]


def test_archives_are_reproducible(cluster: GuestCluster, stack_key: StackKey) -> None:
    files = live_files(cluster.frontend, cluster, stack_key)
    assert live_tar(files) == live_tar(files)


def test_the_script_installs_every_file(cluster: GuestCluster, stack_key: StackKey, tmp_path: Path) -> None:
    files = live_files(cluster.frontend, cluster, stack_key)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("old")
    done = install(live_tar(files), tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert content_of(tmp_path) == {file.path: (file.mode, file.content) for file in files}


@pytest.mark.parametrize("blocks", [0, 1, 3, 4, 8])
def test_a_truncated_archive_changes_nothing(cluster: GuestCluster, stack_key: StackKey, tmp_path: Path, blocks: int) -> None:
    data = live_tar(live_files(cluster.frontend, cluster, stack_key))[: blocks * 512]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("old")
    before = content_of(tmp_path)
    assert install(data, tmp_path).returncode != 0
    assert content_of(tmp_path) == before
