from pathlib import Path

import pytest

from tests.cli.harness import CommandLine

OWN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH9Yjg9kzSiIVvWKBCoOILDlQsXGBhxjJbfRVbd9pEtU ada\n"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line in an empty directory, with its own home."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    for directory in (home / ".ssh", work):
        directory.mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("only its name matters")
    (home / ".ssh" / "id_ed25519.pub").write_text(OWN_KEY)
    monkeypatch.setenv("HOME", str(home))
    for name in ("CACHE", "DATA", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    for name in ("XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "PRAGMASPEC_SPEC", "PRAGMASPEC_KEYS", "PRAGMASPEC_IMAGES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(work)

    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return CommandLine(work, read)
