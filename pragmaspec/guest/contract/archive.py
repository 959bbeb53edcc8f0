"""Files of a guest as a tar archive: in the seed for images without cloud-init, and over ssh for nodes that run."""

from collections.abc import Sequence
from io import BytesIO
from tarfile import DIRTYPE, USTAR_FORMAT, TarFile, TarInfo

from pragmaspec.guest.contract.files import GuestFile

STAMP_S = 946_684_800
"""The time that every file carries, 2000-01-01 UTC, so that equal content is equal bytes. (tar(1) doubts 1970.)"""

_DIRECTORIES = (("/etc/pragmaspec", 0o755), ("/root/.ssh", 0o700))

_WHOLE = ".pragmaspec-whole"
"""The last entry of a live archive: without it the archive was cut off, which tar(1) does not notice between two entries."""

INSTALL_SCRIPT = f"""\
set -eu
umask 022
root=${{1-}}
mkdir -p "$root/etc/pragmaspec"
stage=$(mktemp -d "$root/etc/pragmaspec/.incoming.XXXXXX")
trap 'rm -rf "$stage"' EXIT
tar -x -p -f - -C "$stage"
cd "$stage"
if [ ! -e {_WHOLE} ]; then echo "the archive is not whole" >&2; exit 1; fi
rm {_WHOLE}
find . -type f | while IFS= read -r file; do
  file=${{file#./}}
  mkdir -p "$root/${{file%/*}}"
  mv -f "$file" "$root/$file"
  if command -v restorecon >/dev/null; then restorecon "$root/$file" || true; fi
done
if [ -z "$root" ] && [ -s /etc/hostname ]; then cat /etc/hostname >/proc/sys/kernel/hostname || true; fi
"""
"""Installs the files of :func:`live_tar` from standard input, for ``sh -c`` as root on a guest, which then has the new host name.

Nothing changes unless the whole archive arrived; each file is replaced by a rename, so that no reader ever sees half of one.
The script's first argument, when there is one, is a folder to take for ``/``.
"""


def live_tar(files: Sequence[GuestFile]) -> bytes:
    """The archive that :data:`INSTALL_SCRIPT` installs on a running node."""
    return guest_tar((*files, GuestFile(path=f"/{_WHOLE}", mode=0o600, content="")))


def guest_tar(files: Sequence[GuestFile]) -> bytes:
    """``files`` as an uncompressed tar archive, names relative to ``/``, owned by root. Equal input gives equal bytes."""
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
