import grp

import pytest

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.local.folder_trust import filesystem_warnings, unsafe_reason
from tests.state.local_store import LocalStore

MOUNTS = """\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
23 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw
24 23 0:41 / /home/ada/my\\040disk rw - ext4 /dev/vdb rw
25 22 0:42 / /mnt/share rw - fuse.sshfs host: rw
26 22 0:43 / /mnt/win rw - cifs //server/x rw
27 22 0:44 / /mnt/win rw - ext4 /dev/vdc rw
a line that says nothing
"""


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702])
def test_a_world_writable_directory_is_refused(tmp_path, mode):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateUnreadableError, match=f"not safe.*All users of this machine.*{mode:04o}.*chmod go-w"):
        LocalStore(folder).read()
    with pytest.raises(StateUnreadableError, match="not safe"):
        LocalStore(folder).create()
    assert list(folder.iterdir()) == []


def test_a_group_writable_directory_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(0o770)
    members = grp.struct_group(("staff", "x", folder.stat().st_gid, ["ada", "bob"]))
    monkeypatch.setattr(grp, "getgrgid", lambda number: members)
    assert f"the group {folder.stat().st_gid} of this machine" in unsafe_reason(folder)


def test_a_directory_writable_by_the_private_group_is_accepted_and_tightened(tmp_path):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(0o775)
    assert unsafe_reason(folder) == ""
    LocalStore(folder).create()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_out_of_the_repository_is_refused_and_one_inside_is_followed(tmp_path):
    repository, outside = tmp_path / "repository", tmp_path / "outside"
    (repository / "state").mkdir(parents=True)
    outside.mkdir()
    out, inside, real = (repository / "state" / name for name in ("out", "inside", "real"))
    out.symlink_to(outside)
    real.mkdir()
    inside.symlink_to("real")
    with pytest.raises(StateUnreadableError, match=f"symbolic link to {outside}"):
        LocalStore(out).read()
    LocalStore(inside).create()
    assert (real / "state.json").exists()


def test_an_absent_path_or_a_file_is_not_checked(tmp_path):
    (tmp_path / "file").write_text("")
    assert unsafe_reason(tmp_path / "nothing") == ""
    assert unsafe_reason(tmp_path / "file" / "below") == ""
    assert unsafe_reason(tmp_path / "file") == ""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv/state", ""),
        ("/home/ada/state", "nfs4"),
        ("/home/ada/my disk/state", ""),
        ("/mnt/share/state", "fuse.sshfs"),
        ("/mnt/win/state", ""),
        ("/mnt/windows/state", ""),
    ],
)
def test_a_network_file_system_causes_a_warning(tmp_path, folder, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    from pathlib import Path

    said = filesystem_warnings(Path(folder), mounts)
    assert len(said) == bool(kind)
    assert all(kind in words for words in said)


def test_without_a_list_of_mounts_there_is_no_warning(tmp_path):
    assert filesystem_warnings(tmp_path, tmp_path / "nothing") == ()
    assert LocalBackend(tmp_path).warnings() == ()
