"""The user's XDG directories."""

from pathlib import Path

import pytest

from pragmaspec import paths


@pytest.mark.parametrize(
    ("variable", "directory", "default"),
    [
        ("XDG_CACHE_HOME", paths.cache_home, ".cache"),
        ("XDG_CONFIG_HOME", paths.config_home, ".config"),
        ("XDG_DATA_HOME", paths.data_home, ".local/share"),
        ("XDG_STATE_HOME", paths.state_home, ".local/state"),
    ],
)
def test_xdg_directories_follow_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: str, directory: object, default: str
) -> None:
    assert callable(directory)
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv(variable, "/somewhere")
    assert directory() == Path("/somewhere")
    for ignored in ("", "relative/path"):
        monkeypatch.setenv(variable, ignored)
        assert directory() == Path("/home/ada") / default
    monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", "relative")
    assert directory() == paths.NO_HOME / default
