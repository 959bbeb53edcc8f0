"""Guest files as tar archives: in the seed for images without cloud-init, and over ssh for running nodes."""

from collections.abc import Sequence
from io import BytesIO
from tarfile import DIRTYPE, USTAR_FORMAT, TarFile, TarInfo

from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.setup.node_setups import LIVE_PATHS

STAMP_S = 946_684_800
"""Modification time of all files, 2000-01-01 UTC, for reproducible archives. (tar(1) warns about 1970.)"""

_DIRECTORIES = (("/etc/pragmaspec", 0o755), ("/root/.ssh", 0o700))

_END_MARKER = ".pragmaspec-whole"
"""The last entry of a live archive. It detects truncation between two entries, which tar(1) does not."""

INSTALL_SCRIPT = f"""\
set -eu
umask 022
root=${{1-}}
mkdir -p "$root/etc/pragmaspec"
stage=$(mktemp -d "$root/etc/pragmaspec/.incoming.XXXXXX")
trap 'rm -rf "$stage"' EXIT
tar -x -p -f - -C "$stage"
cd "$stage"
if [ ! -e {_END_MARKER} ]; then echo "the archive is truncated" >&2; exit 1; fi
rm {_END_MARKER}
find . -type f | while IFS= read -r file; do
  file=${{file#./}}
  mkdir -p "$root/${{file%/*}}"
  mv -f "$file" "$root/$file"
  if command -v restorecon >/dev/null; then restorecon "$root/$file" || true; fi
done
if [ -z "$root" ] && [ -s /etc/hostname ]; then cat /etc/hostname >/proc/sys/kernel/hostname || true; fi
status=0
for script in {LIVE_PATHS}; do
  if [ -z "$root" ] && [ -x "$script" ]; then "$script" || status=1; fi
done
exit $status
"""
"""Script for ``sh -c`` that installs the files of :func:`live_tar` from standard input, as root on a guest, sets the host name
and runs the scripts of :mod:`pragmaspec.guest.setup`.

Nothing changes unless the archive is complete; each file is replaced by a rename, so that readers never see a partial file.
An optional first argument is a directory to use instead of ``/``.
"""


def live_tar(files: Sequence[GuestFile]) -> bytes:
    """Return the archive that :data:`INSTALL_SCRIPT` installs on a running node."""
    return guest_tar((*files, GuestFile(path=f"/{_END_MARKER}", mode=0o600, content="")))


def guest_tar(files: Sequence[GuestFile]) -> bytes:
    """Return ``files`` as a reproducible uncompressed tar archive, with names relative to ``/`` and root as the owner."""
    buffer = BytesIO()
    with TarFile(fileobj=buffer, mode="w", format=USTAR_FORMAT) as archive:
        for path, mode in _DIRECTORIES:
            if any(file.path.startswith(f"{path}/") for file in files):
                archive.addfile(_entry(path, mode, DIRTYPE))
        for file in files:
            content = file.content.encode()
            entry = _entry(file.path, file.mode)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return buffer.getvalue()


def _entry(path: str, mode: int, kind: bytes | None = None) -> TarInfo:
    entry = TarInfo(path.removeprefix("/"))
    entry.mode = mode
    entry.mtime = STAMP_S
    entry.uname = entry.gname = "root"
    entry.type = kind or entry.type
    return entry
