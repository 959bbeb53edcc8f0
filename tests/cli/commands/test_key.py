"""``key``: the secret of a stack is shared in a private file and never shown."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.workshop import Workshop


def _keys(shop: Workshop) -> list[Path]:
    return sorted((shop.directory.parent / "home" / "data" / "pragmaspec" / "keys").glob("*.key"))


def test_show_does_not_print_the_key(shop: Workshop) -> None:
    shop.spec()
    assert "the first `pragmaspec apply` makes both" in shop("key", "show", status=64).err
    shop.running()
    (file,) = _keys(shop)
    secret = file.read_text().strip()
    said = shop("key", "show")
    form = shop("key", "show", "--json").json
    assert form["fingerprint"] in said.out
    assert (form["file"], form["present"], form["lineage"]) == (str(file), True, file.stem)
    assert secret not in said.out + said.err + json.dumps(form)
    file.unlink()
    assert "not on this machine" in shop("key", "show").out
    assert shop("key", "show", "--json").json["fingerprint"] is None


def test_the_fingerprint_matches_openssh(shop: Workshop, tmp_path: Path) -> None:
    shop.running()
    config = Path(shop("ssh-config", "--path").out.strip())
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(config.parent / "id_operator")], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "key.pub").write_text(public)
    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True).stdout
    assert shop("key", "show", "--json").json["fingerprint"] == said.split()[1]


def test_export_and_import(shop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop.running()
    (file,) = _keys(shop)
    said = shop("key", "export", "hello.key")
    exported = shop.directory / "hello.key"
    assert exported.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in said.out + said.err
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path / "theirs"))
    assert "not on this machine" in shop("key", "export", "again.key", status=1).err
    assert "is now in" in shop("key", "import", "hello.key").out
    assert "is already in" in shop("key", "import", "hello.key").out
    (theirs,) = (tmp_path / "theirs").iterdir()
    assert (theirs.read_text(), theirs.stat().st_mode & 0o777) == (file.read_text(), 0o600)
    assert shop("ssh-config").out.startswith("#") or "Host " in shop("ssh-config").out


def test_export_and_import_through_a_pipe(shop: Workshop, tmp_path: Path) -> None:
    shop.running()
    exported = shop.process("key", "export", "-")
    assert exported.status == 0
    keys = {"PRAGMASPEC_KEYS": str(tmp_path / "theirs")}
    assert shop.process("key", "import", "-", stdin=exported.out, environment=keys).status == 0
    assert len(list((tmp_path / "theirs").iterdir())) == 1


def test_export_refuses_a_terminal(shop: Workshop) -> None:
    shop.running()
    ours, theirs = pty.openpty()
    done = subprocess.run(
        shop.command("key", "export", "-"),
        cwd=shop.directory,
        env=shop.environment,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 64
    assert b"Key not printed to a terminal" in done.stderr


def test_export_does_not_replace_a_file(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "hello.key").write_text("mine")
    assert "not written over" in shop("key", "export", "hello.key", status=64).err
    assert "not written over" in shop("key", "export", "/dev/null", status=64).err
    assert "cannot be written" in shop("key", "export", "nowhere/hello.key", status=1).err
    assert (shop.directory / "hello.key").read_text() == "mine"


def test_import_does_not_replace_a_different_key(shop: Workshop) -> None:
    shop.running()
    (file,) = _keys(shop)
    shop("key", "export", "hello.key")
    other = "0" * 64
    file.write_text(other)
    said = shop("key", "import", "hello.key", status=1)
    assert "another key already" in said.err
    assert file.read_text() == other
    assert other not in said.err


@pytest.mark.parametrize("text", ["", "{}", "\xff", '{"kind":"pragmaspec-key","format":1,"lineage":"../x","key":"s3cr3t"}'])
def test_import_refuses_invalid_input(shop: Workshop, text: str) -> None:
    (shop.directory / "x.key").write_bytes(text.encode("latin-1"))
    said = shop("key", "import", "x.key", status=64)
    assert "This is no key" in said.err
    assert "s3cr3t" not in said.err
    assert "not readable" in shop("key", "import", "nowhere", status=64).err


def test_a_key_readable_by_others_is_not_exported(shop: Workshop) -> None:
    shop.running()
    (file,) = _keys(shop)
    file.chmod(0o644)
    assert "chmod 600" in shop("key", "export", "hello.key", status=1).err
    assert "chmod 600" in shop("key", "show", status=1).err
