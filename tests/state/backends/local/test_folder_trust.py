import grp

import pytest

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.backend import LocalBackend, LocalStore
from pragmaspec.state.backends.local.folder_trust import distrusted, filesystem_warnings

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
def test_a_folder_that_everybody_may_write_to_is_refused_for_reading_and_writing(tmp_path, mode):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(StateUnreadableError, match=f"not safe.*Everybody on this machine.*{mode:04o}.*chmod go-w"):
        LocalStore(folder).read()
    with pytest.raises(StateUnreadableError, match="not safe"):
        LocalStore(folder).create()
    assert list(folder.iterdir()) == []


def test_a_folder_that_a_group_of_others_may_write_to_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(0o770)
    members = grp.struct_group(("staff", "x", folder.stat().st_gid, ["ada", "bob"]))
    monkeypatch.setattr(grp, "getgrgid", lambda number: members)
    assert f"the group {folder.stat().st_gid} on this machine" in distrusted(folder)


def test_the_group_of_the_user_alone_may_write_as_a_git_clone_often_leaves_it(tmp_path):
    folder = tmp_path / "hello"
    folder.mkdir()
    folder.chmod(0o775)
    assert distrusted(folder) == ""
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


def test_what_is_not_there_or_no_folder_is_not_its_business(tmp_path):
    (tmp_path / "file").write_text("")
    assert distrusted(tmp_path / "nothing") == ""
    assert distrusted(tmp_path / "file" / "below") == ""
    assert distrusted(tmp_path / "file") == ""


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
def test_a_file_system_of_another_machine_is_warned_of(tmp_path, folder, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    from pathlib import Path

    said = filesystem_warnings(Path(folder), mounts)
    assert len(said) == bool(kind)
    assert all(kind in words for words in said)


def test_without_a_list_of_mounts_nothing_is_said(tmp_path):
    assert filesystem_warnings(tmp_path, tmp_path / "nothing") == ()
    assert LocalBackend(tmp_path).warnings() == ()
