"""The user's folders, whatever the environment says."""

from pathlib import Path

import pytest

from pragmaspec import paths


@pytest.mark.parametrize(
    ("variable", "folder", "usual"),
    [
        ("XDG_CACHE_HOME", paths.cache_home, ".cache"),
        ("XDG_CONFIG_HOME", paths.config_home, ".config"),
        ("XDG_DATA_HOME", paths.data_home, ".local/share"),
        ("XDG_STATE_HOME", paths.state_home, ".local/state"),
    ],
)
def test_folders(monkeypatch: pytest.MonkeyPatch, variable: str, folder: object, usual: str) -> None:
    assert callable(folder)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv(variable, "/somewhere")
    assert folder() == Path("/somewhere")
    for ignored in ("", "relative/path"):
        monkeypatch.setenv(variable, ignored)
        assert folder() == Path("/home/ada") / usual
    monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", "relative")
    assert folder() == paths.NO_HOME / usual
