"""Authorized public keys: those in the spec and in files, and by default the user's own and those of an ssh agent."""

import os
import socket
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pragmaspec.errors import SpecError
from pragmaspec.spec.fields.default_keys import default_agent_keys, default_keys_digest
from pragmaspec.spec.fields.ssh_agent import agent_keys
from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.loader import load_spec
from tests.spec.conftest import OWN_KEY

_SK = b"sk-ssh-ed25519@openssh.com"
HARDWARE = (
    f"{_SK.decode()} {b64encode(b''.join(len(part).to_bytes(4) + part for part in (_SK, bytes(32), b'ssh:'))).decode()} jörg@büro"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def loaded(tmp_path: Path, home: Path, sample: str) -> Callable[..., LoadedSpec]:
    def load(more: str = "", agent: str = "") -> LoadedSpec:
        (tmp_path / "spec.yaml").write_text(sample + more, encoding="utf-8")
        return load_spec(tmp_path / "spec.yaml", user_config=tmp_path / "config", home=home, agent=agent)

    return load


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """Start a real agent without keys, and return its socket."""
    at = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(at)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield str(at)
    process.terminate()
    process.wait()
    process.stdout.close()


def add(agent: str, file: Path, *arguments: str) -> str:
    """Generate a key with a certificate, add both to the agent, and return the public key line."""
    run(["ssh-keygen", "-q", "-N", "", "-C", "ada's", "-f", str(file), *arguments])
    run(["ssh-keygen", "-q", "-s", str(file), "-I", "ada", "-n", "root", f"{file}.pub"])
    run(["ssh-add", "-q", str(file)], SSH_AUTH_SOCK=agent)
    return file.with_suffix(".pub").read_text().strip()


def run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env=os.environ | environment)


def summaries(loaded: LoadedSpec) -> list[str]:
    assert {warning.severity for warning in loaded.warnings} <= {"warning"}
    return [warning.summary for warning in loaded.warnings]


def test_hardware_keys_are_default_keys(home: Path, loaded: Callable[..., LoadedSpec]) -> None:
    (home / ".ssh" / "id_ed25519_sk.pub").write_text(HARDWARE, encoding="utf-8")
    (home / ".ssh" / "id_ed25519_sk").touch()
    found = loaded()
    assert found.ssh_keys["hello"] == (HARDWARE,)
    assert summaries(found) == []


def test_a_missing_key_is_a_warning_with_a_command(home: Path, loaded: Callable[..., LoadedSpec]) -> None:
    (warning,) = loaded().warnings
    assert warning.summary == "No public key"
    assert "`ssh-keygen -t ed25519`" in warning.detail
    assert warning.where is not None
    assert warning.where.line == 8
    (home / ".ssh" / "id_rsa").touch()
    (warning,) = loaded().warnings
    assert f"`ssh-keygen -y -f {home}/.ssh/id_rsa > {home}/.ssh/id_rsa.pub`" in warning.detail
    assert summaries(loaded("    ssh_keys: []\n")) == ["No public key"]


def test_an_empty_key_file_is_a_warning(home: Path, loaded: Callable[..., LoadedSpec]) -> None:
    (home / ".ssh" / "id_ed25519.pub").write_text("\n")
    assert summaries(loaded()) == ["No key in the file", "No public key"]
    assert summaries(loaded("    ssh_keys: [~/.ssh/id_ed25519.pub]\n")) == ["No public key", "No key in the file"]


def test_an_unreadable_default_key_is_ignored_with_a_warning(home: Path, loaded: Callable[..., LoadedSpec]) -> None:
    (home / ".ssh" / "id_rsa.pub").mkdir()
    (home / ".ssh" / "id_ed25519.pub").write_text(OWN_KEY)
    (home / ".ssh" / "id_ed25519").touch()
    found = loaded()
    assert summaries(found) == ["Key not readable"]
    assert "it is a directory" in found.warnings[0].detail
    assert found.ssh_keys["hello"] == (OWN_KEY.strip(),)


def test_a_public_key_without_private_key_is_a_warning(home: Path, loaded: Callable[..., LoadedSpec], agent: str) -> None:
    line = add(agent, home / "mine", "-t", "ed25519")
    (home / ".ssh" / "id_ed25519.pub").write_text(OWN_KEY)
    assert summaries(loaded()) == ["No private key"]
    found = loaded(agent=agent)
    assert found.ssh_keys["hello"] == (OWN_KEY.strip(), line)
    assert summaries(found) == ["No private key"]
    (home / ".ssh" / "id_ed25519.pub").write_text(line)
    assert summaries(loaded(agent=agent)) == []
    assert loaded(agent=agent).ssh_keys["hello"] == (line,)


