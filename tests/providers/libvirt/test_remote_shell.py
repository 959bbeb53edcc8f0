"""Commands on a hypervisor host: the ssh command line, and quoting for the two shells on the way."""

import os
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.providers.libvirt.remote_shell import SSH_FAILED, RemoteShell, ssh_command


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> RemoteShell:
    """A fake ssh that passes the remote command to a shell as one string, as sshd does."""
    stand_in = tmp_path_factory.mktemp("ssh") / "ssh"
    stand_in.write_text('#!/bin/sh\nfor last in "$@"; do :; done\nexec sh -c "$last"\n')
    stand_in.chmod(0o755)
    return RemoteShell(f"qemu+ssh://root@host/system?command={stand_in}")


def test_ssh_options_come_from_the_uri():
    command = ssh_command("qemu+ssh://ada@192.0.2.1:2222/system?keyfile=/keys/ada%20l&no_verify=1&socket=/run/x")
    assert command[0] == "ssh"
    assert command[command.index("-p") :] == ["-p", "2222", "-l", "ada", "-i", "/keys/ada l", "--", "192.0.2.1"]
    assert "StrictHostKeyChecking=no" in command
    assert "BatchMode=yes" in command
    plain = ssh_command("qemu+ssh://host/system")
    assert plain[-2:] == ["--", "host"]
    assert not {"-p", "-l", "-i", "StrictHostKeyChecking=no"} & set(plain)
    assert ssh_command("qemu+ssh://[2001:db8::1]/system?no_verify=0&command=/opt/ssh")[0] == "/opt/ssh"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)) | st.sampled_from(" '\"$`\\!;&|<>*?~#\n")), max_size=4
    )
)
def test_arguments_are_passed_unchanged(shell: RemoteShell, arguments: list[str]):
    ended = shell.run('for each in "$@"; do printf "%s" "$each" | sha256sum; done', arguments, 60)
    assert ended.status == 0
    assert ended.stdout.split()[::2] == [sha256(each.encode()).hexdigest() for each in arguments]


def test_output_has_no_control_characters(shell: RemoteShell):
    ended = shell.run(r'printf "\033[31mred\n"; echo no >&2; exit 3', (), 60)
    assert ended == (3, "[31mred", "no")


def test_a_slow_command_times_out(shell: RemoteShell):
    assert shell.run("read -r _", (), 1).status == SSH_FAILED


def test_standard_input_ends_when_tick_raises(shell: RemoteShell, tmp_path: Path):
    class GivenUpError(Exception):
        pass

    def tick() -> None:
        raise GivenUpError

    heard = tmp_path / "heard"
    os.mkfifo(heard)
    with pytest.raises(GivenUpError):
        shell.run('exec 3<&0; (read -r _ <&3 || echo ended >"$1") >/dev/null 2>&1 & wait', (str(heard),), 60, tick)
    assert heard.read_text() == "ended\n"


def test_a_missing_ssh_program_is_a_failure_of_ssh():
    began = time.monotonic()
    ended = RemoteShell("qemu+ssh://host/system?command=/nowhere/ssh").run("true", (), 60)
    assert ended.status == SSH_FAILED
    assert "No such file" in ended.stderr
    assert time.monotonic() - began < 30
