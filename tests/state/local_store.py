"""A store in a local directory, with its paths."""

from pathlib import Path

from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.local.disk import OS_DISK, StateDisk
from pragmaspec.state.store import Store


class LocalStore(Store):
    """The state of one stack in ``directory``."""

    def __init__(self, directory: Path, *, disk: StateDisk = OS_DISK, machine_directory: Path | None = None) -> None:
        backend = LocalBackend(directory, disk)
        super().__init__(backend, disk=disk, machine_directory=machine_directory)
        self.files = backend.files

    @property
    def directory(self) -> Path:
        return self.files.path

    @property
    def file(self) -> Path:
        return self.files.snapshot

    def journal_path(self, serial: int) -> Path:
        return self.files.journal(serial)