def test_agent_keys_are_used_if_no_default_key_has_a_private_key(
    home: Path, loaded: Callable[..., LoadedSpec], agent: str
) -> None:
    assert summaries(loaded(agent=agent)) == ["No public key"]
    before = default_keys_digest(home, agent)
    assert default_agent_keys(home, agent) == ()
    lines = [add(agent, home / kind, "-t", kind) for kind in ("ed25519", "ecdsa")]
    assert default_keys_digest(home, agent) != before
    found = loaded(agent=agent)
    assert sorted(found.ssh_keys["hello"]) == sorted(lines)
    assert summaries(found) == []
    assert "ssh-agent" in dict(found.files)
    assert "ssh-agent" not in dict(loaded("    ssh_keys: [~/ed25519.pub]\n", agent=agent).files)
    (home / ".ssh" / "id_ed25519.pub").write_text(OWN_KEY)
    (home / ".ssh" / "id_ed25519").touch()
    assert loaded(agent=agent).ssh_keys["hello"] == (OWN_KEY.strip(),)


def test_key_files_may_have_any_encoding_and_line_ends(home: Path, loaded: Callable[..., LoadedSpec]) -> None:
    key = OWN_KEY.split()[0] + " " + OWN_KEY.split()[1]
    (home / "team.keys").write_bytes(f"\ufeff# ours\r\n\r\n  {key} jörg@büro\r\nrestrict,pty {key} b".encode())
    (home / "latin.pub").write_bytes(f"{key} jörg".encode("latin-1"))
    entries = f"['{key} 日本', ~/team.keys, ~/latin.pub, 'from=\"10.0.0.1\" {key} me.pub']"
    assert loaded(f"    ssh_keys: {entries}\n").ssh_keys["hello"] == (
        f"{key} 日本",
        f"restrict,pty {key} b",
        f'from="10.0.0.1" {key} me.pub',
    )
    both = loaded(f"    ssh_keys:\n      - |\n        {key} a\n        # b\n        {HARDWARE}\n").ssh_keys["hello"]
    assert both == (f"{key} a", HARDWARE)


def test_a_certificate_is_a_warning(home: Path, loaded: Callable[..., LoadedSpec], agent: str) -> None:
    add(agent, home / "mine", "-t", "ed25519")
    assert summaries(loaded("    ssh_keys: [~/mine-cert.pub]\n")) == ["Certificate"]
    line = (home / "mine-cert.pub").read_text().strip()
    assert summaries(loaded(f"    ssh_keys:\n      - {line}\n")) == ["Certificate"]


@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
def test_private_keys_are_rejected_and_not_shown(home: Path, loaded: Callable[..., LoadedSpec], form: str) -> None:
    run(["ssh-keygen", "-q", "-t", "rsa", "-b", "1024", "-N", "", "-m", form, "-f", str(home / "mine")])
    private = (home / "mine").read_text()
    (home / "mine.pub").write_text(private)
    body = private.splitlines()[1]
    entries = ["[~/mine.pub]", f"['{body}']", "\n      - |\n" + "".join(f"        {line}\n" for line in private.splitlines())]
    for entry in entries if form == "RFC4716" else (entries[0], entries[2]):
        with pytest.raises(SpecError) as caught:
            loaded(f"    ssh_keys: {entry}\n")
        assert [problem.summary for problem in caught.value.problems] == ["Private key"]
        assert body[:20] not in "".join(f"{problem.detail}{problem.quote}" for problem in caught.value.problems)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[str]:
    """Serve one client with ``answer``, and yield the socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                link.recv(5)
                link.sendall(answer)
                link.shutdown(socket.SHUT_WR)
                link.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join()


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4) + data


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x01\x05",
        b"\0\0\0\x05\x0c\0\0\0\x01",
        b"\0\0\0\x09\x0c\0\0\0\x01\0\0\0\xff",
    ],
)
def test_invalid_agent_responses_yield_no_keys(tmp_path: Path, answer: bytes) -> None:
    with answering(tmp_path / "agent", answer) as path:
        assert agent_keys(path) == ()


def test_waiting_for_an_agent_times_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        server.listen()
        assert agent_keys(str(tmp_path / "agent"), timeout_s=0.05) == ()
    assert agent_keys(str(tmp_path / "agent")) == ()
    assert agent_keys("") == ()
    assert default_agent_keys(tmp_path, "") == ()


def test_unknown_key_types_of_an_agent_are_ignored(tmp_path: Path, loaded: Callable[..., LoadedSpec]) -> None:
    odd = string(string(b"ssh-new") + bytes(4))
    body = b"\x0c" + (2).to_bytes(4) + odd + string(b"a") + odd + string(b"b\nssh-rsa x")
    with answering(tmp_path / "agent", string(body)) as path:
        assert summaries(loaded(agent=path)) == ["No public key"]
