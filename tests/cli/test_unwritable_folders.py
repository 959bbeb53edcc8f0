"""Unusable directories for caches, keys and settings."""

import gzip
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine

FOLDERS = ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PRAGMASPEC_IMAGES"]


@pytest.fixture
def no_folder(tmp_path: Path) -> str:
    """A file instead of a directory, so that even root cannot write into it."""
    (tmp_path / "a file").touch()
    return str(tmp_path / "a file")


@pytest.mark.parametrize("variable", FOLDERS)
def test_plan_and_apply_without_a_writable_cache(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, variable: str, no_folder: str
) -> None:
    cli.spec()
    monkeypatch.setenv(variable, no_folder)
    for _ in range(2):
        assert "3 to boot" in cli("plan").out
    cli("apply", "--auto-approve")
    assert "No changes" in cli("plan").out


@pytest.mark.parametrize("home", ["/dev/null", "relative"])
def test_plan_without_a_home_directory(cli: CommandLine, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    cli.spec()
    monkeypatch.setenv("HOME", home)
    for name in ("CACHE", "DATA", "CONFIG", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    assert "3 to boot" in cli("plan").out
    assert "is valid" in cli("validate").out
    assert "The store is empty" in cli("image", "list").out
    cli("image", "prune")


@pytest.mark.parametrize("command", [("plan",), ("image", "fetch"), ("lock",), ("image", "import", "disk.raw")])
def test_an_unwritable_store_names_the_variable(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, no_folder: str, command: tuple[str, ...]
) -> None:
    spec = cli.spec()
    (cli.directory / "disk.raw.gz").write_bytes(gzip.compress((cli.directory / "disk.raw").read_bytes()))
    spec.write_text(spec.read_text().replace("{source: ./disk.raw, format: raw}", "{source: ./disk.raw.gz}"))
    monkeypatch.setenv("XDG_CACHE_HOME", no_folder)
    result = " ".join(cli(*command, status=1).err.split())
    assert f"{no_folder}/pragmaspec/images, the image store of this machine, cannot be written: not a directory." in result
    assert "Set PRAGMASPEC_IMAGES or XDG_CACHE_HOME to a writable folder." in result


def test_an_unwritable_key_stops_an_apply_before_its_first_call(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, no_folder: str
) -> None:
    cli.spec()
    monkeypatch.setenv("XDG_DATA_HOME", no_folder)
    result = " ".join(cli("apply", "--auto-approve", status=1).err.split())
    assert "cannot be written: Not a directory. Set PRAGMASPEC_KEYS or XDG_DATA_HOME" in result
    assert '"machine"' not in ((cli.directory / "site.json").read_text() if (cli.directory / "site.json").exists() else "")
