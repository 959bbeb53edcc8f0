"""Writes files into an ext2, ext3 or ext4 file system with ``debugfs``, without mount, root or appliance, within milliseconds.

Everything that was written is read back. All other file systems, and failures, are left to libguestfs.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from pragmaspec.frozen import Frozen
from pragmaspec.guest.offline.detect import PASSWD, PROBED_PATHS, FileKind
from pragmaspec.guest.offline.files import PRIVATE_FOLDERS, OfflineFiles
from pragmaspec.guest.offline.selinux import SELINUX_CONFIG, contexts_path, selinux_label
from pragmaspec.images.formats.sandbox import Limits, run_sandboxed

FSTAB = "/etc/fstab"
WRITTEN_FOLDERS = ("/etc", "/root", "/usr", "/usr/local", "/sbin")
"""Folders that receive files, and so must belong to the root file system."""
_CPU_S = 60
_ENTRY = re.compile(r"/(\d+)/(\d{6})/(\d+)/(\d+)/([^/]+)/\d*/")
_KINDS: dict[str, FileKind] = {"10": "file", "04": "directory", "12": "link"}


class FileEntry(Frozen, frozen=True):
    """An entry of a folder. ``kind`` is None for devices and the like; ``mode``: permission bits; ``owner``: user and group."""

    kind: FileKind | None
    mode: int
    owner: tuple[int, int]


class RootFileSystem(Frozen, frozen=True):
    """A root file system: the probed paths that exist, and its SELinux file contexts.

    ``has_separate_mounts``: one of the :data:`WRITTEN_FOLDERS` is another file system.
    """

    found: Mapping[str, FileKind]
    contexts: str = ""
    has_separate_mounts: bool = False


class NotWrittenError(Exception):
    """debugfs did not write everything; the message is the first difference."""


class ExtFileSystem:
    """The file system at ``offset`` of the file ``disk`` of ``size_bytes``; ``scratch`` is a private directory for copies."""

    def __init__(self, disk: Path, offset: int, size_bytes: int, scratch: Path) -> None:
        self._device = f"{disk.absolute()}?offset={offset}"
        self._limits = Limits(cpu_s=_CPU_S, file_bytes=size_bytes + 1)
        self._scratch = scratch

    def inspect(self) -> RootFileSystem | None:
        """Return its properties; None if it is not a root file system."""
        if PASSWD not in self.kinds((PASSWD,)):
            return None
        policy = contexts_path(self._text(SELINUX_CONFIG))
        return RootFileSystem(
            found=self.kinds(PROBED_PATHS),
            contexts=self._text(policy) if policy else "",
            has_separate_mounts=_has_separate_mounts(self._text(FSTAB)),
        )

    def kinds(self, paths: Iterable[str]) -> dict[str, FileKind]:
        """Return those of ``paths`` that exist."""
        return {path: entry.kind for path, entry in self._entries(paths).items() if entry.kind is not None}

    def write(self, wanted: OfflineFiles) -> None:
        """Write all of ``wanted``, and verify it. Raises NotWrittenError."""
        folders = _parent_folders([file.path for file in wanted.files] + [path for path, _ in wanted.links])
        existing = self._entries([*folders, *(file.path for file in wanted.files), *(path for path, _ in wanted.links)])
        sources = self._scratch / "sources"
        sources.mkdir(mode=0o700, exist_ok=True)
        lines: list[str] = []
        for folder in folders:
            if folder not in existing:
                mode = 0o700 if folder in PRIVATE_FOLDERS else 0o755
                lines += [f'mkdir "{folder}"', *_set_attributes(folder, 0o040000 | mode)]
                lines += _set_label(folder, wanted.contexts, "directory")
        lines += [f'rm "{path}"' for path in wanted.removed]
        for number, file in enumerate(wanted.files):
            source = sources / str(number)
            source.write_bytes(file.content.encode())
            lines += [f'rm "{file.path}"'] if file.path in existing else []
            lines += [f'write "{_quoted(source)}" "{file.path}"', *_set_attributes(file.path, 0o100000 | file.mode)]
            lines += _set_label(file.path, wanted.contexts, "file")
        for path, target in wanted.links:
            lines += [f'rm "{path}"'] if path in existing else []
            lines += [f'symlink "{path}" "{target}"', *_set_label(path, wanted.contexts, "link")]
        self._run(lines, write=True)
        self._check(wanted)

    def _check(self, wanted: OfflineFiles) -> None:
        """Raise NotWrittenError unless the file system contains all of ``wanted``."""
        entries = self._entries([file.path for file in wanted.files] + [path for path, _ in wanted.links] + [*wanted.removed])
        contents = self._contents([file.path for file in wanted.files])
        for file in wanted.files:
            if entries.get(file.path) != FileEntry(kind="file", mode=file.mode, owner=(0, 0)):
                raise NotWrittenError(file.path)
            if contents[file.path] != file.content.encode():
                raise NotWrittenError(file.path)
        if any(entries.get(path) is None or entries[path].kind != "link" for path, _ in wanted.links):
            raise NotWrittenError("a link")
        if any(path in entries for path in wanted.removed):
            raise NotWrittenError("a removed file")

    def _entries(self, paths: Iterable[str]) -> dict[str, FileEntry]:
        """Return the entries of those of ``paths`` that exist."""
        parsed_paths = {path: PurePosixPath(path) for path in paths}
        listed = {folder: self._list(folder) for folder in {str(path.parent) for path in parsed_paths.values()}}
        return {
            path: listed[str(parsed.parent)][parsed.name]
            for path, parsed in parsed_paths.items()
            if parsed.name in listed[str(parsed.parent)]
        }

    def _list(self, folder: str) -> dict[str, FileEntry]:
        # One run per folder: debugfs does not say which command an error belongs to.
        output = run_sandboxed("debugfs", ["-R", f'ls -p "{folder}"', self._device], self._limits).output
        matches = (_ENTRY.fullmatch(line) for line in output.splitlines())
        return {
            match[5]: FileEntry(
                kind=_KINDS.get(match[2][:2]), mode=int(match[2], 8) & 0o7777, owner=(int(match[3]), int(match[4]))
            )
            for match in matches
            if match and int(match[1])
        }

    def _text(self, path: str) -> str:
        """Return the text of a file, empty if it does not exist."""
        return self._contents((path,))[path].decode(errors="replace")

    def _contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the content of each file, empty if it does not exist."""
        copies = self._scratch / "copies"
        copies.mkdir(mode=0o700, exist_ok=True)
        files = {path: copies / str(number) for number, path in enumerate(paths)}
        for copy in files.values():
            copy.unlink(missing_ok=True)
        self._run([f'dump "{path}" "{_quoted(copy)}"' for path, copy in files.items()], write=False)
        return {path: copy.read_bytes() if copy.exists() else b"" for path, copy in files.items()}

    def _run(self, lines: list[str], *, write: bool) -> None:
        commands = self._scratch / "commands"
        commands.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        run_sandboxed("debugfs", [*(["-w"] if write else []), "-f", str(commands.absolute()), self._device], self._limits)


def _parent_folders(paths: Iterable[str]) -> list[str]:
    """Return all parent folders of ``paths``, sorted from the top."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return sorted(found - {"/"}, key=lambda folder: (folder.count("/"), folder))


def _set_attributes(path: str, mode: int) -> list[str]:
    return [f'sif "{path}" mode 0{mode:o}', f'sif "{path}" uid 0', f'sif "{path}" gid 0']


def _set_label(path: str, contexts: str, kind: FileKind) -> list[str]:
    label = selinux_label(path, contexts, kind) if contexts else ""
    return [f'ea_set "{path}" security.selinux "{label}"'] if label else []


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace('"', '""')


def _has_separate_mounts(fstab: str) -> bool:
    """True if ``fstab`` mounts one of the written folders."""
    lines = (line.split() for line in fstab.splitlines() if not line.lstrip().startswith("#"))
    return any(len(words) > 1 and words[1].rstrip("/") in WRITTEN_FOLDERS for words in lines)
