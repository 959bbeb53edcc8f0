"""Initial RAM file systems as bytes: the cpio "newc" format of the Linux kernel, equal for equal contents."""

import stat
from collections.abc import Iterable, Iterator

from pragmaspec.frozen import Frozen

TRAILER = "TRAILER!!!"


class Member(Frozen, frozen=True):
    """A file of an archive: ``path`` without a leading slash, ``mode`` with its type bits, ``content`` (a link's target)."""

    path: str
    mode: int
    content: bytes = b""


def directory(path: str, mode: int = 0o755) -> Member:
    """A directory."""
    return Member(path=path, mode=stat.S_IFDIR | mode)


def file(path: str, content: bytes, mode: int = 0o644) -> Member:
    """A regular file."""
    return Member(path=path, mode=stat.S_IFREG | mode, content=content)


def link(path: str, target: str) -> Member:
    """A symbolic link."""
    return Member(path=path, mode=stat.S_IFLNK | 0o777, content=target.encode())


def archive(members: Iterable[Member]) -> bytes:
    """The members as a cpio archive, with the directories they need.

    Sorted by path, owned by root, dated 1970, so that the bytes depend on nothing else. Source of the format:
    ``Documentation/driver-api/early-userspace/buffer-format.rst`` of the Linux kernel. Of two members with one path the later
    counts.
    """
    given = {member.path: member for member in members}
    by_path = {path: directory(path) for member in given.values() for path in _parents(member.path)} | given
    ordered = [by_path[path] for path in sorted(by_path)]
    written = b"".join(_written(member, number) for number, member in enumerate(ordered, start=1))
    written += _written(Member(path=TRAILER, mode=0), 0)
    return _padded(written, 512)


def _written(member: Member, inode: int) -> bytes:
    name = member.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    fields = (inode, member.mode, 0, 0, links, 0, len(member.content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name, 4) + _padded(member.content, 4)


def _padded(content: bytes, unit: int) -> bytes:
    return content + bytes(-len(content) % unit)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
