"""Unusable directories for caches, keys and settings."""

import gzip
from pathlib import Path

import pytest

from tests.cli.workshop import Workshop

FOLDERS = ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PRAGMASPEC_IMAGES"]


@pytest.fixture
def no_folder(tmp_path: Path) -> str:
    """A file instead of a directory, so that even root cannot write into it."""
    (tmp_path / "a file").touch()
    return str(tmp_path / "a file")


@pytest.mark.parametrize("variable", FOLDERS)
def test_plan_and_apply_without_a_writable_cache(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, variable: str, no_folder: str
) -> None:
    shop.spec()
    monkeypatch.setenv(variable, no_folder)
    for _ in range(2):
        assert "3 to boot" in shop("plan").out
    shop("apply", "--auto-approve")
    assert "No changes" in shop("plan").out


@pytest.mark.parametrize("home", ["/dev/null", "relative"])
def test_plan_without_a_home_directory(shop: Workshop, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    shop.spec()
    monkeypatch.setenv("HOME", home)
    for name in ("CACHE", "DATA", "CONFIG", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    assert "3 to boot" in shop("plan").out
    assert "is valid" in shop("validate").out
    assert "The store is empty" in shop("image", "list").out
    shop("image", "prune")


@pytest.mark.parametrize("command", [("plan",), ("image", "fetch"), ("lock",), ("image", "import", "disk.raw")])
def test_an_unwritable_store_names_the_variable(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, no_folder: str, command: tuple[str, ...]
) -> None:
    spec = shop.spec()
    (shop.directory / "disk.raw.gz").write_bytes(gzip.compress((shop.directory / "disk.raw").read_bytes()))
    spec.write_text(spec.read_text().replace("{source: ./disk.raw, format: raw}", "{source: ./disk.raw.gz}"))
    monkeypatch.setenv("XDG_CACHE_HOME", no_folder)
    said = " ".join(shop(*command, status=1).err.split())
    assert f"{no_folder}/pragmaspec/images, where images are kept on this machine, cannot be written: not a directory." in said
    assert "Set PRAGMASPEC_IMAGES or XDG_CACHE_HOME to a folder that can." in said


def test_an_unwritable_key_stops_an_apply_before_its_first_call(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, no_folder: str
) -> None:
    shop.spec()
    monkeypatch.setenv("XDG_DATA_HOME", no_folder)
    said = " ".join(shop("apply", "--auto-approve", status=1).err.split())
    assert "cannot be written: Not a directory. Set PRAGMASPEC_KEYS or XDG_DATA_HOME" in said
    assert '"machine"' not in ((shop.directory / "site.json").read_text() if (shop.directory / "site.json").exists() else "")
