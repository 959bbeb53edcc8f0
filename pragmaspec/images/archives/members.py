"""Select the disk among the members of an archive. Pure.

The spec may name it (`member`). Otherwise the OVF descriptor of an OVA or the metadata of a Vagrant box names it; else it is the
only member that is a disk by its name or its first bytes. Files that accompany disks (checksums, licences, notes, firmware
variables) are ignored. The result does not depend on the order of the members, but may be known only at the end of the archive.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from pragmaspec.errors import ImageError
from pragmaspec.images.archives import ovf
from pragmaspec.images.formats.detect import detect_formats
from pragmaspec.images.formats.inspect import image_refused
from pragmaspec.text import closest, few

_DISK = re.compile(r"\.(raw|img|dd|qcow2?|vmdk|vdi|vhdx?|vpc)(\.(gz|xz|zst|bz2))?$", re.IGNORECASE)
_COMPANION = re.compile(
    r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Thumbs\.db$|Vagrantfile$)"
    r"|\.(nvram|vmx|vmxf|vmsd|vbox|vbox-prev|ovf|mf|cert|txt|md|rst|html?|pdf|json|ya?ml|xml|ini|cfg|conf|log|sh|bat|ps1|rb"
    r"|png|jpe?g|svg|sha1|sha256|sha512|md5|sums?|sha(1|256|512)sums?|md5sums?|asc|sig|gpg|pem|pub|key|torrent)$"
    r"|(^|/)(README|LICEN[CS]E|COPYING|COPYRIGHT|CHANGES|CHANGELOG|NOTICE|NEWS|VERSION|CHECKSUMS?|SHA(1|256|512)SUMS?|MD5SUMS?)[^/]*$",
    re.IGNORECASE,
)
_MACOS_METADATA = re.compile(r"(^|/)(__MACOSX/|\._)")
"""Files that macOS adds beside each other file."""
_BOX = "metadata.json"
_MAX_LISTED = 8
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


class OtherMemberError(ImageError):
    """Another member than the one that was read is the disk. Never leaves :mod:`pragmaspec.images`."""

    def __init__(self, member: str) -> None:
        super().__init__("Image refused", f"The disk of the archive is {member!r}.")
        self.member = member


def normal_path(name: str) -> str:
    """Return a path in an archive without ``./`` and the like."""
    return str(PurePosixPath(name.lstrip("/")))


class MemberSelector:
    """Selects the disk of one archive from its members, which it is given in order. ``asked``: path from the spec, or empty."""

    def __init__(self, asked: str = "") -> None:
        self._asked = normal_path(asked) if asked else ""
        self._names: list[str] = []
        self._disks: list[str] = []
        self._unclear: list[str] = []
        self._metadata: dict[str, bytes] = {}
        self._digests: dict[str, dict[str, str]] = {}
        self._selected = ""
        self._named: str | None = self._asked
        """Path of the disk in the spec or in the metadata; None if the metadata has changed since."""

    @property
    def asked(self) -> bool:
        """True if the spec names the disk; the other members do not matter then."""
        return bool(self._asked)

    def is_metadata(self, name: str, size: int) -> bool:
        """True if the member, of ``size`` bytes, describes the disk. All metadata of an archive is kept in memory."""
        relevant = name.lower().endswith((".ovf", ".mf")) or normal_path(name) == _BOX
        total = size + sum(map(len, self._metadata.values()))
        return relevant and not _MACOS_METADATA.search(name) and total <= ovf.MAX_METADATA_BYTES

    def add_metadata(self, name: str, content: bytes) -> None:
        """Take the content of a member for which :meth:`is_metadata` is true into account."""
        path = normal_path(name)
        self._names.append(path)
        self._metadata[path] = content
        self._named = None
        self._digests[path] = {kind: new(content).hexdigest() for kind, new in _HASHES.items()}

    def selects(self, name: str, head: bytes) -> bool:
        """True if the member, which begins with ``head``, is the disk as far as the members so far show."""
        name = normal_path(name)
        self._names.append(name)
        named = self._named_path()
        if named:
            selected = name == named and not self._selected
        elif _COMPANION.search(name):
            selected = False
        elif _DISK.search(name) or any(each.family != "other" for each in detect_formats(head, b"")):
            self._disks.append(name)
            selected = not self._selected
        else:
            self._unclear.append(name)
            selected = False
        self._selected = name if selected else self._selected
        return selected

    def hashed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the chunks of the selected member, and hash them if a manifest may have a digest of it."""
        if not any(name.endswith(".ovf") for name in map(str.lower, self._metadata)):
            yield from chunks
            return
        sums = {kind: new() for kind, new in _HASHES.items() if kind in self._manifest_hashes()}
        for chunk in chunks:
            for each in sums.values():
                each.update(chunk)
            yield chunk
        self._digests[self._selected] = {kind: each.hexdigest() for kind, each in sums.items()}

    def finish(self) -> None:
        """End the archive. Raises ImageError unless it has exactly one disk that agrees with the manifest.

        Raises OtherMemberError if the disk is not the member that was read.
        """
        name = self._resolve()
        if name != self._selected:
            raise OtherMemberError(name)
        self._check_manifest()

    def read(self, content: Callable[[str], Iterator[bytes]]) -> Iterator[bytes]:
        """Yield the disk, if all members are known before any is read. Raises ImageError as :meth:`finish`."""
        self._selected = self._resolve()
        yield from self.hashed(content(self._selected))
        self._check_manifest()

    def _resolve(self) -> str:
        """Return the path of the disk, now that all members are known."""
        named = self._named_path()
        if not named:
            return self._only_disk()
        if named not in self._names:
            raise self._absent(named)
        if self._names.count(named) > 1:
            raise self._several([named] * self._names.count(named))
        return named

    def _only_disk(self) -> str:
        found = self._disks or self._unclear
        if not found:
            raise image_refused(["the archive contains no disk"])
        if len(found) > 1:
            raise self._several(found)
        return found[0]

    def _named_path(self) -> str:
        """Return the path of the disk in the spec, else in the metadata so far; empty if neither names one."""
        if self._named is None:
            self._named = self._asked or self._described()
        return self._named

    def _described(self) -> str:
        descriptors = [name for name in self._metadata if name.lower().endswith(".ovf")]
        if len(descriptors) > 1:
            raise image_refused([f"the archive contains {len(descriptors)} OVF descriptors; {_advice(self._names)}"])
        found = ovf.disk_files(self._metadata[descriptors[0]], descriptors[0]) if descriptors else self._box_disks()
        if len(found) > 1:
            raise self._several(found)
        return normal_path(found[0]) if found else ""

    def _box_disks(self) -> tuple[str, ...]:
        """Return the disks of a Vagrant box for libvirt (vagrant-libvirt, "Box Format"). Other boxes have a descriptor."""
        try:
            box = json.loads(self._metadata.get(_BOX, b"null"))
        except (ValueError, RecursionError):
            return ()
        if not isinstance(box, dict) or box.get("provider") != "libvirt":
            return ()
        disks = box.get("disks")
        if not isinstance(disks, list) or not disks:
            return ("box.img",)
        paths = (disk.get("path") if isinstance(disk, dict) else None for disk in disks)
        return tuple(
            path if isinstance(path, str) and path else f"box_{number}.img" for number, path in enumerate(paths, start=1)
        )

    def _manifest_hashes(self) -> set[str]:
        digests = self._manifest()
        return {digests[self._selected][0]} if self._selected in digests else set(_HASHES)

    def _manifest(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for name, content in self._metadata.items():
            if name.lower().endswith(".mf"):
                found.update({normal_path(file): digest for file, digest in ovf.manifest_digests(content, name).items()})
        return found

    def _check_manifest(self) -> None:
        for name, (kind, digest) in self._manifest().items():
            found = self._digests.get(name, {}).get(kind, digest)
            if found != digest:
                raise image_refused(
                    [f"{name!r} is damaged or was changed: its {kind.upper()} is {found}, but the manifest has {digest}"]
                )

    def _absent(self, name: str) -> ImageError:
        if not self._asked:
            return image_refused([f"its metadata names {name!r} as the disk, but the archive does not contain it"])
        near = closest(name, self._names) or next((each for each in self._names if PurePosixPath(each).name == name), None)
        hint = f" (did you mean {near!r}?)" if near else f"; it contains {_listed(self._names)}"
        return image_refused([f"the archive contains no file {name!r}{hint}"])

    @staticmethod
    def _several(names: Sequence[str]) -> ImageError:
        if len(set(names)) == 1:
            return image_refused([f"the archive contains {len(names)} files called {names[0]!r}"])
        return image_refused([f"the archive contains {len(names)} disks: {_listed(names)}; {_advice(names)}"])


def _listed(names: Sequence[str]) -> str:
    return few([repr(name) for name in names], _MAX_LISTED)


def _advice(names: Sequence[str]) -> str:
    """Return how to name one of ``names`` as the disk."""
    example = next((name for name in names if _DISK.search(name)), names[0])
    example = example if example.isprintable() else repr(example)[1:-1]
    word = example if re.fullmatch(r"[\w./@+-]+", example) else json.dumps(example, ensure_ascii=False)
    return f"name one: `member: {word}` in a spec, `--member {shlex.quote(example)}` on the command line"
