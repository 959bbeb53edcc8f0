"""The script that sets up users, run by two shells on the account files of a pretended guest."""

import os
import subprocess
from pathlib import Path

import pytest

from pragmaspec.guest.setup.users import USERS_SCRIPT_TEXT, USERS_TABLE, ClusterUser, users_table

BEGIN, END = "# pragmaspec: keys of the spec", "# pragmaspec: end"


def user(name: str = "ada", uid: int = 2001, **more: object) -> ClusterUser:
    return ClusterUser(**{"name": name, "uid": uid, "ssh_keys": (f"ssh-ed25519 AAAA {name}",), **more})


class Guest:
    """A directory as the root of a guest, whose account files are changed without useradd."""

    def __init__(self, root: Path, shell: list[str]) -> None:
        self.root = root
        self._shell = shell
        for directory in ("etc/pragmaspec", "etc/sudoers.d", "bin", "home"):
            (root / directory).mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\ndebian:x:1000:1000::/home/debian:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\ndebian:x:1000:\n")
        (root / "etc/shadow").write_text("root:*:1::::::\n")
        (root / "programs").mkdir()
        for name in ("chown", "runuser"):  # no test changes owners
            (root / "programs" / name).write_text("#!/bin/sh\n")
            (root / "programs" / name).chmod(0o755)
        self.script = root / "script"
        self.script.write_text(USERS_SCRIPT_TEXT)

    def run(self, *users: ClusterUser, status: int = 0) -> str:
        self.root.joinpath(USERS_TABLE.removeprefix("/")).write_text(users_table(users))
        environment = {**os.environ, "PATH": f"{self.root}/programs:{os.environ['PATH']}"}
        done = subprocess.run(
            [*self._shell, self.script, self.root], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stderr

    def account(self, name: str) -> list[str]:
        """The fields of an account; none if it does not exist."""
        lines = (line.split(":") for line in (self.root / "etc/passwd").read_text().splitlines())
        return next((fields for fields in lines if fields[0] == name), [])

    def keys(self, name: str) -> list[str]:
        return (self.root / "home" / name / ".ssh/authorized_keys").read_text().splitlines()


@pytest.fixture(params=(["dash"], ["busybox", "sh"]), ids=("dash", "busybox"))
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Guest:
    return Guest(tmp_path, request.param)


def test_a_user_is_created_once(guest: Guest) -> None:
    for _ in range(2):
        guest.run(user(sudo=True, login_shell="/bin/zsh"))
        assert guest.account("ada") == ["ada", "x", "2001", "2001", "", "/home/ada", "/bin/zsh"]
        assert guest.keys("ada") == [BEGIN, "ssh-ed25519 AAAA ada", END]
        assert (guest.root / "etc/sudoers.d/pragmaspec-ada").read_text() == "ada ALL=(ALL) NOPASSWD: ALL\n"
        assert (guest.root / "etc/sudoers.d/pragmaspec-ada").stat().st_mode & 0o777 == 0o440
        assert (guest.root / "etc/group").read_text().count("ada") == 1
        assert (guest.root / "etc/shadow").read_text().count("ada:*:") == 1
    assert (guest.root / "home/ada/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600


def test_the_shell_is_bash_where_there_is_one(guest: Guest) -> None:
    guest.run(user())
    assert guest.account("ada")[-1] == "/bin/sh"
    (guest.root / "bin/bash").touch(mode=0o755)
    guest.run(user())
    assert guest.account("ada")[-1] == "/bin/bash"


def test_changes_replace_keys_and_sudo_and_keep_the_users_own_keys(guest: Guest) -> None:
    guest.run(user(sudo=True))
    file = guest.root / "home/ada/.ssh/authorized_keys"
    file.write_text(f"ssh-rsa own\n{file.read_text()}")
    guest.run(user(ssh_keys=("ssh-ed25519 BBBB new", "ssh-ed25519 CCCC other")))
    assert guest.keys("ada") == ["ssh-rsa own", BEGIN, "ssh-ed25519 BBBB new", "ssh-ed25519 CCCC other", END]
    assert not (guest.root / "etc/sudoers.d/pragmaspec-ada").exists()


def test_a_removed_user_loses_the_account_and_keeps_the_files(guest: Guest) -> None:
    guest.run(user(sudo=True), user("grace", 2002))
    (guest.root / "home/ada/thesis").write_text("draft")
    guest.run(user("grace", 2002))
    assert guest.account("ada") == []
    assert guest.account("grace")
    assert "ada" not in (guest.root / "etc/group").read_text() + (guest.root / "etc/shadow").read_text()
    assert not (guest.root / "etc/sudoers.d/pragmaspec-ada").exists()
    guest.run(user(), user("grace", 2002))
    assert (guest.root / "home/ada/thesis").read_text() == "draft"
    guest.run()
    assert guest.account("grace") == []


def test_an_existing_account_is_left_alone(guest: Guest) -> None:
    before = (guest.root / "etc/passwd").read_text()
    assert "an account of that name exists" in guest.run(user("debian", 1000), status=1)
    assert "another account has the uid 1000" in guest.run(user("ada", 1000), status=1)
    assert (guest.root / "etc/passwd").read_text() == before
    guest.run()
    assert (guest.root / "etc/passwd").read_text() == before


def test_one_user_that_fails_does_not_stop_the_others(guest: Guest) -> None:
    guest.run(user("debian", 1000), user("grace", 2002), status=1)
    assert guest.account("grace")


def test_another_uid_is_another_account_with_the_same_files(guest: Guest) -> None:
    guest.run(user())
    guest.run(user(uid=3001))
    assert guest.account("ada")[2] == "3001"


def test_sudo_needs_its_package(guest: Guest) -> None:
    (guest.root / "etc/sudoers.d").rmdir()
    said = guest.run(user(sudo=True), user("grace", 2002, sudo=True), status=1)
    assert said.count("the image lacks the package sudo, and it cannot be installed now; add it to packages") == 2
    assert guest.account("ada")


def test_a_link_is_not_followed(guest: Guest) -> None:
    (guest.root / "home/ada").mkdir()
    (guest.root / "home/ada/.ssh").symlink_to(guest.root / "etc")
    assert "cannot be written" in guest.run(user(), status=1)
    assert not (guest.root / "etc/authorized_keys").exists()


def test_a_guest_without_a_table_is_not_changed(guest: Guest) -> None:
    done = subprocess.run(["/bin/sh", guest.script, guest.root], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (guest.root / "var").exists()
