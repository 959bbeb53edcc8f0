"""``key``: the secret of a stack is shared in a private file and never shown."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine


def _keys(cli: CommandLine) -> list[Path]:
    return sorted((cli.directory.parent / "home" / "data" / "pragmaspec" / "keys").glob("*.key"))


def test_show_does_not_print_the_key(cli: CommandLine) -> None:
    cli.spec()
    assert "The first `pragmaspec apply` creates" in cli("key", "show", status=64).err
    cli.running()
    (file,) = _keys(cli)
    secret = file.read_text().strip()
    result = cli("key", "show")
    form = cli("key", "show", "--json").json
    assert form["fingerprint"] in result.out
    assert (form["file"], form["present"], form["lineage"]) == (str(file), True, file.stem)
    assert secret not in result.out + result.err + json.dumps(form)
    file.unlink()
    assert "not on this machine" in cli("key", "show").out
    assert cli("key", "show", "--json").json["fingerprint"] is None


def test_the_fingerprint_matches_openssh(cli: CommandLine, tmp_path: Path) -> None:
    cli.running()
    config = Path(cli("ssh-config", "--path").out.strip())
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(config.parent / "id_operator")], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "key.pub").write_text(public)
    result = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True).stdout
    assert cli("key", "show", "--json").json["fingerprint"] == result.split()[1]


def test_export_and_import(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cli.running()
    (file,) = _keys(cli)
    result = cli("key", "export", "hello.key")
    exported = cli.directory / "hello.key"
    assert exported.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in result.out + result.err
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path / "theirs"))
    assert "not on this machine" in cli("key", "export", "again.key", status=1).err
    assert "is now in" in cli("key", "import", "hello.key").out
    assert "is already in" in cli("key", "import", "hello.key").out
    (theirs,) = (tmp_path / "theirs").iterdir()
    assert (theirs.read_text(), theirs.stat().st_mode & 0o777) == (file.read_text(), 0o600)
    assert cli("ssh-config").out.startswith("#") or "Host " in cli("ssh-config").out


def test_export_and_import_through_a_pipe(cli: CommandLine, tmp_path: Path) -> None:
    cli.running()
    exported = cli.process("key", "export", "-")
    assert exported.status == 0
    keys = {"PRAGMASPEC_KEYS": str(tmp_path / "theirs")}
    assert cli.process("key", "import", "-", stdin=exported.out, environment=keys).status == 0
    assert len(list((tmp_path / "theirs").iterdir())) == 1


def test_export_refuses_a_terminal(cli: CommandLine) -> None:
    cli.running()
    ours, theirs = pty.openpty()
    done = subprocess.run(
        cli.command("key", "export", "-"),
        cwd=cli.directory,
        env=cli.environment,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 64
    assert b"Key not printed to a terminal" in done.stderr


def test_export_does_not_replace_a_file(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "hello.key").write_text("mine")
    assert "not overwritten" in cli("key", "export", "hello.key", status=64).err
    assert "not overwritten" in cli("key", "export", "/dev/null", status=64).err
    assert "cannot be written" in cli("key", "export", "nowhere/hello.key", status=1).err
    assert (cli.directory / "hello.key").read_text() == "mine"


def test_import_does_not_replace_a_different_key(cli: CommandLine) -> None:
    cli.running()
    (file,) = _keys(cli)
    cli("key", "export", "hello.key")
    other = "0" * 64
    file.write_text(other)
    result = cli("key", "import", "hello.key", status=1)
    assert "Another key exists" in result.err
    assert file.read_text() == other
    assert other not in result.err


@pytest.mark.parametrize("text", ["", "{}", "\xff", '{"kind":"pragmaspec-key","format":1,"lineage":"../x","key":"s3cr3t"}'])
def test_import_refuses_invalid_input(cli: CommandLine, text: str) -> None:
    (cli.directory / "x.key").write_bytes(text.encode("latin-1"))
    result = cli("key", "import", "x.key", status=64)
    assert "Not a key file" in result.err
    assert "s3cr3t" not in result.err
    assert "not readable" in cli("key", "import", "nowhere", status=64).err


def test_a_key_readable_by_others_is_not_exported(cli: CommandLine) -> None:
    cli.running()
    (file,) = _keys(cli)
    file.chmod(0o644)
    assert "chmod 600" in cli("key", "export", "hello.key", status=1).err
    assert "chmod 600" in cli("key", "show", status=1).err
