"""Files put into an ext2, ext3 or ext4 file system with ``debugfs``: no mount, no root, no appliance, some tens of milliseconds.

Does what it can be sure of, and reads everything back. Whatever else there is, the appliance is for.
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
"""Where files are written: they have to be part of the root file system."""
_CPU_S = 60
_ENTRY = re.compile(r"/(\d+)/(\d{6})/(\d+)/(\d+)/([^/]+)/\d*/")
_KINDS: dict[str, FileKind] = {"10": "file", "04": "directory", "12": "link"}


class FileEntry(Frozen, frozen=True):
    """A name in a folder: its kind (None: a device or the like), permission bits, owner and group."""

    kind: FileKind | None
    mode: int
    owner: tuple[int, int]


class RootFileSystem(Frozen, frozen=True):
    """A root file system: its probed paths and SELinux labels, and whether :data:`WRITTEN_FOLDERS` are mounted apart."""

    found: Mapping[str, FileKind]
    contexts: str = ""
    apart: bool = False


class NotWrittenError(Exception):
    """debugfs did not do all that it was told."""


class ExtFileSystem:
    """The file system at ``offset`` of the file ``disk`` of ``size_bytes``; ``scratch`` is a private directory for copies."""

    def __init__(self, disk: Path, offset: int, size_bytes: int, scratch: Path) -> None:
        self._device = f"{disk.absolute()}?offset={offset}"
        self._limits = Limits(cpu_s=_CPU_S, file_bytes=size_bytes + 1)
        self._scratch = scratch

    def look(self) -> RootFileSystem | None:
        """What is there; None when it is no root file system."""
        if PASSWD not in self.kinds((PASSWD,)):
            return None
        found = self.kinds(PROBED_PATHS)
        policy = contexts_path(self._text(SELINUX_CONFIG))
        return RootFileSystem(found=found, contexts=self._text(policy) if policy else "", apart=_mounts_apart(self._text(FSTAB)))

    def kinds(self, paths: Iterable[str]) -> dict[str, FileKind]:
        """Those of ``paths`` that are there."""
        return {path: entry.kind for path, entry in self._entries(paths).items() if entry.kind is not None}

    def write(self, wanted: OfflineFiles) -> None:
        """Make everything be as ``wanted`` says. Raises NotWrittenError when it is not so afterwards."""
        folders = _folders([file.path for file in wanted.files] + [path for path, _ in wanted.links])
        there = self._entries([*folders, *(file.path for file in wanted.files), *(path for path, _ in wanted.links)])
        sources = self._scratch / "sources"
        sources.mkdir(mode=0o700, exist_ok=True)
        lines: list[str] = []
        for folder in folders:
            if folder not in there:
                mode = 0o700 if folder in PRIVATE_FOLDERS else 0o755
                lines += [f'mkdir "{folder}"', *_owned(folder, 0o040000 | mode)]
                lines += _labelled(folder, wanted.contexts, "directory")
        lines += [f'rm "{path}"' for path in wanted.removed]
        for number, file in enumerate(wanted.files):
            source = sources / str(number)
            source.write_bytes(file.content.encode())
            lines += [f'rm "{file.path}"'] if file.path in there else []
            lines += [f'write "{_doubled(source)}" "{file.path}"', *_owned(file.path, 0o100000 | file.mode)]
            lines += _labelled(file.path, wanted.contexts, "file")
        for path, target in wanted.links:
            lines += [f'rm "{path}"'] if path in there else []
            lines += [f'symlink "{path}" "{target}"', *_labelled(path, wanted.contexts, "link")]
        self._run(lines, write=True)
        self._check(wanted)

    def _check(self, wanted: OfflineFiles) -> None:
        """Read back what was written."""
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
            raise NotWrittenError("a file that should go")

    def _entries(self, paths: Iterable[str]) -> dict[str, FileEntry]:
        """What is said of each of ``paths`` in its folder; nothing of what is absent."""
        wanted = {path: PurePosixPath(path) for path in paths}
        listed = {folder: self._list(folder) for folder in {str(path.parent) for path in wanted.values()}}
        return {
            path: listed[str(parsed.parent)][parsed.name]
            for path, parsed in wanted.items()
            if parsed.name in listed[str(parsed.parent)]
        }

    def _list(self, folder: str) -> dict[str, FileEntry]:
        # One run for each: debugfs tells errors on another stream, and together they could not be told apart.
        said = run_sandboxed("debugfs", ["-R", f'ls -p "{folder}"', self._device], self._limits).output
        found = (_ENTRY.fullmatch(line) for line in said.splitlines())
        return {
            match[5]: FileEntry(
                kind=_KINDS.get(match[2][:2]), mode=int(match[2], 8) & 0o7777, owner=(int(match[3]), int(match[4]))
            )
            for match in found
            if match and int(match[1])
        }

    def _text(self, path: str) -> str:
        """The text of a file; empty when it is absent."""
        return self._contents((path,))[path].decode(errors="replace")

    def _contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The content of each file; empty of what is absent."""
        copies = self._scratch / "copies"
        copies.mkdir(mode=0o700, exist_ok=True)
        files = {path: copies / str(number) for number, path in enumerate(paths)}
        for copy in files.values():
            copy.unlink(missing_ok=True)
        self._run([f'dump "{path}" "{_doubled(copy)}"' for path, copy in files.items()], write=False)
        return {path: copy.read_bytes() if copy.exists() else b"" for path, copy in files.items()}

    def _run(self, lines: list[str], *, write: bool) -> None:
        commands = self._scratch / "commands"
        commands.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        run_sandboxed("debugfs", [*(["-w"] if write else []), "-f", str(commands.absolute()), self._device], self._limits)


def _folders(paths: Iterable[str]) -> list[str]:
    """Every folder above ``paths``, from the top."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return sorted(found - {"/"}, key=lambda folder: (folder.count("/"), folder))


def _owned(path: str, mode: int) -> list[str]:
    return [f'sif "{path}" mode 0{mode:o}', f'sif "{path}" uid 0', f'sif "{path}" gid 0']


def _labelled(path: str, contexts: str, kind: FileKind) -> list[str]:
    label = selinux_label(path, contexts, kind) if contexts else ""
    return [f'ea_set "{path}" security.selinux "{label}"'] if label else []


def _doubled(path: Path) -> str:
    return str(path.absolute()).replace('"', '""')


def _mounts_apart(fstab: str) -> bool:
    """Whether a folder that files are written to is a file system of its own."""
    lines = (line.split() for line in fstab.splitlines() if not line.lstrip().startswith("#"))
    return any(len(words) > 1 and words[1].rstrip("/") in WRITTEN_FOLDERS for words in lines)
