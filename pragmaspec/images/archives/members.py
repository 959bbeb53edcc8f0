"""Which file of an archive is the disk. Pure.

The spec may name it (`member`). Otherwise an OVA's description says it, or the metadata of a Vagrant box; else it is the one file
that is a disk by its name or its first bytes. What goes with disks (digests, licences, notes, firmware variables) is passed over.
The answer does not depend on the order in the archive, but may be known only at its end.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

from pragmaspec.errors import ImageError
from pragmaspec.images.archives import ovf
from pragmaspec.images.formats.detect import detect_formats
from pragmaspec.images.formats.inspect import image_refused

_DISK = re.compile(r"\.(raw|img|dd|qcow2?|vmdk|vdi|vhdx?|vpc)(\.(gz|xz|zst|bz2))?$", re.IGNORECASE)
_ASIDE = re.compile(
    r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Thumbs\.db$|Vagrantfile$)"
    r"|\.(nvram|vmx|vmxf|vmsd|vbox|vbox-prev|ovf|mf|cert|txt|md|rst|html?|pdf|json|ya?ml|xml|ini|cfg|conf|log|sh|bat|ps1|rb"
    r"|png|jpe?g|svg|sha1|sha256|sha512|md5|sums?|sha(1|256|512)sums?|md5sums?|asc|sig|gpg|pem|pub|key|torrent)$"
    r"|(^|/)(README|LICEN[CS]E|COPYING|COPYRIGHT|CHANGES|CHANGELOG|NOTICE|NEWS|VERSION|CHECKSUMS?|SHA(1|256|512)SUMS?|MD5SUMS?)[^/]*$",
    re.IGNORECASE,
)
_OF_MACS = re.compile(r"(^|/)(__MACOSX/|\._)")
"""Files that macOS puts beside each of its own."""
_BOX = "metadata.json"
_MOST_NAMED = 8
_HASHES = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


class OtherMemberError(ImageError):
    """Another file than the one that was read is the disk: ``member``. Never leaves :mod:`pragmaspec.images`."""

    def __init__(self, member: str) -> None:
        super().__init__("Image refused", f"The disk of the archive is {member!r}.")
        self.member = member


def normal_path(name: str) -> str:
    """A path in an archive without ``./`` and the like."""
    return str(PurePosixPath(name.lstrip("/")))


class MemberSelector:
    """The choice among the files of one archive, told of them in their order. ``asked``: what the spec names, or empty."""

    def __init__(self, asked: str = "") -> None:
        self._asked = normal_path(asked) if asked else ""
        self._names: list[str] = []
        self._disks: list[str] = []
        self._unclear: list[str] = []
        self._papers: dict[str, bytes] = {}
        self._digests: dict[str, dict[str, str]] = {}
        self._taken = ""
        self._known: str | None = self._asked
        """The disk's path as far as it is given or described; None when the papers have to be read again."""

    @property
    def named(self) -> bool:
        """True if the spec names the disk's file; the other files do not matter then."""
        return bool(self._asked)

    def is_metadata(self, name: str, size: int) -> bool:
        """True if the file of ``size`` bytes describes the disk. All such files of an archive are kept in memory."""
        matters = name.lower().endswith((".ovf", ".mf")) or normal_path(name) == _BOX
        return matters and not _OF_MACS.search(name) and size + sum(map(len, self._papers.values())) <= ovf.MAX_METADATA_BYTES

    def note(self, name: str, content: bytes) -> None:
        """A file that :meth:`is_paper`."""
        self._names.append(normal_path(name))
        self._papers[normal_path(name)] = content
        self._known = None
        self._digests[normal_path(name)] = {kind: make(content).hexdigest() for kind, make in _HASHES.items()}

    def takes(self, name: str, head: bytes) -> bool:
        """True if the file, which begins with ``head``, is to be read as the disk, as far as the files so far show."""
        name = normal_path(name)
        self._names.append(name)
        known = self._given()
        if known:
            right = name == known and not self._taken
        elif _ASIDE.search(name):
            right = False
        elif _DISK.search(name) or any(kind.family != "other" for kind in detect_formats(head, b"")):
            self._disks.append(name)
            right = not self._taken
        else:
            self._unclear.append(name)
            right = False
        self._taken = name if right else self._taken
        return right

    def hashed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces of the file that was taken, digested where a manifest may ask for it."""
        if not any(name.endswith(".ovf") for name in map(str.lower, self._papers)):
            yield from pieces
            return
        sums = {kind: make() for kind, make in _HASHES.items() if kind in self._wanted_kinds()}
        for piece in pieces:
            for each in sums.values():
                each.update(piece)
            yield piece
        self._digests[self._taken] = {kind: each.hexdigest() for kind, each in sums.items()}

    def finish(self) -> None:
        """The archive has ended. Raises ImageError when there is not exactly one disk, or a manifest says otherwise.

        Raises OtherMemberError when another file than the one that was read is the disk.
        """
        name = self._answer()
        if name != self._taken:
            raise OtherMemberError(name)
        self._compare()

    def read(self, content: Callable[[str], Iterator[bytes]]) -> Iterator[bytes]:
        """The disk, where all files are known before any is read; ``content`` opens one. Raises ImageError as :meth:`finish`."""
        self._taken = self._answer()
        yield from self.hashed(content(self._taken))
        self._compare()

    def _answer(self) -> str:
        """The path of the disk, now that all files are known."""
        known = self._given()
        if not known:
            return self._only()
        if known not in self._names:
            raise self._absent(known)
        if self._names.count(known) > 1:
            raise self._several([known] * self._names.count(known))
        return known

    def _only(self) -> str:
        """The one file that is a disk."""
        found = self._disks or self._unclear
        if not found:
            raise image_refused(["the archive holds no disk"])
        if len(found) > 1:
            raise self._several(found)
        return found[0]

    def _given(self) -> str:
        """The path of the disk in the spec, else in the descriptions read so far; empty if neither gives one."""
        if self._known is None:
            self._known = self._asked or self._described()
        return self._known

    def _described(self) -> str:
        descriptions = [name for name in self._papers if name.lower().endswith(".ovf")]
        if len(descriptions) > 1:
            raise image_refused([f"the archive holds {len(descriptions)} descriptions; {_name(self._names)}"])
        found = ovf.disk_files(self._papers[descriptions[0]], descriptions[0]) if descriptions else self._of_box()
        if len(found) > 1:
            raise self._several(found)
        return normal_path(found[0]) if found else ""

    def _of_box(self) -> tuple[str, ...]:
        """The disks of a Vagrant box for libvirt (vagrant-libvirt, "Box Format"). Other boxes have a description."""
        try:
            said = json.loads(self._papers.get(_BOX, b"null"))
        except (ValueError, RecursionError):
            return ()
        if not isinstance(said, dict) or said.get("provider") != "libvirt":
            return ()
        disks = said.get("disks")
        if not isinstance(disks, list) or not disks:
            return ("box.img",)
        paths = (disk.get("path") if isinstance(disk, dict) else None for disk in disks)
        return tuple(
            path if isinstance(path, str) and path else f"box_{number}.img" for number, path in enumerate(paths, start=1)
        )

    def _wanted_kinds(self) -> set[str]:
        digests = self._manifest()
        return {digests[self._taken][0]} if self._taken in digests else set(_HASHES)

    def _manifest(self) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for name, content in self._papers.items():
            if name.lower().endswith(".mf"):
                found.update({normal_path(file): digest for file, digest in ovf.manifest_digests(content, name).items()})
        return found

    def _compare(self) -> None:
        """Hold what was read against the manifest."""
        for name, (kind, digest) in self._manifest().items():
            found = self._digests.get(name, {}).get(kind, digest)
            if found != digest:
                raise image_refused(
                    [f"its manifest gives {name!r} the {kind.upper()} {digest}, and it has {found}: damaged or changed"]
                )

    def _absent(self, name: str) -> ImageError:
        if not self._asked:
            return image_refused([f"its description names {name!r} as the disk, which is not in the archive"])
        near = get_close_matches(name, self._names, n=1) or [each for each in self._names if PurePosixPath(each).name == name][:1]
        hint = f" (did you mean {near[0]!r}?)" if near else f"; it holds {_listed(self._names)}"
        return image_refused([f"the archive holds no file {name!r}{hint}"])

    @staticmethod
    def _several(names: Sequence[str]) -> ImageError:
        if len(set(names)) == 1:
            return image_refused([f"the archive holds {len(names)} files called {names[0]!r}"])
        return image_refused([f"the archive holds {len(names)} disks: {_listed(names)}; {_name(names)}"])


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED]) or "nothing"
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown


def _name(names: Sequence[str]) -> str:
    """How a person says which of ``names`` is the disk."""
    example = next((name for name in names if _DISK.search(name)), names[0])
    example = example if example.isprintable() else repr(example)[1:-1]
    word = example if re.fullmatch(r"[\w./@+-]+", example) else json.dumps(example, ensure_ascii=False)
    return f"say which it is: `member: {word}` in a spec, `--member {shlex.quote(example)}` on the command line"
